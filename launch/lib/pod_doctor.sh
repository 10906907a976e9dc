# shellcheck shell=bash
# Sourced: doctor.py on all workers, and what differs between them.

# The script goes with the command: it works before setup, and is the one that lies here. -E: else sudo
# hides the variables that a command over ssh would get.
doctor_command() {
  printf 'echo %s | base64 -d | sudo -E python3 - %s' \
    "$(base64 < "$here/doctor.py" | tr -d '\n')" "$(show "--port=$port" "--root=$root" "--chips=$((chips / machines))")"
}

doctor() {
  local i problems=0
  need_pod
  on_workers "$machines" "$(doctor_command)"
  [ "$dry_run" = no ] || return 0
  for ((i = 0; i < machines; i++)); do
    if [ "$(cat "$scratch/code.$i")" != 0 ]; then
      echo "worker $i: $(complaint "$i")"
    else
      sed -n "s/^problem\t/worker $i: /p" "$scratch/out.$i"
    fi
  done > "$scratch/problems"
  for ((i = 0; i < machines; i++)); do
    sed -n "s/^same\t/$i\t/p" "$scratch/out.$i"
  done | differing >> "$scratch/problems"
  cat "$scratch/problems"
  problems="$(wc -l < "$scratch/problems" | tr -d ' ')"
  [ "$problems" = 0 ] || die "$problems problem(s) on $name" 1
  sed -n 's/^same\t\([^\t]*\)\t/\1: /p' "$scratch/out.0"
  note "$machines worker(s) of $name are well and alike"
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
