# shellcheck shell=bash
# Sourced: a shell that stands between a scheduler and Python hands signals on, since bash would
# otherwise take SIGTERM itself once its child has ended, or die and leave the child.

# pass_signals COMMAND...: runs it, hands on SIGTERM and SIGINT, returns its exit code.
# `signalled` is then yes if one came.
pass_signals() {
  local code child interrupted
  # Job control, for a group of its own: else bash starts it with SIGINT ignored.
  set -m
  "$@" &
  child=$!
  set +m
  signalled=no
  trap 'signalled=yes interrupted=yes; kill -TERM "$child" 2> /dev/null || true' TERM
  trap 'signalled=yes interrupted=yes; kill -INT "$child" 2> /dev/null || true' INT
  while :; do
    interrupted=no
    code=0
    wait "$child" || code=$?
    # A wait that a signal cut short says the signal's number, not the child's code.
    [ "$interrupted" = yes ] || break
  done
  trap - TERM INT
  return "$code"
}
