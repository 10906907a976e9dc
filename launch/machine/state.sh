#!/usr/bin/env bash
# Runs on each machine of a slice: what its job does in a few words, and the last line of its log.
# usage: state.sh [COMMAND...]: a job that does not run is `another` if it was not this command.
set -euo pipefail
home="$HOME/skinflow"
asked=("$@") given=()
# shellcheck source=/dev/null
[ ! -e "$home/command" ] || . "$home/command"
state="$(systemctl is-active skinflow 2> /dev/null || true)"
case "$state" in
  active) echo running ;;
  activating) echo restarting ;;
  deactivating) echo stopping ;;
  *)
    if [ ! -e "$home/command" ]; then
      echo "no job"
    elif [ "${#asked[@]}" -gt 0 ] && [ "${asked[*]@Q}" != "${given[*]@Q}" ]; then
      echo "another job"
    elif [ "$state" = failed ] && [ ! -e "$home/ended" ]; then
      echo "failed: started too often"
    elif [ ! -e "$home/ended" ]; then
      echo "stopped"
    elif [ "$(cat "$home/ended")" = 0 ]; then
      echo finished
    else
      echo "failed $(cat "$home/ended")"
    fi
    ;;
esac
[ ! -e "$home/job.log" ] || tail -n 1 "$home/job.log"
