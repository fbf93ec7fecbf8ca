#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the examples one after the other; stop at the first that fails.
#   run_examples.sh demo      <directory>   the slides' numbers, but shorter sleeps where a slide sleeps for long
#   run_examples.sh full      <directory>   the slides' numbers
#   run_examples.sh valgrind  <directory>   small numbers, under memcheck
set -eu
mode=$1
directory=$2

# Example $1, in the way of this mode.
run() {
    case $mode in
    valgrind)
        # A leak check looks at all of the arena's addresses, so there should not be too many; nor two hundred valgrinds.
        case $1 in
        *lock*) set -- "$1" -n 20 ;;
        *survivors*) set -- "$1" -s 60 ;;
        esac
        PAR_ARENA_LIMIT=16M "${VALGRIND:-valgrind}" --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
            --trace-children=yes --child-silent-after-fork=no "$@" --quick </dev/null
        ;;
    demo)
        case $1 in
        *lock*) "$1" --quick ;;
        *) "$1" ;;
        esac
        ;;
    full) "$1" ;;
    esac
}

[ "$mode" != valgrind ] || command -v "${VALGRIND:-valgrind}" >/dev/null || {
    echo "valgrind is not installed" >&2
    exit 1
}

n=0
started=$(date +%s)
for source in examples/[0-9]*.c; do
    [ -f "$source" ] || continue
    name=$(basename "$source" .c)
    printf '== %s\n' "$name"
    code=0
    run "$directory/$name" || code=$?
    if [ "$code" -ne 0 ]; then
        echo "$name failed with exit code $code" >&2
        exit 1
    fi
    echo
    n=$((n + 1))
done
echo "$n examples ran in $(($(date +%s) - started)) s"
[ "$n" -gt 0 ]
