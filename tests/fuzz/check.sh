#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run every fuzz target with libFuzzer and the address and undefined behaviour sanitizers, from the corpus in the repository on. What
# is found stays in the build directory. Without clang's libFuzzer it says so and skips.
#   check.sh <build directory>      RUNS: executions of each (1000000); FUZZ_SECONDS: at most, of each (600); JOBS: at a time (2)
#   check.sh <build directory> merge    take what was found into the corpus in the repository
set -eu
cd "$(dirname "$0")/../.."
build=$1
what=${2:-run}
clang=${CLANG:-clang}
runs=${RUNS:-1000000}
sanitize=fuzzer,address,undefined
# The time limit is by the clock on the wall, and other work may take the processors for a while; fuzz_allowance bounds the work.
limits='-timeout=300 -rss_limit_mb=2048 -malloc_limit_mb=64'

# What is read byte by byte needs no long inputs.
max_len() {
    case $1 in
    frame | text) echo 256 ;;
    *) echo 1024 ;;
    esac
}

# A reply is a pickle, so what is known of pickles serves the client too, whose own code is small.
seeds() {
    case $1 in
    client) echo tests/fuzz/corpus/client tests/fuzz/corpus/pickle ;;
    *) echo "tests/fuzz/corpus/$1" ;;
    esac
}

build_target() {
    mkdir -p "$build/fuzz/$1/corpus"
    rm -f "$build/fuzz/$1/code" "$build/fuzz/$1/log"
    "$clang" -std=c11 -D_GNU_SOURCE -DPAR_DEBUG -Iinclude -O1 -g -pthread -fsanitize=$sanitize -fno-sanitize-recover=all \
        -Wl,--wrap=pari_malloc,--wrap=pari_realloc -o "$build/fuzz/$1/fuzz" "tests/fuzz/fuzz_$1.c" tests/fuzz/count.c \
        "$build/fuzz/libpar.a"
}

# Its exit code goes to a file.
run_target() {
    work=$build/fuzz/$1
    code=0
    # shellcheck disable=SC2046,SC2086
    "$work/fuzz" -runs="$runs" -max_total_time="${FUZZ_SECONDS:-600}" -max_len="$(max_len "$1")" $limits \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$work/" "$work/corpus" $(seeds "$1") >"$work/log" 2>&1 || code=$?
    echo "$code" >"$work/code"
}

# Print what became of it; true: all executions, no failure.
report_target() {
    work=$build/fuzz/$1
    n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    total=$((total + ${n:-0}))
    if [ "$(cat "$work/code")" -ne 0 ]; then
        printf '%-8s %8s executions, FAILED (%s)\n' "$1" "${n:-?}" "$work/log"
        tail -n 40 "$work/log"
        return 1
    fi
    if [ "${n:-0}" -lt "$runs" ]; then
        printf '%-8s %8s executions, no failure, but its time was over\n' "$1" "${n:-0}"
        return 1
    fi
    printf '%-8s %8s executions, no failure\n' "$1" "$n"
}

# Files with a name of their own stay. Those that an earlier merge has taken are found material again; of all of that, so many are
# taken as reach each place in the code that is reached at all.
merge_target() {
    find "tests/fuzz/corpus/$1" -type f | grep -E '/[0-9a-f]{40}$' | while read -r file; do
        mv "$file" "$build/fuzz/$1/corpus/"
    done
    # shellcheck disable=SC2086
    "$build/fuzz/$1/fuzz" -set_cover_merge=1 -use_counters=0 -use_cmp=0 -max_len="$(max_len "$1")" $limits \
        "tests/fuzz/corpus/$1" "$build/fuzz/$1/corpus" >"$build/fuzz/$1/log" 2>&1
    printf '%-8s %4s files\n' "$1" "$(find "tests/fuzz/corpus/$1" -type f | wc -l)"
}

if [ "$what" = only ]; then # of those that run side by side
    run_target "$3"
    exit 0
fi

cat >"$build/probe.c" <<'PROBE'
int LLVMFuzzerTestOneInput(const char *data, long size);
int LLVMFuzzerTestOneInput(const char *data, long size) { (void)data; (void)size; return 0; }
PROBE
if ! "$clang" -fsanitize=$sanitize -o "$build/probe" "$build/probe.c" 2>/dev/null; then
    echo "check-fuzz: skipped: clang with libFuzzer is not installed (sudo apt-get install -y clang libclang-rt-14-dev)"
    exit 0
fi
"${MAKE:-make}" --no-print-directory VARIANT=fuzz CC="$clang" CFLAGS='-O1 -g' SANITIZE=fuzzer-no-link,address,undefined static

started=$(date +%s)
targets=$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c | sed 's/^fuzz_//'; done)
for target in $targets; do
    build_target "$target"
done
if [ "$what" = merge ]; then
    for target in $targets; do
        [ "$target" = client ] || merge_target "$target"
    done
    exit 0
fi

for target in $targets; do
    echo "$target"
done | xargs -n 1 -P "${JOBS:-2}" "$0" "$build" only
total=0
n_failed=0
n_targets=0
for target in $targets; do
    report_target "$target" || n_failed=$((n_failed + 1))
    n_targets=$((n_targets + 1))
done
echo "check-fuzz: $n_targets targets, $total executions in $(($(date +%s) - started)) s, $n_failed targets failed"
[ "$n_failed" -eq 0 ]
