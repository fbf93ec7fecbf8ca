#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the benchmark rows and say what came out: each row's contenders in turn, round after round, so that what else happens on the
# machine meets all of them; then the median, minimum and maximum of each, and its ratio to libpar (more than 1: libpar is better).
#
#   run.sh [--quick] [-r repetitions] [-w 'row pattern'] <results folder> <program> ...
#
# Writes results/raw.tsv (every run), results/table.tsv (what is printed) and results/machine.txt. Fails if a result was wrong.
set -eu
export LC_ALL=C
here=$(dirname "$0")
quick=false
repeat=
pattern='*'

while :; do
    case $1 in
    --quick) quick=true && shift ;;
    -r) repeat=$2 && shift 2 ;;
    -w) pattern=$2 && shift 2 ;;
    *) break ;;
    esac
done
results=$1
shift
[ -n "$repeat" ] || if $quick; then repeat=3; else repeat=5; fi
if $quick; then seconds=20; else seconds=150; fi # of a run: past them, it stalls

mkdir -p "$results"
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM
tab=$(printf '\t')

# ---- the machine

machine() {
    model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
    echo "cpu       ${model:-$(uname -m)}, $(nproc) of $(getconf _NPROCESSORS_ONLN) cores usable"
    echo "kernel    $(uname -sr)"
    echo "compiler  $("${CC:-cc}" --version | head -n 1)"
    echo "libc      $(getconf GNU_LIBC_VERSION 2>/dev/null || echo other)"
    echo "load      $(cut -d ' ' -f 1-3 /proc/loadavg) when it began"
    echo "runs      $repeat of each, $(if $quick; then echo 'quick sizes'; else echo 'full sizes'; fi), $(date -u +%Y-%m-%d)"
}

# ---- runs

# Words of a line of bench/rows, without the blanks around them.
rows() {
    sed -e '/^#/d' -e '/^ *$/d' -e 's/  *| */|/g' "$here/rows"
}

list_contenders() {
    for program; do
        "$program" --list | sed "s|\$|$tab$program|"
    done
}

# A peer that does not come to an end says something about the peer; libpar must.
stalled() {
    case $name in
    libpar*) printf '%s\t%s: no end within %s s\n' "$row" "$name" "$seconds" >>"$TMPDIR/failed" ;;
    *) printf '%s\tstalls: no end within %s s\n' "$name" "$seconds" >>"$TMPDIR/skipped" ;;
    esac
}

# One run of a contender; its number goes to raw.tsv. 77 is a contender that cannot do this row, and says why.
run() {
    code=0
    # shellcheck disable=SC2086  # one argument per key=value
    value=$(timeout -k 5 "$seconds" "$program" "$work" "$name" $sizes 2>"$TMPDIR/why" </dev/null) || code=$?
    case $code in
    0) printf '%s\t%s\t%s\t%s\n' "$row" "$name" "$round" "$value" >>"$results/raw.tsv" ;;
    77) printf '%s\tcannot do it: %s\n' "$name" "$(head -n 1 "$TMPDIR/why")" >>"$TMPDIR/skipped" ;;
    124 | 137 | 142) stalled ;;
    *) printf '%s\t%s: ended with %s: %s\n' "$row" "$name" "$code" "$(head -n 1 "$TMPDIR/why")" >>"$TMPDIR/failed" ;;
    esac
}

# Python takes most of the time and is off any scale: it is in the rows, but not in the curves.
takes_part() {
    [ "$of_work" = "$work" ] || return 1
    case $row:$name in
    *@*:python*) return 1 ;;
    esac
    ! grep -q "^$name$tab" "$TMPDIR/skipped"
}

run_row() {
    : >"$TMPDIR/skipped"
    round=1
    while [ "$round" -le "$repeat" ]; do
        while IFS=$tab read -r of_work name program; do
            ! takes_part || run
        done <"$TMPDIR/contenders"
        round=$((round + 1))
    done
}

report_row() {
    awk -F '\t' -v row="$row" -v unit="$unit" -v title="$title" -v table="$results/table.tsv" -f "$here/report.awk" "$results/raw.tsv"
    sed "s/$tab/ /; s/^/    /" "$TMPDIR/skipped"
    [ ! -f "$TMPDIR/failed" ] || grep "^$row$tab" "$TMPDIR/failed" | sed "s/^[^$tab]*$tab/    WRONG: /" || true
}

list_contenders "$@" >"$TMPDIR/contenders"
machine | tee "$results/machine.txt"
: >"$results/raw.tsv"
printf 'row\tcontender\tmedian\tmin\tmax\tunit\tratio\n' >"$results/table.tsv"
rows >"$TMPDIR/rows"
while IFS='|' read -r row work unit sizes quick_sizes title <&3; do
    # shellcheck disable=SC2254  # it is a pattern
    case $row in
    $pattern) ;;
    *) continue ;;
    esac
    ! $quick || sizes="$sizes $quick_sizes"
    run_row
    report_row
done 3<"$TMPDIR/rows"

[ -s "$results/raw.tsv" ] || { echo "no row is like $pattern" >&2 && exit 1; }
[ ! -f "$TMPDIR/failed" ] || { echo "wrong results, see above" >&2 && exit 1; }
