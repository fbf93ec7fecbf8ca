#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The same from outside, without the seam: strace makes the kernel's own answer fail, in the n-th such call of each process, for
# n = 1, 2, ... until none is left. The operation is done twice, and each time it must succeed or say what it documents.
#   outside.sh <the faults program>
set -u
faults=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_points=0
n_failed=0

if ! command -v strace >/dev/null; then
    echo "outside  skipped: strace is not installed"
    exit 0
fi
if ! strace -qq -o "$scratch/log" -e inject=getppid:error=EPERM true 2>/dev/null; then
    echo "outside  skipped: strace may not trace here"
    exit 0
fi

# operation, system call, errno
try() {
    n=0
    while [ "$n" -lt 60 ]; do
        n=$((n + 1))
        timeout -k 1 30 strace -f -qq -o "$scratch/log" -e "trace=$2" -e "inject=$2:error=$3:when=$n" \
            "$faults" --once --op "$1" >"$scratch/out" 2>&1 </dev/null
        code=$?
        grep -q INJECTED "$scratch/log" || return 0
        n_points=$((n_points + 1))
        [ "$code" -eq 0 ] && continue
        n_failed=$((n_failed + 1))
        echo "  $1, $2 $n fails with $3: it ended with $code: $(cat "$scratch/out")"
    done
}

try shared_alloc memfd_create EMFILE
try shared_alloc ftruncate ENOSPC
try shared_alloc fallocate ENOSPC
try shared_alloc fcntl ENOLCK
try pipe socketpair EMFILE
try process_start_daemon clone EAGAIN
try process_start_daemon pidfd_open ENOSYS
try process_start_daemon waitid EINVAL
try process_start_daemon poll EINTR
try process_start_daemon fcntl ENOMEM
try new_processes clone EAGAIN
try new_processes fallocate ENOSPC
try manager_start socket EMFILE
try manager_start epoll_ctl ENOMEM
try life_in_client connect ENOMEM
try life_in_client accept4 EMFILE
try life_in_client sendto ENOBUFS
try life_in_client recvfrom ECONNRESET
try life_in_client poll EINTR
echo "outside: $n_points points, $n_failed failed"
[ "$n_points" -gt 0 ] && [ "$n_failed" -eq 0 ]
