# shellcheck shell=bash
# Sourced: a command on the workers of a slice, side by side. Needs a back end and `scratch`.

# As many connections at a time as a laptop bears.
at_once=16

# on_workers N COMMAND: runs it on workers 0 to N-1 with WORKER set; what it says and its exit code go
# to out.I, err.I and code.I in `scratch`.
on_workers() { each_worker "$1" ssh_worker "$2"; }

# copy_to_workers N FILE DESTINATION
copy_to_workers() { each_worker "$1" pod_copy "$2" "$3"; }

ssh_worker() { pod_ssh "$1" "export WORKER=$1; $2"; }

# The first contact is worker 0's alone: gcloud may have to make a key and bring it to the slice, which
# several at once would do against each other.
greeted=no

each_worker() {
  local i
  for ((i = 0; i < $1; i++)); do
    if [ "$dry_run" = yes ]; then
      "$2" "$i" "${@:3}"
      continue
    fi
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n || true; done
    one_worker "$i" "${@:2}" &
    [ "$greeted" = yes ] || { wait && greeted=yes; }
  done
  wait
}

one_worker() {
  local code=0
  ("$2" "$1" "${@:3}") > "$scratch/out.$1" 2> "$scratch/err.$1" < /dev/null || code=$?
  echo "$code" > "$scratch/code.$1"
}

# all_workers N WHAT: ends, with a line for each worker that failed in WHAT.
all_workers() {
  local i failed=0
  [ "$dry_run" = no ] || return 0
  for ((i = 0; i < $1; i++)); do
    [ "$(cat "$scratch/code.$i")" != 0 ] || continue
    failed=$((failed + 1))
    printf '%s: worker %s %s\n' "${0##*/}" "$i" "$(complaint "$i")" >&2
  done
  [ "$failed" = 0 ] || die "$2 failed on $failed of $1 workers" 1
}

# complaint I: in one line, why worker I failed; ssh itself ends with 255. What gcloud adds to it says
# nothing more.
complaint() {
  local line code
  code="$(cat "$scratch/code.$1")"
  line="$(cat "$scratch/out.$1" "$scratch/err.$1" |
    grep -v -e '^ *$' -e 'exited with ' -e 'with exit status' -e '^Retrying' | tail -n 1 || true)"
  case "$code" in
    255) printf 'does not answer: %s\n' "${line:-ssh failed}" ;;
    *) printf 'says: %s\n' "${line:-exit code $code}" ;;
  esac
}
