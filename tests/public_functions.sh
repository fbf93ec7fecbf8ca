#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The public functions of libpar, one name a line and sorted, read from the headers: whatever is declared with PAR_API.
#   public_functions.sh            the names
#   public_functions.sh map 0.1    the linker's version script with all of them
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."

names() {
    # A declaration may span lines: join from PAR_API to the semicolon; its name is the first par_... before a parenthesis.
    awk '/^PAR_API/ { joined = "" ; open = 1 }
         open { joined = joined " " $0 }
         open && /;/ { open = 0; if (match(joined, /par_[a-z0-9_]+ *\(/)) print substr(joined, RSTART, RLENGTH) }' include/par/*.h |
        tr -d ' (' | sort -u
}

if [ "${1:-}" = map ]; then
    printf '# Every function that is exported; checked against the headers by `make lint`.\nLIBPAR_%s {\nglobal:\n' "$2"
    names | sed 's/.*/    &;/'
    printf 'local:\n    *;\n};\n'
else
    names
fi
