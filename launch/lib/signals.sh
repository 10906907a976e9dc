# shellcheck shell=bash
# Sourced: a shell that stands between a scheduler and Python hands signals on, since bash would
# otherwise take SIGTERM itself once its child has ended, or die and leave the child.

# Whether a signal has come since the first command was run; it is never forgotten again.
signalled=no
child="" not_yet=""

# pass_signals COMMAND...: runs it, hands on what asks it to end, SIGHUP of a closed terminal too (which
# stays ignored under nohup), returns its exit code; 42 without running it where a signal has come
# before: one that reached the shell between two commands, or that the last one answered by ending
# well, asked all of them to stop.
pass_signals() {
  local code name
  for name in TERM INT HUP QUIT; do
    # shellcheck disable=SC2064 # the name is that of now
    trap "hand_on $name" "$name"
  done
  [ "$signalled" = no ] || return 42
  # Job control, for a group of its own: else bash starts it with SIGINT ignored.
  set -m
  "$@" &
  child=$!
  set +m
  # What came while it was started.
  [ -z "$not_yet" ] || kill "-$not_yet" "$child" 2> /dev/null || true
  while :; do
    interrupted=no
    code=0
    wait "$child" || code=$?
    # A wait that a signal cut short says the signal's number, not the child's code.
    [ "$interrupted" = yes ] || break
  done
  child=""
  return "$code"
}

hand_on() {
  signalled=yes interrupted=yes
  if [ -n "$child" ]; then
    kill "-$1" "$child" 2> /dev/null || true
  else
    not_yet="$1"
  fi
}
