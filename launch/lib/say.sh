# shellcheck shell=bash
# Sourced: how a launch script speaks and ends. The script sets `usage` and `dry_run`.

# die MESSAGE [CODE]: one line on stderr; 2 is what the person wrote, 1 what failed.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit "${2:-2}"
}

# help: the usage, where it was asked for.
help() {
  printf '%s\n' "$usage"
  exit 0
}

# show COMMAND...: the command quoted so that it can be pasted.
show() {
  local line
  line="$(printf '%q ' "$@")"
  printf '%s\n' "${line% }"
}

# run COMMAND...: runs it, or shows it where nothing is to be done.
run() {
  if [ "$dry_run" = yes ]; then
    show "$@"
  else
    "$@"
  fi
}

# count NAME VALUE: a whole number from 1, or an error that names the flag.
count() {
  case "$2" in
    '' | *[!0-9]* | 0*) die "$1 must be a whole number from 1, not '$2'" ;;
    ??????????*) die "$1=$2 is too large" ;;
  esac
}

# port_number VALUE: of --port.
port_number() {
  count --port "$1"
  [ "$1" -le 65535 ] || die "--port=$1: ports end at 65535"
}

# need_bash VERSION: a Mac's own is 3.2.
need_bash() {
  [ "${BASH_VERSINFO[0]}" -ge "$1" ] || die "bash $1 or newer is needed (on a Mac: brew install bash)"
}
