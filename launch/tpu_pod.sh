#!/usr/bin/env bash
# A slice of Cloud TPU from a laptop: made, set up, looked at, run on, and created again when it is lost.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/lib/say.sh"
need_bash 5
. "$here/lib/gcloud.sh"
. "$here/lib/tpu_sizes.sh"
. "$here/lib/workers.sh"
. "$here/lib/pod.sh"
. "$here/lib/pod_job.sh"
. "$here/lib/pod_logs.sh"
. "$here/lib/pod_doctor.sh"
. "$here/lib/pod_resume.sh"

usage="usage: launch/tpu_pod.sh COMMAND --name=NAME --zone=ZONE --project=PROJECT --type=TYPE [flags] [-- ...]

  create    ask for the slice and wait until it is there; one that was preempted is created again
  setup     copy the project as it stands here, with a Python for it, to all workers
  doctor    look at all workers: versions, port, disk, TPU free, left processes, bucket, clocks, variables
  run       start the three runs of the method on all workers; they go on without this machine
  logs      what the workers write, each line after the worker's number; one of them prints, and the
            first line of each says on which machine that one is
  status    the slice, and the job on each worker; exit code 1 if it has failed or is to be resumed
  resume    create, setup and run, as far as they are needed: after a preemption, or at the start
  delete    give the slice up

  launch/tpu_pod.sh resume --name=derm --zone=us-east5-b --project=my-project --type=v6e-16 --spot \\
    --root=gs://my-bucket/runs --data=gs://my-bucket/records --watch

The first four flags may also be the variables POD_NAME, POD_ZONE, POD_PROJECT and POD_TYPE.
  --type=TYPE           as in launch/tpu_sizes.tsv: v4-, v5litepod-, v5p-, v6e- or tpu7x- and a size
  --backend=NAME        tpu-vm (queued resources; default where it exists) or group (managed instance
                        group: v5p, v6e, tpu7x)
  --slices=N            more than one: launch/gke/submit.sh has it
  --dry-run             print every command in full, do nothing
create, resume:
  --spot                cheap, and may be taken away at any time
  --reserved            from the reservation (tpu-vm); --reservation=NAME for a group
  --valid-until=TIME    give up asking after e.g. 6h (tpu-vm)
  --no-wait             ask, and do not wait
  --patience=SECONDS    how long to wait; default: 86400
  --network=, --subnetwork=, --disk=GB (group; default 200GB), --runtime-version= (tpu-vm)
run, resume:
  --root=DIR            where the runs are kept: gs://BUCKET/PATH, or a folder that all workers share
  --stages=, --records=, --init-from=   as launch/stages.sh has them
  --data=gs://...       records to bring to each machine's disk; with a root in a bucket they are needed
  --exec -- COMMAND...  run this skinflow command instead, on all workers, with the flags by which they
                        find each other added; --data is then found in ../records
  --worker=I            with --exec: on this worker alone
  --replace             stop a job that runs (SIGTERM: it saves) before starting or setting up
  --watch               resume: stay, and resume again until the job has finished or failed
  -- FLAGS              for skinflow train
logs: --worker=I (this one alone), --lines=N (default 100), --follow
all that connect: --ssh=FLAG, again for each, for gcloud's ssh and scp: --ssh=--tunnel-through-iap
  --port=PORT           where process 0 listens; default 8476

Exit codes: 0 done, 2 what you wrote or your login, 1 all else. A job that is stopped gets SIGTERM
and longer than its --grace: a process that is killed while it holds the TPU may leave it held."

dry_run=no
[ $# -gt 0 ] || die "no command; see launch/tpu_pod.sh --help"
what="$1" && shift
case "$what" in
  create | setup | doctor | run | logs | status | resume | delete) ;;
  --help | -h | help) help ;;
  *) die "no command '$what'; there are create, setup, doctor, run, logs, status, resume, delete" ;;
esac

name="${POD_NAME:-}" zone="${POD_ZONE:-}" project="${POD_PROJECT:-}" type="${POD_TYPE:-}" backend=""
spot=no reserved=no reservation="" valid_until="" stay=yes patience=86400 network="" subnetwork="" disk=200GB
root="" stages="" records="" data="" init_from="" other=no worker="" replace=no watch=no lines=100 follow=no port=8476
runtime_version="" ssh_flags=(--quiet) copy_flags=(--quiet) poll="${POD_POLL_SECONDS:-30}"
while [ $# -gt 0 ]; do
  case "$1" in
    --name=* | --zone=* | --project=* | --type=* | --backend=* | --reservation=* | --valid-until=* | --patience=* | \
      --network=* | --subnetwork=* | --disk=* | --runtime-version=* | --root=* | --stages=* | --records=* | --data=* | \
      --init-from=* | --worker=* | --lines=* | --port=*)
      variable="${1%%=*}" variable="${variable#--}"
      printf -v "${variable//-/_}" '%s' "${1#*=}"
      ;;
    --spot | --reserved | --replace | --watch | --follow) printf -v "${1#--}" yes ;;
    --exec) other=yes ;;
    --no-wait) stay=no ;;
    --slices=1) ;;
    --slices=*) die "$1: this script has one slice; several are joined on GKE: launch/gke/submit.sh $1" ;;
    --ssh=*) ssh_flags+=("${1#*=}") copy_flags+=("${1#*=}") ;;
    --dry-run) dry_run=yes ;;
    --help | -h) help ;;
    --) shift && break ;;
    *) die "unknown argument '$1'; flags for skinflow train go after --" ;;
  esac
  shift
done

for flag in name zone project type; do
  [ -n "${!flag}" ] || die "give --$flag=... or set POD_${flag^^}"
done
[[ $name =~ ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$ ]] ||
  die "--name=$name: at most 63 lower-case letters, digits and -, a letter first, no - last"
[[ $zone =~ ^[a-z]+-[a-z0-9]+-[a-z0-9]+$ ]] || die "--zone=$zone: a zone is such as us-east5-b"
[[ $project =~ ^[a-z][-a-z0-9.:]*$ ]] || die "--project=$project: a project is such as my-project"
count --patience "$patience" && count --lines "$lines" && port_number "$port"
[[ $valid_until =~ ^([1-9][0-9]*[smhd])*$ ]] || die "--valid-until=$valid_until: a time is such as 6h or 1d12h"
[[ $disk =~ ^[1-9][0-9]{0,5}(GB|TB)?$ ]] || die "--disk=$disk: a size is such as 200GB"
[ -z "$data" ] || [[ $data =~ ^gs://[^/] ]] || die "--data=$data: workers copy it from a bucket: gs://BUCKET/PATH"
[[ $root != gs:* || $root =~ ^gs://[^/] ]] || die "--root=$root names no bucket: gs://BUCKET/PATH"
[ "$spot" = no ] || [ "$reserved$reservation" = no ] || die "--spot and a reservation exclude each other"
[ -z "$worker" ] || [ "$worker" = 0 ] || count --worker "$worker"
tpu_size "$type"
backend="${backend:-${backends%%,*}}"
case ",$backends," in *",$backend,"*) ;; *) die "$type is made by --backend=${backends//,/ or }, not '$backend'" ;; esac
runtime="${runtime_version:-$runtime}"

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# Commands are shown here even where a caller reads their answer.
exec 3>&1
# A worker that is gone must not hold up the others for the minutes that TCP waits.
ssh_flags+=(--ssh-flag=-oConnectTimeout=20 --ssh-flag=-oServerAliveInterval=20)
copy_flags+=(--scp-flag=-oConnectTimeout=20)
where=("--zone=$zone" "--project=$project")
need_gcloud
if [ "$backend" = group ]; then
  # Its template is NAME-template.
  [ "${#name}" -le 54 ] || die "--name=$name: a group's name has at most 54 letters"
  . "$here/lib/instance_group.sh"
  group_provisioning
else
  . "$here/lib/queued_resource.sh"
fi

case "$what" in
  run | resume) job_words "$@" ;;
  *) [ $# -eq 0 ] || die "$what takes nothing after --" ;;
esac
# One after the other: in a list of && bash goes on after an error.
case "$what" in
  create) create_pod ;;
  setup)
    need_pod
    make_setup
    note "$machines worker(s) are set up"
    ;;
  doctor) doctor ;;
  run)
    need_pod
    start_job
    ;;
  logs) show_logs ;;
  status)
    show_status
    [ "$job" = running ] || [ "$job" = finished ] || [ "$dry_run" = yes ] || exit 1
    ;;
  resume) resume ;;
  delete)
    pod_remove
    note "$name is gone"
    ;;
esac
