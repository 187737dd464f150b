#!/bin/sh
# Each deliberate bug must be found by the crash proof, and the same program without one must pass.
#   mutants.sh PROGRAM STATES MUTANT...
program=$1 states=$2
shift 2
output=$(mktemp)
trap 'rm -f "$output"' EXIT
if ! "$program" --seed 1 --states 2000 >"$output" 2>&1; then
    cat "$output"
    echo "FAILED: something is found where there is no mutant"
    exit 1
fi
missed=0
for mutant in "$@"; do
    "$program" --seed 1 --states "$states" --mutant "$mutant" >"$output" 2>&1
    code=$?
    if [ $code -eq 0 ]; then
        echo "MISSED $mutant: $(tail -n 1 "$output")"
        missed=1
    elif ! grep -Eq '^(FAILED|signal)' "$output"; then
        echo "BROKEN $mutant: exit $code without a verdict: $(tail -n 1 "$output")"
        missed=1
    else
        echo "caught $mutant: $(grep -E '^(FAILED|signal)' "$output" | tail -n 1)"
        grep -Ev '^(replay|FAILED|signal| )' "$output" | head -n 1 | sed 's/^/       /'
    fi
done
exit $missed
