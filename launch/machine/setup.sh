#!/usr/bin/env bash
# Runs on each machine of a slice, from the new code: gives it a Python of its own (the image's is
# 3.10, or not to be installed into) with this project in it, and puts the new code in its place.
set -euo pipefail
python=3.12 uv_version=0.13.9
home="$HOME/skinflow"

state="$(systemctl is-active skinflow 2> /dev/null || true)"
case "$state" in
  active | activating | deactivating)
    if [ "${1:-}" != --replace=yes ]; then
      echo "a job runs here, whose code would change: --replace stops it first (SIGTERM, so that it saves)" >&2
      exit 2
    fi
    sudo systemctl stop skinflow
    ;;
esac

# What is interrupted from here on is no setup.
rm -f "$home/ready"
uv="$home/bin/uv"
if [ "$("$uv" --version 2> /dev/null | cut -d ' ' -f 2)" != "$uv_version" ]; then
  curl -LsSf "https://astral.sh/uv/$uv_version/install.sh" | env UV_UNMANAGED_INSTALL="$home/bin" sh > /dev/null
fi
rm -rf "$home/old"
[ ! -e "$home/code" ] || mv "$home/code" "$home/old"
mv "$home/new" "$home/code"
rm -rf "$home/old"
"$uv" venv --quiet --allow-existing --python "$python" "$home/venv"
"$uv" pip install --quiet --python "$home/venv/bin/python" --editable "$home/code[tpu]"
touch "$home/ready"
