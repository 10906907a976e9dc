#!/usr/bin/env bash
# Runs on each machine of a slice: what its job does in a few words, and the last line of its log.
set -euo pipefail
home="$HOME/skinflow"
case "$(systemctl is-active skinflow 2> /dev/null || true)" in
  active) echo running ;;
  activating) echo restarting ;;
  deactivating) echo stopping ;;
  *)
    if [ ! -e "$home/command" ]; then
      echo "no job"
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
