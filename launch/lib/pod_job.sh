# shellcheck shell=bash
# Sourced: the job of a slice: started on all workers, and looked at.

# job_words: sets `words`, the command that all workers run, from what stands after the subcommand.
job_words() {
  if [ "$other" = yes ]; then
    [ $# -gt 0 ] || die "--exec needs a command after --"
    words=("$@")
    return
  fi
  [ -n "$root" ] || die "give --root=gs://BUCKET/PATH, where the runs are kept"
  [ "$root" = "${root#gs://}" ] || [ -n "$data$records" ] ||
    die "records cannot be read from a bucket: give --data=gs://... to bring them to each machine's disk"
  [ -z "$worker" ] || die "--worker is for --exec: a run needs all workers"
  words=(bash launch/stages.sh "--root=$root")
  [ -z "$stages" ] || words+=("--stages=$stages")
  # As seen from the project's folder on the machine, where --data brings them.
  [ -z "$data" ] || records="${records:-../records}"
  [ -z "$records" ] || words+=("--records=$records")
  [ -z "$init_from" ] || words+=("--init-from=$init_from")
  words+=(-- "$@")
}

# job_command: the shell line that starts the job on a worker. Flags by which the processes find each
# other stand last, where the command itself and `stages.sh ... --` both take them.
job_command() {
  local line
  line="$(printf '%q ' bash skinflow/code/launch/machine/start.sh "--workers=$machines" \
    "--coordinator=${addresses[0]:-ADDRESS_OF_WORKER_0}:$port" "--cluster=$cluster" "--data=$data" \
    "--replace=$replace" -- "${words[@]}")"
  printf '%s\n' "${line% }"
}

start_job() {
  local i
  [ "$root" = "${root#gs://}" ] && [ -n "$root" ] && [ "$machines" -gt 1 ] &&
    note "--root=$root must be a file system that all workers share; else give gs://BUCKET/PATH"
  if [ -n "$worker" ]; then
    cluster=none
    each_of "$worker" "$(job_command)"
    return
  fi
  if [ "$dry_run" = no ] && [ "$replace" = no ]; then
    ask_states
    # Before any is started: the others would wait for the one that cannot be.
    all_workers "$machines" "asking for their jobs"
    for ((i = 0; i < machines; i++)); do
      case "$(state_of "$i")" in
        running* | restarting*)
          die "a job runs on worker $i: logs shows it, --replace stops it first (SIGTERM, so that it saves)" ;;
        'not set up'*) die "worker $i is not set up: launch/${0##*/} setup" ;;
      esac
    done
  fi
  on_workers "$machines" "$(job_command)"
  all_workers "$machines" "starting the job"
  note "started on $machines worker(s); it needs no connection: status, logs"
}

# each_of I COMMAND: on one worker, its words as they come.
each_of() {
  [ "$1" -lt "$machines" ] || die "--worker=$1: the workers are 0 to $((machines - 1))"
  if [ "$dry_run" = yes ]; then ssh_worker "$@" && return; fi
  ssh_worker "$@" || die "worker $1 failed or does not answer (exit code $?)" 1
}

# ask_states COMMAND...: what the workers' jobs do; one that has ended only counts if it was this
# command, where one is given.
ask_states() {
  on_workers "$machines" "if [ -e skinflow/ready ]; then \
$(show bash skinflow/code/launch/machine/state.sh "$@"); else echo not set up; fi"
}

# state_of I: running, restarting, stopping, finished, failed CODE, stopped, another job, no job, not
# set up or `does not answer`.
state_of() {
  if [ "$(cat "$scratch/code.$1")" = 0 ]; then
    head -n 1 "$scratch/out.$1"
  else
    complaint "$1"
  fi
}

# show_status COMMAND...: a line for the slice and one for each worker; sets `job`: running, finished,
# failed or lost, that is, to be resumed.
show_status() {
  local i one count=0
  pod_state
  [ "$dry_run" = yes ] || printf '%s: %s in %s: %s\n' "$name" "$tpu_type" "$zone" "$said"
  job=lost
  [ "$dry_run" = yes ] || [ "$state" = ready ] || return 0
  pod_hosts
  [ "$dry_run" = no ] || { ask_states "$@" && return; }
  count="${#addresses[@]}"
  [ "$count" = "$machines" ] || { printf '%s of %s workers are there\n' "$count" "$machines" && return; }
  ask_states "$@"
  job=finished
  for ((i = 0; i < machines; i++)); do
    one="$(state_of "$i")"
    printf 'worker %s (%s): %s\n' "$i" "${addresses[i]}" "$one$(sed -n '2s/^/ · /p' "$scratch/out.$i")"
    job="$(graver "$job" "$one")"
  done
}

# graver JOB STATE: what the job is as a whole, given one more worker's state.
graver() {
  case "$1 $2" in
    failed* | *' failed'*) echo failed ;;
    *' finished') echo "$1" ;;
    running*' running' | running*' restarting' | finished*' running' | finished*' restarting') echo running ;;
    *) echo lost ;;
  esac
}
