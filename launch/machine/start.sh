#!/usr/bin/env bash
# Runs on each machine of a slice: makes the given command its job, and starts that by systemd.
# usage: start.sh --workers=N --coordinator=ADDRESS:PORT --cluster=NAME [--data=gs://...]
#                 --replace=yes|no -- COMMAND...
set -euo pipefail
[[ " $* " == *" -- "* ]] || { echo "usage: start.sh --workers=N ... -- COMMAND..." >&2 && exit 2; }
home="$HOME/skinflow" replace=no data=""
while [ "$1" != -- ]; do
  case "$1" in
    --workers=*) workers="${1#*=}" ;;
    --coordinator=*) coordinator="${1#*=}" ;;
    --cluster=*) cluster="${1#*=}" ;;
    --data=*) data="${1#*=}" ;;
    --replace=*) replace="${1#*=}" ;;
  esac
  shift
done
shift
given=("$@") command=("$@")

state="$(systemctl is-active skinflow 2> /dev/null || true)"
if [ "$state" = active ] || [ "$state" = activating ]; then
  [ "$replace" = yes ] || { echo "a job runs here: --replace stops it first" >&2 && exit 2; }
  sudo systemctl stop skinflow
fi

case "$cluster" in
  addresses) command+=("--coordinator=$coordinator" "--processes=$workers" "--process=$WORKER") ;;
  *) command+=("--cluster=$cluster") ;;
esac
stop=120
for word in "${command[@]}"; do
  grace="${word#--grace=}" grace="${grace%s}"
  case "$grace" in '' | *[!0-9]*) ;; *) [ "$word" = "${word#--grace=}" ] || stop=$((grace + 95)) ;; esac
done

rm -f "$home/ended"
port="${coordinator##*:}"
declare -p given command data port > "$home/command"
[ ! -e "$home/job.log" ] || mv "$home/job.log" "$home/job.log.before"
sed -e "s|@HOME@|$home|g" -e "s|@USER@|$(id -un)|g" -e "s|@STOP@|$stop|g" \
  "$home/code/launch/machine/skinflow.service" > "$home/skinflow.service"
sudo systemctl enable --quiet "$home/skinflow.service"
sudo systemctl daemon-reload
sudo systemctl reset-failed skinflow 2> /dev/null || true
sudo systemctl start skinflow
