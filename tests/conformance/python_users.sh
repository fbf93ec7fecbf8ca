#!/bin/sh
# SPDX-License-Identifier: MIT
#
# doc/python-users.md keeps its word: every line of C compiles, every row has one or a reason, every name that Python's modules
# export has a row. A row that says "not yet" of a call which is there by now is told, and is no failure.
#   python_users.sh <directory for what it makes>     (CC, CFLAGS)
set -eu
export LC_ALL=C
cd "$(dirname "$0")/../.."
page=doc/python-users.md
made=$1/python_users
failed=0

fail() {
    echo "$page: $1" >&2
    failed=1
}

# The exported names: multiprocessing, pool, managers, shared_memory, connection, sharedctypes, concurrent.futures.
names='Array AuthenticationError Barrier BoundedSemaphore BufferTooShort Condition Event JoinableQueue Lock Manager Pipe Pool
    Process ProcessError Queue RLock RawArray RawValue Semaphore SimpleQueue TimeoutError Value active_children
    allow_connection_pickling cpu_count current_process freeze_support get_all_start_methods get_context get_logger
    get_start_method log_to_stderr parent_process reducer set_executable set_forkserver_preload set_start_method
    ThreadPool BaseManager SyncManager BaseProxy Token SharedMemoryManager SharedMemory ShareableList Client Listener wait
    copy synchronized FIRST_COMPLETED FIRST_EXCEPTION ALL_COMPLETED CancelledError BrokenExecutor Future Executor
    as_completed ProcessPoolExecutor ThreadPoolExecutor'

mkdir -p "$1"

# "line<tab>Python<tab>C" of each row.
awk -F ' *[|] *' '/^[|] `/ { print FNR "\t" $2 "\t" $3 }' "$page" >"$made.rows"
[ "$(wc -l <"$made.rows")" -gt 100 ] || fail "it has lost its rows"

awk -F '\t' '{ print $2 }' "$made.rows" | grep -o '[A-Za-z_]*' | sort -u >"$made.named"
for name in $names; do
    grep -qx "$name" "$made.named" || fail "no row for $name"
done

# The declarations of the page, then a function for each line; a wrong one is told with the page's line.
{
    printf '#include <poll.h>\n'
    sed -n '/^```c$/,/^```$/{/^```/!p;}' "$page"
    awk -F '\t' -v page="$page" '$3 ~ /^`/ {
        gsub(/^`|`$/, "", $3)
        printf "static void line_%d(void)\n{\n#line %d \"%s\"\n%s\n}\n", $1, $1, page, $3
        call[++n] = $1
    }
    END {
        print "int main(void)\n{"
        for (i = 1; i <= n; i++) printf "line_%d();\n", call[i]
        print "}"
    }' "$made.rows"
} >"$made.c"
# shellcheck disable=SC2086  # flags are words
${CC:-cc} -std=c11 -D_GNU_SOURCE -Iinclude -Wall -Wextra -Werror -Wno-unused -pthread ${CFLAGS:-} -fsyntax-only "$made.c" || failed=1

awk -F '\t' '$3 !~ /^(`[^`]+`|none: .*|not yet: `[.a-z_]+`.*)$/ { print $1 ": neither C, nor \"none: why\", nor \"not yet: `call`\"" }' \
    "$made.rows" >"$made.wrong"
while read -r line; do fail "$line"; done <"$made.wrong"

sed -n 's/.*not yet: `\([a-z_]*\)`.*/\1/p' "$made.rows" | sort -u | while read -r call; do
    ! grep -q "^ *$call;$" libpar/libpar.map || echo "$page: $call is there now"
done

[ "$failed" -eq 0 ]
echo "python-users: $(grep -c "	\`" "$made.rows") lines of C compile, $(grep -c '	none: ' "$made.rows") names have none," \
    "$(grep -c '	not yet: ' "$made.rows") are to come"
