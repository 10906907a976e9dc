#!/usr/bin/env bash
# usage: pack.sh ARCHIVE: makes what setup.sh finds unpacked: the project as it stands here, changes
# included, that is what git tracks or does not ignore.
set -euo pipefail
[ $# = 1 ] || { echo "usage: pack.sh ARCHIVE" >&2 && exit 2; }
[ -d "$(dirname "$1")" ] || { echo "pack.sh: $1: there is no such folder" >&2 && exit 2; }
# Without realpath, which on a Mac wants a file that is there.
archive="$(cd "$(dirname "$1")" && pwd)/${1##*/}"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
files="$(mktemp)"
trap 'rm -f "$files"' EXIT
git ls-files -z --cached --others --exclude-standard 2> /dev/null |
  # What is deleted but not committed is still listed.
  while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then
      printf '%s\0' "$file"
    elif [ -L "$file" ]; then
      printf 'pack.sh: %s is left out: a link to what is not there\n' "$file" >&2
    fi
  done > "$files" || true
# No git, as in a release: all but what a run or an environment leaves.
[ -s "$files" ] ||
  find . \( -name '.venv*' -o -name __pycache__ -o -path ./runs \) -prune -o \( -type f -o -type l \) -print0 > "$files"
# Else a Mac's tar adds a ._FILE for each file that has attributes.
export COPYFILE_DISABLE=1
tar --null -T "$files" -czf "$archive"
