#!/usr/bin/env bash
# N processes of one run on this machine's processor: a pod to try and test things on.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib/say.sh"
# For its waits of parts of a second.
need_bash 4

usage="usage: launch/local_pod.sh N [--devices=D] [--logs=DIR] [--port=PORT] [--patience=SECONDS]
                           [--dry-run] -- COMMAND...

Starts COMMAND N times, each with D CPU devices and with --coordinator, --processes and --process
added, and waits for all:

  launch/local_pod.sh 2 --devices=4 -- skinflow train --config=debug_sft --workdir=runs/pod --resume

  --devices=D         devices a process; default: 1
  --logs=DIR          output of process I goes to DIR/process_I.log, and of process 0 here as well;
                      default: all of it here, each line after the number of its process
  --port=PORT         where process 0 listens; default: one that is free
  --patience=SECONDS  how long the others may go on once one has failed, or a signal has come, before
                      they get SIGTERM, and at most 30 seconds later SIGKILL; default: 150
  --dry-run           print the commands, do nothing

SIGTERM, Ctrl-C and the SIGHUP of a closed terminal go to all. The exit code is the gravest: 2, then 1,
then 42, then 0; a process that died of a signal counts less than 42."

processes="" devices=1 logs="" port="" patience=150 dry_run=no
while [ $# -gt 0 ]; do
  case "$1" in
    --devices=*) devices="${1#*=}" ;;
    --logs=*) logs="${1#*=}" ;;
    --port=*) port="${1#*=}" ;;
    --patience=*) patience="${1#*=}" ;;
    --dry-run) dry_run=yes ;;
    --help | -h) help ;;
    --)
      shift
      break
      ;;
    -*) die "unknown flag '$1'; the command goes after --" ;;
    *)
      [ -z "$processes" ] || die "the command goes after --, not '$1'"
      processes="$1"
      ;;
  esac
  shift
done
count "the number of processes" "$processes"
count --devices "$devices"
count --patience "$patience"
[ $# -gt 0 ] || die "no command: launch/local_pod.sh $processes -- skinflow train ..."

listening() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# Below the range that Linux hands out by itself, so that no client socket takes it in between.
free_port() {
  local tried
  for tried in {1..100}; do
    tried=$((20000 + RANDOM % 12000))
    if ! listening "$tried"; then
      printf '%s\n' "$tried"
      return
    fi
  done
  die "found no free port; give one by --port" 1
}

if [ -z "$port" ]; then
  port="$(free_port)"
else
  port_number "$port"
  [ "$dry_run" = yes ] || ! listening "$port" || die "port $port is in use; leave --port out for a free one" 1
fi

# The last of two counts in XLA_FLAGS wins, and JAX's own variable would win over both.
unset JAX_NUM_CPU_DEVICES
flags="${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=$devices"
environment=(env JAX_PLATFORMS=cpu "XLA_FLAGS=$flags")
arguments=("--coordinator=127.0.0.1:$port" "--processes=$processes")

if [ "$dry_run" = yes ]; then
  for ((i = 0; i < processes; i++)); do
    show "${environment[@]}" "$@" "${arguments[@]}" "--process=$i"
  done
  exit 0
fi
command -v "$1" > /dev/null || die "'$1' is not a command: activate its environment, or give its path"
[ -z "$logs" ] || mkdir -p "$logs" || die "--logs=$logs cannot be made" 1

pipes="$(mktemp -d)"
trap 'rm -rf "$pipes"' EXIT
# Nothing is ever written here: reading it with a time limit sleeps, and a signal ends the sleep.
mkfifo "$pipes/clock"
exec 9<> "$pipes/clock"
# A process group each. Without it bash starts them with SIGINT ignored, and a Ctrl-C at the
# terminal would reach them twice.
set -m
pids=() filters=()

# relay I STREAM: the lines of a process, to its log or after its number.
relay() {
  # A reader or terminal that is gone must not take what a process writes while it saves.
  trap '' INT TERM HUP QUIT PIPE
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    if [ -z "$logs" ]; then
      printf '[%s] %s\n' "$1" "$line" 2> /dev/null || true
    else
      printf '%s\n' "$line" >> "$logs/process_$1.log"
      [ "$1" != 0 ] || printf '%s\n' "$line" 2> /dev/null || true
    fi
  done < "$pipes/$1.$2"
}

start() {
  [ -z "$logs" ] || : > "$logs/process_$1.log"
  mkfifo "$pipes/$1.out" "$pipes/$1.err"
  relay "$1" out 9>&- &
  filters+=($!)
  relay "$1" err >&2 9>&- &
  filters+=($!)
  "${environment[@]}" "${@:2}" "${arguments[@]}" "--process=$1" \
    > "$pipes/$1.out" 2> "$pipes/$1.err" < /dev/null 9>&- &
  pids+=($!)
}

codes=() deadline="" stage=TERM asked=""
to_all() {
  local each
  for each in "${!pids[@]}"; do
    [ -n "${codes[each]:-}" ] || kill "-$1" "${pids[each]}" 2> /dev/null || true
  done
}
limit() { [ -n "$deadline" ] || deadline=$((SECONDS + patience)); }
for name in TERM INT HUP QUIT; do
  # shellcheck disable=SC2064 # the name is that of now
  trap "asked=$name; limit; to_all $name" "$name"
done

for ((i = 0; i < processes; i++)); do
  start "$i" "$@"
done
set +m
# Those that were started after a signal came have not had it.
[ -z "$asked" ] || to_all "$asked"

while [ "${#codes[@]}" -lt "$processes" ]; do
  for i in "${!pids[@]}"; do
    if [ -z "${codes[i]:-}" ] && ! kill -0 "${pids[i]}" 2> /dev/null; then
      code=0
      # Without what bash says of a child that died of a signal: the last line says it.
      { wait "${pids[i]}" || code=$?; } 2> /dev/null
      codes[i]="$code"
      [ "$code" = 0 ] || limit
    fi
  done
  if [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ]; then
    to_all "$stage"
    stage=KILL deadline=$((SECONDS + (patience < 30 ? patience : 30)))
  fi
  read -r -t 0.1 -u 9 _ || true
done
# Children that a process left behind would hold its output open.
for i in "${!pids[@]}"; do
  kill -KILL -- "-${pids[i]}" 2> /dev/null || true
done
for i in "${filters[@]}"; do
  wait "$i" || true
done

rank() {
  case "$1" in
    0) echo 0 ;;
    42) echo 2 ;;
    130) echo 3 ;;
    1) echo 5 ;;
    2) echo 6 ;;
    *) if [ "$1" -gt 126 ]; then echo 1; else echo 4; fi ;;
  esac
}
trap '' PIPE
gravest=0
for code in "${codes[@]}"; do
  [ "$(rank "$code")" -le "$(rank "$gravest")" ] || gravest="$code"
done
if [ "$gravest" != 0 ]; then
  printf '%s: exit codes of processes 0 to %s: %s\n' "${0##*/}" "$((processes - 1))" "${codes[*]}" >&2 || true
fi
exit "$gravest"
