#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What no compiler checks: floors, comments, manual entries, exported symbols, format. Says every finding, fails if there is one.
# A tool that is not installed is said aloud and its check is left out.
#   lint.sh <shared library>
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
library=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/findings"

# Print the findings on standard input, each as "check: finding".
report() {
    sed "s|^|$1: |" | tee -a "$scratch/findings"
}

sources() {
    find . -name build -prune -o -name '*.[ch]' -type f -print | sed 's|^\./||' | sort
}

# ---- includes go down the floors only, and what belongs to the lowest floor stays there

check_floors() {
    find include libpar -name '*.[ch]' -type f | sort | xargs awk '
        BEGIN {
            floors = "os 0 shm 1 sync 2 channel 3 object 3 exec 4 manager 5"
            headers = "base 0 shared 2 sync 2 shm 3 obj 3 pipe 3 pqueue 3 queue 3 process 4 thread 4 pool 4 future 4 wait 4 log 4 manager 5"
            n = split(floors, word, " ");  for (i = 1; i < n; i += 2) floor_of["libpar/" word[i]] = word[i + 1]
            n = split(headers, word, " "); for (i = 1; i < n; i += 2) floor_of["par/" word[i] ".h"] = word[i + 1]
        }
        function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
        FNR == 1 {
            mine = FILENAME
            if (mine ~ /^libpar/) mine = folder(mine); else sub(/^include\//, "", mine)
            if (mine != "par.h" && !(mine in floor_of)) print FILENAME ": a folder or header of no floor"
        }
        /^#include "\.\.\// || /^#include <par\// {
            target = $2; gsub(/["<>]/, "", target)
            if (target ~ /^\.\.\//) { sub(/^\.\./, "libpar", target); target = folder(target) }
            if (!(target in floor_of)) print FILENAME ":" FNR ": " $2 " is on no floor"
            else if (mine != "par.h" && floor_of[target] > floor_of[mine]) print FILENAME ":" FNR ": " $2 " is a floor above"
            else if (mine == "libpar/object" && target == "libpar/channel") print FILENAME ":" FNR ": objects know no channels"
        }
        FILENAME ~ /^libpar/ && mine != "libpar/os" && /syscall\(|== EINTR|^ *# *if/ && !/_H$/ {
            print FILENAME ":" FNR ": system calls, EINTR and #if belong to libpar/os"
        }'
}

# ---- every public function: a comment right above it (or above its run of declarations) that ends in a Safe: line

check_comments() {
    awk '
        FNR == 1 { documented = 0; has_safe = 0; in_comment = 0 }
        /^\/\*/ { in_comment = 1; has_safe = 0 }
        in_comment && /Safe: / { has_safe = 1 }
        in_comment { if (/\*\//) { in_comment = 0; documented = has_safe } ; next }
        /^PAR_API/ {
            if (!documented) {
                name = match($0, /par_[a-z0-9_]+ *\(/) ? substr($0, RSTART, RLENGTH - 1) : $0
                print FILENAME ":" FNR ": " name " has no comment with a Safe: line"
            }
        }
        /^ *$/ { documented = 0 }' include/par/*.h
}

check_licence() {
    sources | xargs grep -L 'SPDX-License-Identifier: MIT' | sed 's|$|: no licence line|'
}

# ---- every public function is named and shown in a manual page; every name a page promises exists

check_manual() {
    pages=$(find doc -name '*.3' | sort)
    [ -n "$pages" ] || { echo "doc: no manual pages"; return; }
    # shellcheck disable=SC2086  # one argument per page
    awk '/^\.Sh / { named = /NAME/ } named && $1 == ".Nm" { print $2 }' $pages | sort -u >"$scratch/named"
    # shellcheck disable=SC2086
    awk '$1 == ".Fn" || $1 == ".Fo" { print $2 }' $pages | sort -u >"$scratch/shown"
    # and what is in line: its name begins a line, as macros' do behind `define`
    sed -n -e 's/^# *define \(par_[a-z0-9_]*\)(.*/\1/p' -e 's/^\(par_[a-z0-9_]*\)(.*/\1/p' include/par/*.h | sort -u |
        sort -u - "$scratch/functions" >"$scratch/callable"
    find doc -name '*.3' -exec basename {} .3 \; | sort | sort -u - "$scratch/callable" >"$scratch/nameable"
    comm -23 "$scratch/callable" "$scratch/named" | sed 's/$/: in no NAME section/'
    comm -23 "$scratch/callable" "$scratch/shown" | sed 's/$/: in no SYNOPSIS (.Fn or .Fo)/'
    comm -13 "$scratch/nameable" "$scratch/named" | sed 's/$/: in a NAME section, but no such call/'
}

check_mandoc() {
    find doc -name '*.[37]' | sort | while read -r page; do
        mandoc -T lint "$page" 2>&1 | grep -v -e 'referenced manual not found' -e 'outdated mandoc.db' || true
    done
}

# ---- headers, version script and library name the same functions

check_symbols() {
    sed -n 's/^ *\(par_[a-z0-9_]*\);$/\1/p' libpar/libpar.map >"$scratch/map"
    sort -c "$scratch/map" 2>/dev/null || echo "libpar/libpar.map: not sorted"
    sort -u "$scratch/map" >"$scratch/map.sorted"
    nm -D --defined-only "$library" | awk '$2 ~ /[TDBRWVi]/ { sub(/@.*/, "", $3); print $3 }' | sort -u >"$scratch/exported"
    comm -23 "$scratch/functions" "$scratch/map.sorted" | sed 's/$/: declared, not in the map/'
    comm -13 "$scratch/functions" "$scratch/map.sorted" | sed 's/$/: in the map, not declared/'
    comm -23 "$scratch/map.sorted" "$scratch/exported" | sed 's/$/: in the map, not in the library/'
    comm -13 "$scratch/map.sorted" "$scratch/exported" | sed 's/$/: in the library, not in the map/'
}

check_format() {
    sources | while read -r file; do
        clang-format "$file" | cmp -s - "$file" || echo "$file: not as the formatter writes it (make format)"
    done
}

check_shell() {
    shellcheck --severity=warning --format=gcc tests/*.sh .ci/run || true
}

tests/public_functions.sh >"$scratch/functions"
check_floors | report floors
check_comments | report comments
check_licence | report licence
check_manual | report manual
check_symbols | report symbols

if command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14\.'; then
    check_format | report format
else
    echo "clang-format 14 is not installed: the format is not checked"
fi
if command -v mandoc >/dev/null; then
    check_mandoc | report mandoc
else
    echo "mandoc is not installed: the manual pages' markup is not checked"
fi
if command -v shellcheck >/dev/null; then
    check_shell | report shell
else
    echo "shellcheck is not installed: the scripts are not checked"
fi

n=$(wc -l <"$scratch/findings")
echo "lint: $(wc -l <"$scratch/functions") public functions, $n findings"
[ "$n" -eq 0 ]
