# shellcheck shell=bash
# Sourced: gcloud, with one line for what it says. Needs say.sh and `scratch`, a folder.

# What `cloud` returns where the thing that is asked for does not exist.
absent=44

need_gcloud() {
  local account
  [ "$dry_run" = no ] || return 0
  command -v gcloud > /dev/null || die "gcloud is not there: https://cloud.google.com/sdk/docs/install"
  account="$(gcloud auth list '--filter=status:ACTIVE' '--format=value(account)' 2> /dev/null)" || account=""
  [ -n "$account" ] || die "gcloud has no login: gcloud auth login"
}

# cloud WORDS...: gcloud's answer on stdout; returns `absent` for what is not there, and ends with
# one line on any other error. Where nothing is to be done it shows the command.
cloud() {
  local errors="$scratch/errors.$BASHPID"
  if [ "$dry_run" = yes ]; then
    show gcloud "$@" >&3
    return 0
  fi
  gcloud "$@" 2> "$errors" && return 0
  explain "$(cat "$errors")" "gcloud ${*:1:5}"
}

# explain ERRORS COMMAND: ends with the line that says what to do.
explain() {
  local line
  line="$(grep -m 1 'ERROR' <<< "$1" || head -n 1 <<< "$1")"
  # gcloud compute puts what is wrong on a line of its own.
  case "$line" in *:) line="$line $(grep -m 1 '^ - ' <<< "$1" || true)" ;; esac
  case "$1" in
    *'active account'* | *'auth login'* | *[Rr]eauthent* | *invalid_grant*)
      die "gcloud has no login, or it has run out: gcloud auth login" ;;
    *'unrecognized arguments'*)
      die "this gcloud is too old: gcloud components update ($line)" ;;
    *PERMISSION_DENIED* | *"Required '"*permission*)
      die "the account may not: $line; ask for roles/tpu.admin and roles/compute.instanceAdmin.v1" ;;
    *[Qq]uota* | *RESOURCE_EXHAUSTED* | *ZONE_RESOURCE_POOL_EXHAUSTED* | *'enough resources'*)
      die "no capacity or quota: $line; try another zone, --spot or --reservation, or ask for quota" 1 ;;
    *NOT_FOUND* | *'was not found'*)
      printf '%s\n' "$line" > "$scratch/absent"
      return "$absent"
      ;;
    *) die "$2: $line" 1 ;;
  esac
}

# or_absent CODE: that something is not there is an answer; any other failure ends.
or_absent() { [ "$1" = "$absent" ] || exit "$1"; }

# or_end CODE: what was to be there is not, such as the zone that something is to be made in.
or_end() {
  [ "$1" != "$absent" ] || die "$(cat "$scratch/absent"); look at --project and --zone"
  exit "$1"
}

# remote WORDS...: gcloud's ssh and scp, whose complaints are the machine's.
remote() {
  if [ "$dry_run" = yes ]; then
    show gcloud "$@" >&3
  else
    gcloud "$@"
  fi
}
