# shellcheck shell=bash
# Sourced: a slice as a queued resource with one TPU VM node of the same name (v4, v5e, v5p, v6e).
# Needs gcloud.sh and the script's flags. instance_group.sh has the same functions.

queued() { cloud compute tpus queued-resources "$1" "$name" "${where[@]}" "${@:2}"; }
node() { cloud compute tpus tpu-vm "$1" "$name" "${where[@]}" "${@:2}"; }

# pod_state: sets `state` (absent, waiting, ready, lost, failed) and `said`, the cloud's own word.
pod_state() {
  local answer reason
  answer="$(queued describe '--format=value(state.state,state.failedData.error.message)')" || or_absent $?
  IFS=$'\t' read -r said reason <<< "$answer"
  case "$said" in
    '') state=absent said=NOT_FOUND ;;
    ACTIVE) node_state ;;
    # What is being taken away cannot come back: it has to be asked for again.
    SUSPENDING | SUSPENDED | DELETING) state=lost ;;
    FAILED) state=failed said="FAILED${reason:+: $reason}" ;;
    *) state=waiting ;;
  esac
}

# An active request whose machines are preempted or half there is of no use.
node_state() {
  said="$(node describe '--format=value(state)')" || or_absent $?
  case "${said:-NOT_FOUND}" in
    READY) state=ready ;;
    CREATING | STARTING | RESTARTING | REPAIRING) state=waiting ;;
    *) state=lost said="node ${said:-NOT_FOUND}" ;;
  esac
}

pod_ask() {
  local flags=("--node-id=$name" "--accelerator-type=$tpu_type" "--runtime-version=$runtime")
  [ "$spot" = no ] || flags+=(--spot)
  [ "$reserved" = no ] || flags+=(--reserved)
  [ -z "$reservation" ] || die "--reservation=NAME is for --backend=group; give --reserved"
  [ -z "$valid_until" ] || flags+=("--valid-until-duration=$valid_until")
  [ -z "$network" ] || flags+=("--network=$network")
  [ -z "$subnetwork" ] || flags+=("--subnetwork=$subnetwork")
  queued create "${flags[@]}" --quiet || or_end $?
}

# --force: the node goes with the request.
pod_remove() { queued delete --force --quiet || or_absent $?; }

# pod_hosts: sets `addresses`, one a worker, in order.
pod_hosts() {
  local answer
  answer="$(node describe '--format=value(networkEndpoints[].ipAddress)')" || or_absent $?
  IFS=';' read -r -a addresses <<< "$answer"
}

pod_ssh() {
  remote compute tpus tpu-vm ssh "$name" "${where[@]}" "--worker=$1" "--command=$2" "${ssh_flags[@]}"
}

# pod_copy WORKER FILE DESTINATION
pod_copy() {
  remote compute tpus tpu-vm scp "$2" "$name:$3" "${where[@]}" "--worker=$1" "${copy_flags[@]}"
}

# How a process finds the others: TPU VMs say it in their metadata.
cluster=cloud-tpu
