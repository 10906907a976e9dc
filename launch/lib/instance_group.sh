# shellcheck shell=bash
# Sourced: a slice as a managed instance group (v5p, v6e, tpu7x), whose machines come all at once, in
# one topology. Needs gcloud.sh, workers.sh and the script's flags. The functions of queued_resource.sh.

region="${zone%-*}"
policy="$name-policy" template="$name-template"

# What is shared by all groups lies in a region, the group in a zone.
group() { cloud compute instance-groups managed "$1" "$name" "${where[@]}" "${@:2}"; }

pod_state() {
  local answer instances running lost
  answer="$(group describe '--format=value(targetSize,status.isStable)')" || or_absent $?
  [ -n "$answer" ] || { state=absent said=NOT_FOUND && return; }
  instances="$(group list-instances '--format=value(name,instanceStatus,currentAction)')" || or_end $?
  running="$(awk -F '\t' '$2 == "RUNNING"' <<< "$instances" | wc -l | tr -d ' ')"
  lost="$(awk -F '\t' 'NF > 1 && $3 == "NONE" && $2 != "RUNNING"' <<< "$instances" | wc -l | tr -d ' ')"
  said="$running of $machines machines RUNNING"
  if [ "$running" = "$machines" ]; then
    state=ready
  elif [ "$lost" -gt 0 ] || [ "${answer%%$'\t'*}" -lt "$machines" ] || [ "${answer##*$'\t'}" = True ]; then
    # Half a slice computes nothing, and a group that is stable waits for no more machines.
    state=lost
  else
    group_errors
  fi
}

# A group that waits says why only in its errors; for capacity it waits, for the rest in vain.
group_errors() {
  local error
  error="$(group list-errors '--format=value(error.code,error.message)' --limit=1)" || or_end $?
  case "$error" in
    '') state=waiting ;;
    *RESOURCE_POOL_EXHAUSTED* | *STOCKOUT* | *RESOURCE_NOT_READY*) state=waiting said="$said; ${error%%$'\t'*}" ;;
    *) state=failed said="$said; ${error/$'\t'/: }" ;;
  esac
}

pod_ask() {
  local url="https://www.googleapis.com/compute/v1/projects/$project/regions/$region/resourcePolicies/$policy"
  local group_flags=() network_flags=()
  # A policy and a template cannot be changed: what an earlier try left may be of another size.
  remove_parts
  if [ "$machines" -gt 1 ]; then
    cloud compute resource-policies create workload-policy "$policy" --type=HIGH_THROUGHPUT \
      "--accelerator-topology=$topology" "--region=$region" "--project=$project" --quiet || or_end $?
    group_flags=("--workload-policy=$url" --target-size-policy-mode=bulk)
  fi
  [ -z "$network" ] || network_flags+=("--network=$network")
  [ -z "$subnetwork" ] || network_flags+=("--subnet=$subnetwork" "--region=$region")
  cloud compute instance-templates create "$template" "--machine-type=$machine_type" \
    --image-project=ubuntu-os-accelerator-images "--image-family=$(image_family)" \
    --boot-disk-type=hyperdisk-balanced "--boot-disk-size=$disk" --scopes=cloud-platform \
    --maintenance-policy=TERMINATE "${provisioning[@]}" "${network_flags[@]}" "--project=$project" \
    --quiet || or_end $?
  # Size 0 first: a group is given its machines in one request. A lost machine is not replaced alone.
  group create --size=0 "--template=$template" "${group_flags[@]}" \
    --default-action-on-vm-failure=do-nothing --quiet || or_end $?
  group resize "--size=$machines" --quiet || or_end $?
}

# group_provisioning: sets `provisioning`, how the machines are paid for.
group_provisioning() {
  [ "$reserved" = no ] || [ -n "$reservation" ] || die "a group takes --reservation=NAME, not --reserved"
  [ -z "$valid_until" ] || die "--valid-until is for --backend=tpu-vm; a group is given up with delete"
  provisioning=()
  if [ "$spot" = yes ]; then
    provisioning=(--provisioning-model=SPOT --instance-termination-action=DELETE)
  elif [ -n "$reservation" ]; then
    provisioning=(--provisioning-model=RESERVATION_BOUND --instance-termination-action=DELETE
      --reservation-affinity=specific "--reservation=$reservation")
  fi
}

image_family() {
  case "$tpu_type" in
    tpu7x-*) echo ubuntu-accel-2404-amd64-tpu-tpu7x ;;
    *) echo ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e ;;
  esac
}

remove_parts() {
  cloud compute instance-templates delete "$template" "--project=$project" --quiet || or_absent $?
  cloud compute resource-policies delete "$policy" "--region=$region" "--project=$project" --quiet || or_absent $?
}

pod_remove() {
  group delete --quiet || or_absent $?
  remove_parts
}

# pod_hosts: the machines in the order of the slice, which only their metadata tells.
pod_hosts() {
  local answer i
  answer="$(group list-instances '--format=value(name)' --filter=instanceStatus=RUNNING)" || or_absent $?
  read -r -a instance_names -d '' <<< "$answer" || true
  # In no order yet; too few are counted by who asks.
  addresses=("${instance_names[@]}")
  if [ "$dry_run" = yes ]; then
    for ((i = 0; i < machines; i++)); do instance_names+=("$name-$i"); done
  elif [ "${#addresses[@]}" = "$machines" ]; then
    on_workers "$machines" "$ask_identity"
    all_workers "$machines" "asking for addresses"
    for ((i = 0; i < machines; i++)); do
      printf '%s %s\n' "$(tr '\n' ' ' < "$scratch/out.$i")" "${instance_names[i]}"
    done | sort -n > "$scratch/hosts"
    mapfile -t instance_names < <(awk '{ print $3 }' "$scratch/hosts")
    mapfile -t addresses < <(awk '{ print $2 }' "$scratch/hosts")
  fi
}

# Prints the worker's number (its place among the names where the image does not say it) and address.
metadata=http://metadata.google.internal/computeMetadata/v1/instance
ask_identity="ask() { curl -fsS -m 10 -H Metadata-Flavor:Google $metadata/\$1 && echo; }
{ ask attributes/agent-worker-number || ask attributes/worker-id || echo \$WORKER; } 2> /dev/null | grep -m 1 .
ask network-interfaces/0/ip"

pod_ssh() { remote compute ssh "${instance_names[$1]}" "${where[@]}" "--command=$2" "${ssh_flags[@]}"; }
pod_copy() { remote compute scp "$2" "${instance_names[$1]}:$3" "${where[@]}" "${copy_flags[@]}"; }

cluster=addresses
