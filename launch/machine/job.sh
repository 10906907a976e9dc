#!/usr/bin/env bash
# What systemd runs: the job's command, as start.sh wrote it down. Notes the exit code of a job that
# has ended for good: not of one that asks to be started again, that was killed, or that a stop or a
# shutdown ended. Of those the code here is 42, on which alone systemd starts it again.
set -euo pipefail
[ $# = 1 ] || { echo "usage: job.sh HOME, as start.sh has filled it" >&2 && exit 2; }
home="$1"
# shellcheck source=/dev/null
. "$home/code/launch/lib/signals.sh"
# shellcheck source=/dev/null
. "$home/command"

# Records are read from this machine's disk; those that are there already are not copied again. What
# keeps the bucket from being read may pass: a wrong name ends at systemd's limit of starts.
bring_data() {
  local pause
  mkdir -p "$home/records"
  # shellcheck disable=SC2154 # from the file
  for pause in 10 60 0; do
    pass_signals gcloud storage rsync --recursive "$data" "$home/records" && return
    [ "$signalled" = no ] || return 42
    pass_signals sleep "$pause" || return 42
  done
  printf 'job.sh: %s could not be brought to this machine\n' "$data" >&2
  return 42
}

code=0
[ -z "$data" ] || bring_data || code=$?
# For processes that find each other by the metadata; JAX's own port is shut by Google's firewall rule.
# shellcheck disable=SC2154 # from the file
export JAX_COORDINATOR_PORT="$port"
# shellcheck disable=SC2154 # from the file
[ "$code" != 0 ] || pass_signals "${command[@]}" || code=$?
# JAX's abort is 134, the end of a process for which there was no memory 137.
if [ "$signalled" = no ] && [ "$code" -ge 127 ]; then
  printf 'job.sh: exit code %d: to be started again\n' "$code" >&2
  code=42
fi
if [ "$signalled" = no ] && [ "$code" != 42 ]; then
  echo "$code" > "$home/ended"
fi
exit "$code"
