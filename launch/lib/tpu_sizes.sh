# shellcheck shell=bash
# Sourced: the sizes of slices, from tpu_sizes.tsv. Needs say.sh.

tpu_sizes_file="${BASH_SOURCE[0]%/*}/../tpu_sizes.tsv"

# tpu_size TYPE: sets tpu_type, topology, chips, machines, backends, runtime and machine_type, or names the types
# of the same kind that exist.
tpu_size() {
  local type="$1" row
  case "$type" in
    v5e-*) type="v5litepod-${type#v5e-}" ;;
    v7x-* | 7x-*) type="tpu7x-${type##*-}" ;;
  esac
  if ! row="$(awk -F '\t' -v type="$type" '$1 == type { print; found = 1 } END { exit !found }' "$tpu_sizes_file")"; then
    die "there is no slice '$1'; there are: $(tpu_sizes_like "${type%%-*}")"
  fi
  IFS=$'\t' read -r tpu_type topology chips machines backends runtime machine_type _ <<< "$row"
}

tpu_sizes_like() {
  awk -F '\t' -v kind="$1" '
    /^#/ || $1 == "type" { next }
    { split($1, part, "-"); all = all " " $1; if (part[1] == kind) like = like " " $1 }
    END { print substr(like == "" ? all : like, 2) }' "$tpu_sizes_file"
}
