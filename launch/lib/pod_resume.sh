# shellcheck shell=bash
# Sourced: a job brought back, whatever became of its slice.

# A job that failed is started again because a person asks, not because someone watches.
restart_failed=yes

# resume_once: the slice, the setup and the job, as far as they are not there.
resume_once() {
  create_pod
  job=lost
  [ "$dry_run" = yes ] || show_status "${words[@]}"
  case "$job $restart_failed" in
    running* | finished* | 'failed no')
      note "the job: $job"
      return
      ;;
  esac
  # What still runs while others do not waits for them in vain.
  replace=yes
  need_pod
  make_setup
  start_job
}

# watch_job: waits for its end; exits 0 if it has finished, 3 if it has failed, 4 if it is lost, which
# must be seen twice: between two tries of a job nothing runs.
watch_job() {
  local before=""
  while :; do
    sleep "$poll"
    show_status "${words[@]}" > "$scratch/status"
    case "$job" in
      finished) exit 0 ;;
      failed) exit 3 ;;
      lost) [ "$before" != lost ] && [ "$state" = ready ] || exit 4 ;;
    esac
    before="$job"
  done
}

# resume_and_watch: until the job has finished or failed. An error on the way, such as a connection
# that broke, is tried again: nobody may be there to do so.
resume_and_watch() {
  local code tries=0
  while :; do
    # Not behind `||`, where bash would go on after an error.
    set +e
    (
      set -e
      resume_once
      watch_job
    )
    code=$?
    set -e
    restart_failed=no
    case "$code" in
      0) return ;;
      2) exit 2 ;;
      3) die "the job has failed: launch/${0##*/} logs" 1 ;;
      4) tries=0 ;;
      *) tries=$((tries + 1)) ;;
    esac
    [ "$tries" -lt 20 ] || die "given up after 20 errors in a row" 1
    sleep "$poll"
  done
}

resume() {
  if [ "$watch" = yes ] && [ "$dry_run" = no ]; then
    resume_and_watch
  else
    resume_once
  fi
}
