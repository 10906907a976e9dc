# shellcheck shell=bash
# Sourced: a slice from being asked for to its workers, with either back end.

# note MESSAGE: on stderr, of what has been done.
note() { [ "$dry_run" = yes ] || printf '%s: %s\n' "${0##*/}" "$1" >&2; }

# create_pod: makes the slice, or waits for one that was asked for. One that was taken away, or whose
# request failed, cannot come back: it is deleted and asked for again.
create_pod() {
  pod_state
  case "$state" in
    ready) note "$name is there ($said)" && return ;;
    waiting) note "$name has been asked for ($said)" ;;
    absent) pod_ask ;;
    lost | failed)
      note "$name is $said: it is deleted and created again"
      pod_remove
      pod_ask
      ;;
  esac
  [ "$dry_run" = no ] && [ "$stay" = yes ] || return 0
  wait_for_pod
}

wait_for_pod() {
  local deadline=$((SECONDS + patience)) before=""
  while :; do
    pod_state
    case "$state" in
      ready) note "$name is ready: $tpu_type, $machines machine(s) of $topology" && return ;;
      failed) die "$name cannot be had: $said" 1 ;;
      lost) die "$name was taken away while it was made ($said): launch/${0##*/} create asks again" 1 ;;
      absent) die "$name was deleted by someone while it was made" 1 ;;
    esac
    [ "$said" = "$before" ] || note "$name: $said"
    before="$said"
    [ "$SECONDS" -lt "$deadline" ] ||
      die "$name is not there after $patience s ($said); create goes on waiting, delete gives it up" 1
    sleep "$poll"
  done
}

# need_pod: the slice with all its workers, or a line that says what to do.
need_pod() {
  if [ "$dry_run" = yes ]; then
    pod_hosts
    return
  fi
  pod_state
  case "$state" in
    ready) ;;
    absent) die "there is no $name in $zone: launch/${0##*/} create" 1 ;;
    waiting) die "$name is not ready ($said): launch/${0##*/} create waits for it" 1 ;;
    *) die "$name is lost ($said): launch/${0##*/} resume creates it again" 1 ;;
  esac
  pod_hosts
  [ "${#addresses[@]}" = "$machines" ] ||
    die "${#addresses[@]} of $machines workers are there: launch/${0##*/} delete, then resume" 1
}

# make_setup: the project's files as they stand here, and a Python for them, on all workers.
make_setup() {
  local archive="$scratch/code.tar.gz"
  # A command that is shown to be pasted cannot use a folder that is removed.
  [ "$dry_run" = no ] || archive=/tmp/code.tar.gz
  run bash "$here/machine/pack.sh" "$archive" || die "the project cannot be packed" 1
  on_workers "$machines" "mkdir -p skinflow"
  all_workers "$machines" "reaching them"
  copy_to_workers "$machines" "$archive" skinflow/code.tar.gz
  all_workers "$machines" "copying the code"
  # The old code goes whole: a module that was deleted here must not be found there.
  on_workers "$machines" "set -e; cd skinflow; rm -rf new; mkdir new; tar -xzf code.tar.gz -C new; \
bash new/launch/machine/setup.sh --replace=$replace"
  all_workers "$machines" "setting up"
}
