#!/usr/bin/env bash
# A run on the GPUs of this machine, started again wherever it says 42.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib/say.sh"
. "$here/lib/flags.sh"
. "$here/lib/signals.sh"

usage="usage: launch/gpu_local.sh [--gpus=0,1] [--restarts=N] [--check] [--dry-run] -- COMMAND...

  launch/gpu_local.sh --check -- skinflow train --config=debug_sft --workdir=runs/x --resume

  --gpus=LIST   which GPUs; default: all
  --restarts=N  times that the command is started again after exit code 42, unless a signal to this
                script was why; default: 3
  --check       first look at driver, devices, memory and results (launch/debug_gpu.py, a minute)
  --dry-run     print the commands, do nothing

Install: pip install -e '.[cuda]'. What to look at while debugging:

  nvidia-smi dmon -s pucm            use of the cores, memory, clocks, power: is the card working?
  nvidia-smi --query-compute-apps=pid,used_memory --format=csv    who else is on it
  XLA_PYTHON_CLIENT_PREALLOCATE=false    memory as it is used, not three quarters at the start
  XLA_PYTHON_CLIENT_MEM_FRACTION=.95     more of it for a run that nearly fits
  JAX_LOG_COMPILES=1                 what is compiled, and compiled again
  JAX_DEBUG_NANS=1                   stop at the operation that made the first NaN
  TF_CPP_MIN_LOG_LEVEL=0             XLA's own messages
  XLA_FLAGS=--xla_dump_to=DIR        the compiled programs, and the buffers that they need
  py-spy dump --pid=PID              where a process that seems to hang is (pip install py-spy)
  tensorboard --logdir=WORKDIR       losses, times of each phase, memory; WORKDIR/metrics.jsonl too"

gpus="" restarts=3 check=no dry_run=no
flags "gpus restarts" "check dry-run" "$@"
set -- ${rest[@]+"${rest[@]}"}
[ $# -gt 0 ] || die "no command: launch/gpu_local.sh -- skinflow train ..."
[ "$restarts" = 0 ] || count --restarts "$restarts"
[[ $gpus =~ ^([0-9]+(,[0-9]+)*)?$ ]] || die "--gpus=$gpus: give numbers as nvidia-smi -L counts them: --gpus=0,1"
# CUDA sees none of what follows a number that stands twice.
[ -z "$(tr , '\n' <<< "$gpus" | sort -n | uniq -d)" ] || die "--gpus=$gpus names a GPU twice"
if [ "$dry_run" = no ]; then
  nvidia-smi -L > /dev/null 2>&1 || die "nvidia-smi finds no GPU: install the driver, or use launch/local_pod.sh"
  command -v "$1" > /dev/null || die "'$1' is not a command: activate the environment that skinflow-jax is installed in"
fi

command=()
[ -z "$gpus" ] || command=(env "CUDA_VISIBLE_DEVICES=$gpus")
if [ "$check" = yes ]; then
  run ${command[@]+"${command[@]}"} python3 "$here/debug_gpu.py"
fi
# One process drives all GPUs, also where a scheduler's variables are left in the environment.
command+=("$@" --cluster=none)
if [ "$dry_run" = yes ]; then
  show "${command[@]}"
  exit 0
fi
for ((attempt = 0; ; attempt++)); do
  code=0
  pass_signals "${command[@]}" || code=$?
  if [ "$code" != 42 ] || [ "$signalled" = yes ] || [ "$attempt" -ge "$restarts" ]; then
    exit "$code"
  fi
  printf '%s: exit code 42: started again (%d of %d)\n' "${0##*/}" "$((attempt + 1))" "$restarts"
done
