# shellcheck shell=bash
# Sourced: what the workers of a slice write. The process that prints need not be on worker 0: JAX
# numbers processes by the slice's shape. Each says in its first line on which machine process 0 is.

show_logs() {
  local command="tail -n $lines skinflow/job.log"
  [ "$follow" = no ] || command="tail -n $lines -F skinflow/job.log"
  need_pod
  if [ -n "$worker" ]; then
    each_of "$worker" "$command"
  elif [ "$follow" = yes ]; then
    follow_all "$command"
  else
    all_logs "$command"
  fi
}

all_logs() {
  local i
  on_workers "$machines" "$1"
  [ "$dry_run" = no ] || return 0
  for ((i = 0; i < machines; i++)); do
    [ "$(cat "$scratch/code.$i")" != 0 ] || numbered "$i" < "$scratch/out.$i"
  done
  all_workers "$machines" "reading the logs"
}

# follow_all COMMAND: all of them side by side, until Ctrl-C or until no connection is left.
follow_all() {
  local i jobs=()
  [ "$machines" -le "$at_once" ] ||
    die "--follow shows at most $at_once workers: give --worker=I; logs shows all, and which of them prints"
  # The first contact is one worker's alone.
  [ "$dry_run" = yes ] || { on_workers 1 true && all_workers 1 "reaching it"; }
  for ((i = 0; i < machines; i++)); do
    if [ "$dry_run" = yes ]; then ssh_worker "$i" "$1" && continue; fi
    # A process group each, all of which can be ended: gcloud starts ssh.
    set -m
    ssh_worker "$i" "$1" < /dev/null 2>&1 | numbered "$i" &
    set +m
    jobs+=("$(jobs -p %%)")
  done
  [ "$dry_run" = no ] || return 0
  trap 'end_groups "${jobs[@]}"; exit 130' INT
  trap 'end_groups "${jobs[@]}"; exit 143' TERM
  wait
  die "no connection is left" 1
}

end_groups() {
  local group
  for group in "$@"; do kill -TERM -- "-$group" 2> /dev/null || true; done
}

# numbered I: lines of standard input after the number of their worker.
numbered() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do printf '[%s] %s\n' "$1" "$line"; done
}
