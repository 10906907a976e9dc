#!/usr/bin/env bash
# What systemd runs: the job's command, as start.sh wrote it down. Notes the exit code of a job that
# has ended for good: not one that asks to be started again, or that a stop or a shutdown ended.
set -euo pipefail
home="$1"
# shellcheck source=/dev/null
. "$home/code/launch/lib/signals.sh"
# shellcheck source=/dev/null
. "$home/command"
code=0
# Records are read from this machine's disk; those that are there already are not copied again.
# shellcheck disable=SC2154 # from the file
if [ -n "$data" ]; then
  mkdir -p "$home/records"
  pass_signals gcloud storage rsync --recursive "$data" "$home/records" || code=$?
fi
# For processes that find each other by the metadata; JAX's own port is shut by Google's firewall rule.
# shellcheck disable=SC2154 # from the file
export JAX_COORDINATOR_PORT="$port"
# shellcheck disable=SC2154 # from the file
[ "$code" != 0 ] || pass_signals "${command[@]}" || code=$?
# shellcheck disable=SC2154 # set by pass_signals
if [ "$signalled" = no ] && [ "$code" != 42 ]; then
  echo "$code" > "$home/ended"
fi
exit "$code"
