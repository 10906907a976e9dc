#!/usr/bin/env bash
# The method's three runs in order, going on at the first that is unfinished.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib/say.sh"
. "$here/lib/flags.sh"
. "$here/lib/signals.sh"

usage="usage: launch/stages.sh --root=DIR [--stages=\"NAME NAME ...\"] [--init-from=DIR] [--records=DIR]
                        [--dry-run] [-- flags for skinflow train]

Runs \`skinflow train --resume\` for each stage in ROOT/NAME, each from the workdir of the one before.
Start it again after whatever ended it: a finished stage returns at once. It ends with the exit code
of the first stage that does not end with 0 (42: start it again). On several hosts start it on all.

  --root=DIR       where the workdirs lie: a folder that all hosts see, or gs://BUCKET/PATH
  --stages=NAMES   shipped configs or config files; default: skinflow_7b_warmup skinflow_7b_stage1
                   skinflow_7b_stage2
  --init-from=DIR  what the first stage starts from; default: what its config says
  --records=DIR    where records lie or are built, on this machine's disk; default: in each workdir, or
                   where ROOT is a bucket in its spool (docs/storage.md)
  --dry-run        print the commands, do nothing"

root="" records="" init_from="" dry_run=no
# shellcheck disable=SC2034 # read by their names
coordinator="" processes="" process="" cluster=""
stages="skinflow_7b_warmup skinflow_7b_stage1 skinflow_7b_stage2"
flags "root stages init-from records coordinator processes process cluster" dry-run "$@"
set -- ${rest[@]+"${rest[@]}"}
# How the processes find one another: what starts them puts it at the end of any command.
for name in coordinator processes process cluster; do
  [ -z "${!name}" ] || set -- "$@" "--$name=${!name}"
done
[[ -n $root && ($root != gs:* || $root =~ ^gs://[^/]) ]] ||
  die "give --root=DIR, a folder that all hosts see or gs://BUCKET/PATH"
# Split at spaces, and nothing else: a * is no file here.
set -f
# shellcheck disable=SC2206
stages=($stages)
[ "${#stages[@]}" -gt 0 ] || die "--stages names no stage"
if [ "$dry_run" = no ] && ! command -v skinflow > /dev/null; then
  die "skinflow is not on the PATH: activate the environment that skinflow-jax is installed in"
fi
for flag in "$@"; do
  case "$flag" in
    --config=* | --config | --workdir=* | --workdir | --resume | --config.model.init_from | --config.model.init_from=*)
      die "${flag%%=*} is set for each stage by this script; use --stages, --root or --init-from"
      ;;
  esac
done

root="${root%/}" before="${init_from%/}"
workdir_of() {
  local name="${1##*/}"
  printf '%s/%s\n' "$root" "${name%.py}"
}
# Before the first is run, all of them.
taken=("$before")
for stage in "${stages[@]}"; do
  workdir="$(workdir_of "$stage")"
  [[ ${workdir##*/} =~ ^[A-Za-z0-9_][A-Za-z0-9_.+-]*$ ]] || die "--stages: '$stage' names no config: give names or files"
  for other in "${taken[@]}"; do
    [ "$workdir" != "$other" ] || die "two stages in one workdir, $workdir: rename one"
  done
  taken+=("$workdir")
done
for stage in "${stages[@]}"; do
  workdir="$(workdir_of "$stage")"
  command=(skinflow train "--config=$stage" "--workdir=$workdir" --resume)
  [ -z "$before" ] || command+=("--config.model.init_from=$before")
  [ -z "$records" ] || command+=("--records=$records")
  command+=("$@")
  before="$workdir"
  if [ "$dry_run" = yes ]; then
    show "${command[@]}"
    continue
  fi
  printf '%s: %s in %s\n' "${0##*/}" "$stage" "$workdir"
  pass_signals "${command[@]}" || exit $?
  # A signal that the stage answered by ending well ends the stages too: it asked all to stop.
  [ "$signalled" = no ] || exit 42
done
