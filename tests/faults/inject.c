/* SPDX-License-Identifier: MIT
 *
 * inject.c: which errno each call can really give, and the hook that gives it.
 */
#include "faults.h"

#include <unistd.h>

#define MOST 5

/* Those after `n_persistent` happen once in a while, but never for ever. */
static const struct {
    const char *name;
    int n_persistent;
    int error[MOST + 1];
} kinds[PARI_N_CALLS] = {
    [PARI_CALL_MALLOC] = { "malloc", 1, { ENOMEM } },
    [PARI_CALL_MEMFD] = { "memfd_create", 3, { EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_SEAL] = { "fcntl(F_ADD_SEALS)", 1, { EINVAL } },
    [PARI_CALL_MMAP] = { "mmap", 2, { ENOMEM, EAGAIN, EEXIST } },
    [PARI_CALL_FALLOCATE] = { "fallocate", 3, { ENOSPC, ENOMEM, EFBIG, EINTR } },
    [PARI_CALL_SETLK] = { "fcntl(F_SETLK)", 1, { ENOLCK } },
    [PARI_CALL_GETLK] = { "fcntl(F_GETLK)", 1, { ENOLCK } },
    [PARI_CALL_MUTEX_INIT] = { "pthread_mutex_init", 1, { ENOMEM } },
    [PARI_CALL_TIMEDLOCK] = { "pthread_mutex_timedlock", 0, { ETIMEDOUT } },
    [PARI_CALL_FUTEX_WAIT] = { "futex(WAIT)", 2, { EAGAIN, EINTR } },
    [PARI_CALL_FUTEX_WAITV] = { "futex_waitv", 4, { ENOSYS, EPERM, EAGAIN, EINTR } },
    [PARI_CALL_ATFORK] = { "pthread_atfork", 1, { ENOMEM } },
    [PARI_CALL_FORK] = { "fork", 2, { EAGAIN, ENOMEM } },
    [PARI_CALL_EXEC] = { "execve", 3, { ENOMEM, EACCES, ENOENT } },
    [PARI_CALL_CLOSE_RANGE] = { "close_range", 2, { ENOSYS, EPERM } },
    [PARI_CALL_PIDFD_OPEN] = { "pidfd_open", 5, { ENOSYS, EPERM, EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_PIDFD_SIGNAL] = { "pidfd_send_signal", 2, { ENOSYS, EPERM } },
    [PARI_CALL_PIDFD_WAIT] = { "waitid(P_PIDFD)", 1, { EINVAL, EINTR } },
    [PARI_CALL_THREAD] = { "pthread_create", 1, { EAGAIN } },
    [PARI_CALL_SOCKETPAIR] = { "socketpair", 3, { EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_SOCKET] = { "socket", 3, { EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_BIND] = { "bind", 2, { EADDRINUSE, ENOMEM } },
    [PARI_CALL_TIMERFD] = { "timerfd_create", 3, { EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_ACCEPT] = { "accept", 1, { EMFILE, ENOMEM, EINTR, ECONNABORTED } },
    [PARI_CALL_CONNECT] = { "connect", 2, { ECONNREFUSED, ENOMEM, EAGAIN, EINTR } },
    [PARI_CALL_SEND] = { "send", 3, { ENOBUFS, ECONNRESET, EPIPE, EAGAIN, EINTR } },
    [PARI_CALL_RECV] = { "recv", 2, { ECONNRESET, ENOMEM, EAGAIN, EINTR } },
    [PARI_CALL_SIGIO] = { "fcntl(F_SETOWN)", 1, { ENOMEM } },
    [PARI_CALL_POLL] = { "poll", 2, { ENOMEM, EINTR } },
    [PARI_CALL_EPOLL] = { "epoll_create", 3, { EMFILE, ENFILE, ENOMEM } },
    [PARI_CALL_EPOLL_CTL] = { "epoll_ctl", 2, { ENOMEM, ENOSPC } },
    [PARI_CALL_DEVNULL] = { "open(/dev/null)", 3, { EMFILE, ENFILE, ENOENT } },
    [PARI_CALL_MEMBARRIER] = { "membarrier", 2, { ENOSYS, EPERM } },
    [PARI_CALL_READ_FILE] = { "open(cgroup)", 2, { EMFILE, ENOENT } },
};

const char *
inject_name(enum pari_call call)
{
    return kinds[call].name;
}

int
inject_n_errors(enum pari_call call)
{
    int n = 0;

    while (n < MOST && kinds[call].error[n] != 0)
        n++;
    return n;
}

bool
inject_may_persist(enum pari_call call, int which)
{
    return which < kinds[call].n_persistent;
}

/* The order of threads and processes is not the same each time, so this may be another call than was meant. */
static bool
is_to_fail(enum pari_call call, int which)
{
    return !point->is_persistent || inject_may_persist(call, which);
}

static int
hook(enum pari_call call)
{
    long n;

    if (!atomic_load(&point->is_armed) || (getpid() == point->world) != (point->where == IN_CALLER))
        return 0;
    atomic_fetch_add(&point->seen[call], 1);
    n = atomic_fetch_add(&point->n_calls, 1) + 1;
    if (n == point->at && is_to_fail(call, point->which % inject_n_errors(call))) {
        atomic_store(&point->error, kinds[call].error[point->which % inject_n_errors(call)]);
        atomic_store(&point->call, (int)call);
        return atomic_load(&point->error);
    }
    return point->is_persistent && atomic_load(&point->call) == (int)call ? atomic_load(&point->error) : 0;
}

void
inject_arm(enum where where)
{
    point->world = getpid();
    point->where = where;
    pari_fault_hook = hook;
    atomic_store(&point->is_trying, 1);
    atomic_store(&point->is_armed, 1);
}

void
inject_disarm(void)
{
    atomic_store(&point->is_armed, 0);
    atomic_store(&point->is_trying, 0);
}
