# shellcheck shell=bash
# Sourced: doctor.py on all workers, and what differs between them. awk reads its lines: sed knows no
# tabulators on a Mac.

# doctor_py FLAGS: runs the script there. It goes with the command: it works before setup, and is the
# one that lies here. -E: else sudo hides the variables that a command over ssh would get.
doctor_py() {
  printf 'echo %s | base64 -d | sudo -E python3 - %s' "$(base64 < "$here/doctor.py" | tr -d '\n')" "$(show "$@")"
}

doctor() {
  local problems
  need_pod
  on_workers "$machines" "$(doctor_py "--port=$port" "--root=$root" "--chips=$((chips / machines))")"
  said_problems > "$scratch/problems"
  said_same | differing >> "$scratch/problems"
  said_same 1 > "$scratch/same"
  if [ "$machines" -gt 1 ]; then
    # Worker 0 listens while the others connect: a firewall shows only so.
    on_workers "$machines" "how=--reach=${addresses[0]:-ADDRESS_OF_WORKER_0}; \
[ \$WORKER != 0 ] || how=--listen=$((machines - 1)); $(doctor_py "--port=$port") \$how"
    said_problems >> "$scratch/problems"
  fi
  [ "$dry_run" = no ] || return 0
  sort -u "$scratch/problems"
  problems="$(sort -u "$scratch/problems" | wc -l | tr -d ' ')"
  [ "$problems" = 0 ] || die "$problems problem(s) on $name" 1
  awk -F '\t' '{ print $2 ": " $3 }' "$scratch/same"
  note "$machines worker(s) of $name are well and alike"
}

# said_problems: what each worker finds wrong with itself, or that it does not answer.
said_problems() {
  local i
  [ "$dry_run" = no ] || return 0
  for ((i = 0; i < machines; i++)); do
    if [ "$(cat "$scratch/code.$i")" != 0 ]; then
      echo "worker $i: $(complaint "$i")"
    else
      awk -F '\t' -v worker="$i" '$1 == "problem" { print "worker " worker ": " $2 }' "$scratch/out.$i"
    fi
  done
}

# said_same [N]: lines `worker, what, value` of all workers, or of the first N.
said_same() {
  local i
  [ "$dry_run" = no ] || return 0
  for ((i = 0; i < ${1:-machines}; i++)); do
    awk -F '\t' -v worker="$i" '$1 == "same" { print worker "\t" $2 "\t" $3 }' "$scratch/out.$i"
  done
}

# differing: of lines `worker, what, value`, those things that are not alike on all workers.
differing() {
  awk -F '\t' '
    { if (!(($2, $3) in on)) { values[$2] = values[$2] "\t" $3; kinds[$2]++ }
      on[$2, $3] = on[$2, $3] (on[$2, $3] == "" ? "" : ",") $1 }
    END {
      for (what in kinds) if (kinds[what] > 1) {
        line = what " differs:"; n = split(values[what], value, "\t")
        for (k = 2; k <= n; k++) line = line (k > 2 ? ";" : "") " " value[k] " on worker " on[what, value[k]]
        print line
      }
    }' | sort
}
