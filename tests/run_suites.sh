#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run test suites, several at a time, each with a limit in seconds; one line per suite, the whole log of one that fails, and one
# last line "N passed, N failed" (", N skipped" follows if a suite says "skipped: why"). A suite that ends without Check's totals
# counts as one failure, and so does a run without a single test.
#   run_suites.sh <at a time> <seconds per suite> <program> ...
set -eu

# One suite: its log goes to $2.log, "passed failed" to $2.count.
run_one() {
    name=${1##*/test_}
    started=$(date +%s)
    code=0
    timeout -k 5 "$2" "$1" >"$1.log" 2>&1 </dev/null || code=$?
    totals=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$1.log" | tail -n 1)
    if [ -n "$totals" ]; then
        set -- "$1" $totals
        failed=$(($3 + $4))
        passed=$(($2 - failed))
        [ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    else
        passed=0
        failed=1
    fi
    echo "$passed $failed" >"$1.count"
    sed -n 's/^skipped: /    &/p' "$1.log"
    line=$(printf '%-12s %4d passed, %d failed  (%d s)' "$name" "$passed" "$failed" $(($(date +%s) - started)))
    [ "$failed" -gt 0 ] || { printf '%s\n' "$line"; return 0; }
    case $code in
    0 | 1) ;;
    124 | 137) line="$line  stopped: it took too long" ;;
    *) line="$line  ended with $code" ;;
    esac
    printf '%s\n%s\n' "$line" "$(sed 's/^/    /' "$1.log")"
}

if [ "$1" = --one ]; then
    run_one "$3" "$2"
    exit 0
fi

at_a_time=$1
seconds=$2
shift 2
if [ $# -eq 0 ]; then
    echo "there is no such suite" >&2
    echo "0 passed, 1 failed"
    exit 1
fi

for program; do
    rm -f "$program.count"
    printf '%s\n' "$program"
done | xargs -n 1 -P "$at_a_time" "$0" --one "$seconds"

passed=0
failed=0
skipped=0
for program; do
    if read -r good bad <"$program.count"; then
        passed=$((passed + good))
        failed=$((failed + bad))
        skipped=$((skipped + $(grep -c '^skipped: ' "$program.log" || true)))
    else
        failed=$((failed + 1))
    fi
done
[ "$passed" -gt 0 ] || failed=$((failed > 0 ? failed : 1))
case $skipped in
0) echo "$passed passed, $failed failed" ;;
*) echo "$passed passed, $failed failed, $skipped skipped" ;;
esac
[ "$failed" -eq 0 ]
