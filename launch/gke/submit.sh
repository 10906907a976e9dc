#!/usr/bin/env bash
# Hands a run to a GKE cluster as a JobSet, or looks after one.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/../lib/say.sh"

usage="usage: launch/gke/submit.sh [--dry-run] --type=TYPE --image=IMAGE [--name=NAME] [options] -- COMMAND...
       launch/gke/submit.sh --status|--logs|--delete [--dry-run] [--name=NAME] [--namespace=NAMESPACE]

Renders the JobSet (launch/gke/render.py --help lists the options) and creates it by kubectl, in the
cluster of kubectl's current context:

  launch/gke/submit.sh --type=v6e-16 --image=IMAGE -- \\
    skinflow train --config=skinflow_7b_stage1 --workdir=gs://BUCKET/stage1 --resume

Submitted again, one that runs is left alone, and one that has ended is replaced: \`--resume\` goes on.

  --status   what has become of it, and its pods
  --logs     follow the output of its pods, each line after the pod's name; one of them prints, and
             the first line of each says on which machine that one is
  --delete   end it: SIGTERM to all pods, which save within their grace
  --dry-run  print the manifest and the commands, do nothing"

name=skinflow namespace="" verb=submit more="" dry_run=no
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --status | --logs | --delete)
      [ "$verb" = submit ] || die "--$verb and $1: one of them"
      verb="${1#--}"
      ;;
    --dry-run) dry_run=yes ;;
    --help | -h) help ;;
    --)
      arguments+=("$@") more="${more:-$1}"
      break
      ;;
    --name=*) name="${1#*=}" arguments+=("$1") ;;
    --namespace=) die "--namespace= is empty: leave it out for kubectl's own" ;;
    --namespace=*) namespace="${1#*=}" arguments+=("$1") ;;
    --name | --namespace) die "write $1=VALUE" ;;
    *) arguments+=("$1") more="${more:-$1}" ;;
  esac
  shift
done
# Whatever is unknown here would be left out, a misspelt namespace too. Of a submission render.py knows all.
[ "$verb" = submit ] || [ -z "$more" ] || die "--$verb takes --name and --namespace, not '$more'"
label='^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'
[[ $name =~ $label ]] || die "--name=$name: use up to 63 small letters, digits and -"
[ "$namespace" = "" ] || [[ $namespace =~ $label ]] || die "--namespace=$namespace: use up to 63 small letters, digits and -"
kubectl=(kubectl)
[ -z "$namespace" ] || kubectl+=("--namespace=$namespace")

need_cluster() {
  [ "$dry_run" = no ] || return 0
  command -v kubectl > /dev/null || die "kubectl is not there: gcloud components install kubectl gke-gcloud-auth-plugin"
  local answer
  answer="$(kubectl get crd jobsets.jobset.x-k8s.io --output=name 2>&1)" && return 0
  case "$answer" in
    *NotFound*) die "the cluster has no JobSet: https://jobset.sigs.k8s.io/docs/installation/" ;;
    *Forbidden*) ;; # whoever may make JobSets need not be one who may look at what kinds there are
    *) die "no answer from the cluster: gcloud container clusters get-credentials CLUSTER (${answer##*$'\n'})" ;;
  esac
}

# "": it runs or waits; Completed, Failed; none: there is no such JobSet.
state() {
  local answer
  if answer="$("${kubectl[@]}" get jobset "$name" --output=jsonpath='{.status.terminalState}' 2>&1)"; then
    printf '%s' "$answer"
  elif [[ "$answer" == *NotFound* ]]; then
    printf 'none'
  else
    die "kubectl get jobset $name: ${answer##*$'\n'}" 1
  fi
}

submit() {
  local manifest found python="${PYTHON:-python3}"
  command -v "$python" > /dev/null || die "'$python' is not there, which renders the JobSet: install Python 3, or set PYTHON"
  manifest="$("$python" "$here/render.py" ${arguments[@]+"${arguments[@]}"})" || exit 2
  if [ "$dry_run" = yes ]; then
    printf '%s <<"EOF"\n%s\nEOF\n' "$(show "${kubectl[@]}" create --filename=-)" "$manifest"
    return
  fi
  found="$(state)"
  case "$found" in
    none) ;;
    "") die "$name runs already: see --status or --logs, or --delete it first" ;;
    *)
      printf '%s: %s had ended as %s and is replaced\n' "${0##*/}" "$name" "$found"
      "${kubectl[@]}" delete jobset "$name" --cascade=foreground --wait
      ;;
  esac
  "${kubectl[@]}" create --filename=- <<< "$manifest" || die "the cluster refused the JobSet" 1
}

need_cluster
case "$verb" in
  submit) submit ;;
  status)
    run "${kubectl[@]}" get jobset "$name" --output=wide
    run "${kubectl[@]}" get pods "--selector=jobset.sigs.k8s.io/jobset-name=$name" --output=wide
    ;;
  logs)
    # Of all pods: JAX numbers processes by the slice's shape, so that any of them may be the one that
    # prints. Pods that are still coming up do not end it.
    run "${kubectl[@]}" logs --follow --prefix --tail=1000 --ignore-errors --max-log-requests=1000 \
      --container=skinflow "--selector=jobset.sigs.k8s.io/jobset-name=$name"
    ;;
  delete) run "${kubectl[@]}" delete jobset "$name" --ignore-not-found --cascade=foreground --wait ;;
esac
