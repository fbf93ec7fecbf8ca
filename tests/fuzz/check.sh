#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run every fuzz target with libFuzzer and the address and undefined behaviour sanitizers, from the corpus in the repository on. What
# is found stays in the build directory. Without clang's libFuzzer it says so and skips.
#   check.sh <build directory>      RUNS: executions of each (1000000); FUZZ_SECONDS: at most, of each (600)
set -eu
cd "$(dirname "$0")/../.."
build=$1
clang=${CLANG:-clang}
sanitize=fuzzer,address,undefined

cat >"$build/probe.c" <<'END'
int LLVMFuzzerTestOneInput(const char *data, long size);
int LLVMFuzzerTestOneInput(const char *data, long size) { (void)data; (void)size; return 0; }
END
if ! "$clang" -fsanitize=$sanitize -o "$build/probe" "$build/probe.c" 2>/dev/null; then
    echo "check-fuzz: skipped: clang with libFuzzer is not installed (sudo apt-get install -y clang libclang-rt-14-dev)"
    exit 0
fi

"${MAKE:-make}" --no-print-directory VARIANT=fuzz CC="$clang" CFLAGS='-O1 -g' SANITIZE=fuzzer-no-link,address,undefined static
n_failed=0
for source in tests/fuzz/fuzz_*.c; do
    target=${source##*/fuzz_}
    target=${target%.c}
    work=$build/fuzz/$target
    mkdir -p "$work/corpus"
    "$clang" -std=c11 -D_GNU_SOURCE -DPAR_DEBUG -Iinclude -O1 -g -pthread -fsanitize=$sanitize -fno-sanitize-recover=all \
        -o "$work/fuzz" "$source" "$build/fuzz/libpar.a"
    code=0
    "$work/fuzz" -runs="${RUNS:-1000000}" -max_total_time="${FUZZ_SECONDS:-600}" -max_len=4096 -timeout=20 -rss_limit_mb=2048 \
        -malloc_limit_mb=64 -print_final_stats=1 -verbosity=0 -artifact_prefix="$work/" "$work/corpus" "tests/fuzz/corpus/$target" \
        >"$work/log" 2>&1 || code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    printf '%-8s %8s executions, %s\n' "$target" "${runs:-?}" "$([ $code -eq 0 ] && echo 'no failure' || echo "FAILED ($work/log)")"
    [ $code -eq 0 ] || { n_failed=$((n_failed + 1)); tail -n 40 "$work/log"; }
done
echo "check-fuzz: $n_failed targets failed"
[ "$n_failed" -eq 0 ]
