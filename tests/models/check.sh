#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Check the models with Spin: each must hold, and each must fail once the one thing is taken away that it says is needed. One line
# per run; fails if a single one is not as expected. Without spin it says so and skips.
#   check.sh <directory for what is made>
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1

if ! command -v spin >/dev/null; then
    echo "check-models: skipped: spin is not installed (sudo apt-get install -y spin)"
    exit 0
fi
mkdir -p "$work"
cd "$work"
cp "$here"/*.pml .
n_failed=0
n_runs=0

# Search all states: "holds", "fails", or what went wrong.
verdict() {
    model=$1
    shift
    spin -a "$@" "$model.pml" >spin.log 2>&1 || { echo "spin refuses it: $(head -n 1 spin.log)"; return; }
    ${CC:-cc} -O1 -w -DSAFETY -o pan pan.c || { echo "it does not compile"; return; }
    timeout "${MODEL_SECONDS:-120}" ./pan -m1000000 >pan.log 2>&1 || { echo "it takes too long"; return; }
    if grep -q 'max search depth too small\|out of memory' pan.log; then
        echo "the search was cut short"
    elif grep -q 'errors: 0$' pan.log; then
        echo holds
    else
        echo fails
    fi
}

# expect <holds|fails> <why> <model> <defines ...>
expect() {
    expected=$1
    why=$2
    shift 2
    found=$(verdict "$@")
    states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' pan.log 2>/dev/null || true)
    n_runs=$((n_runs + 1))
    mark=
    [ "$found" = "$expected" ] || { mark="  EXPECTED: $expected"; n_failed=$((n_failed + 1)); }
    printf '%-10s %-5s %8s states  %s%s\n' "$1" "$found" "$states" "$why" "$mark"
}

expect holds 'nobody dies: no slice is needed' eventcount
expect holds 'the same, waking all' eventcount -DWAKE=ALL
expect holds 'two are killed: the slices find it' eventcount -DKILLS=2 -DSLICES
expect fails 'without slices a killed waker leaves a sleeper' eventcount -DKILLS=1
expect fails 'without the fence a wake-up is lost' eventcount -DNO_FENCE
expect holds 'a light fence here, a heavy one there' eventcount -DLIGHT -DHEAVY
expect holds 'the same, two are killed' eventcount -DLIGHT -DHEAVY -DKILLS=2 -DSLICES
expect fails 'the heavy one left out' eventcount -DLIGHT
expect fails 'bit 0 cleared behind the back of a new sleeper' eventcount -DCLEAR_BLINDLY
expect holds 'two are killed, also while they repair' queue -DKILLS=2
expect fails 'the record written in another order' queue -DKILLS=1 -DAFTER_LAST
expect fails 'a closed account that the record still names' queue -DKILLS=2 -DNOTE_KEPT
expect holds 'nobody dies: no slice is needed' condition
expect holds 'two are killed' condition -DKILLS=2 -DSLICES
expect fails 'without slices a killed notifier leaves a waiter' condition -DKILLS=1
expect fails 'without the horizon a late comer takes the token' condition -DNO_HORIZON
expect holds 'nobody dies: no slice is needed' barrier
expect holds 'a party is killed' barrier -DKILLS=1 -DSLICES
expect holds 'both are killed' barrier -DKILLS=2 -DSLICES
expect fails 'a party forgets the dead one it has met' barrier -DKILLS=1 -DSLICES -DFORGET_EARLY
expect holds 'it is aborted, and two are killed' barrier -DKILLS=2 -DSLICES -DABORTER -DROUNDS=1
expect fails 'a waiter that does not look why the barrier is broken' barrier -DKILLS=2 -DSLICES -DABORTER -DROUNDS=1 -DNO_LOOK
expect holds 'one is killed' heap -DKILLS=1
expect holds 'both are killed, also while they rebuild' heap -DKILLS=2
expect fails 'a merge that forgets before it has merged' heap -DKILLS=1 -DCLEAR_FIRST

echo "check-models: $n_runs runs, $n_failed not as expected"
[ "$n_failed" -eq 0 ]
