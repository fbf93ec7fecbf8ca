/* SPDX-License-Identifier: MIT
 *
 * process.c: fork, the end of a child, signals, processors.
 *
 * libpar forks only by fork(), so that libc's own state is right in the child. It waits for its own children by pid or pidfd
 * only: a host program's wait(-1), or its ignored SIGCHLD, may take an exit status from us, and that is said, not waited for.
 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define WAIT_PIDFD 3 /* P_PIDFD, which older headers lack */
#define TO_GROUP 4   /* PIDFD_SIGNAL_PROCESS_GROUP */

#define MAX_AT_FORK 16

static pthread_mutex_t private_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t at_fork_lock = PTHREAD_MUTEX_INITIALIZER; /* guards additions to the list, and the first of them */
static void (*at_fork[MAX_AT_FORK])(void);
static _Atomic int n_at_fork;
static _Atomic bool has_handlers;

void
pari_private_lock(void)
{
    (void)pthread_mutex_lock(&private_lock); /* a plain mutex of ours: cannot fail */
}

void
pari_private_unlock(void)
{
    (void)pthread_mutex_unlock(&private_lock);
}

static void
in_child(void)
{
    private_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    at_fork_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < atomic_load(&n_at_fork); i++)
        at_fork[i]();
}

/* Under at_fork_lock. A process that could not notice its forks would pass for its own child: better no member at all. */
static int
register_handlers(void)
{
    int error;

    if (atomic_load(&has_handlers))
        return 0;
    error = pari_fault(PARI_CALL_ATFORK) ? errno : pthread_atfork(pari_private_lock, pari_private_unlock, in_child);
    if (error != 0)
        return pari_fail(error);
    atomic_store(&has_handlers, true);
    return 0;
}

static bool
is_listed(void (*child)(void))
{
    int n = atomic_load(&n_at_fork);

    for (int i = 0; i < n; i++)
        if (at_fork[i] == child)
            return true;
    return false;
}

int
pari_at_fork(void (*child)(void))
{
    int result, n;

    if (is_listed(child))
        return 0;
    (void)pthread_mutex_lock(&at_fork_lock);
    result = register_handlers();
    if (result == 0 && !is_listed(child)) {
        n = atomic_load(&n_at_fork);
        pari_assert(n < MAX_AT_FORK);
        at_fork[n] = child;
        atomic_store(&n_at_fork, n + 1);
    }
    (void)pthread_mutex_unlock(&at_fork_lock);
    return result;
}

void
pari_heed_interrupt(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    (void)sigaction(SIGINT, &action, NULL);
}

void
pari_reset_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL); /* the libc's own and SIGKILL, SIGSTOP refuse */
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

pid_t
pari_fork(const int *keep, unsigned n_keep, bool reset_signals)
{
    sigset_t all, before;
    pid_t pid;

    if (pari_fault(PARI_CALL_FORK))
        return -1;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of the host runs in a half-made child */
    pari_fd_keep(keep, n_keep);
    pid = fork();
    pari_fd_keep(NULL, 0);
    if (pid == 0 && reset_signals)
        pari_reset_signals();
    else {
        int saved = errno;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        errno = saved;
    }
    return pid;
}

int
pari_pidfd(pid_t pid)
{
    if (pari_fault(PARI_CALL_PIDFD_OPEN))
        return -1;
    return pari_fd_track((int)syscall(SYS_pidfd_open, pid, 0));
}

int
pari_reap(pid_t pid, int pidfd, struct pari_exit *how)
{
    siginfo_t info;
    int result;

    memset(&info, 0, sizeof info);
    do
        result = pidfd < 0                          ? waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG)
                 : pari_fault(PARI_CALL_PIDFD_WAIT) ? -1
                                                    : waitid((idtype_t)WAIT_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    while (result != 0 && errno == EINTR);
    if (result != 0 && pidfd >= 0 && errno == EINVAL) /* pidfds, but not yet in waitid: Linux 5.3 */
        return pari_reap(pid, -1, how);
    if (result != 0)
        return -1;
    if (info.si_pid == 0)
        return 0;
    how->code = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    return 1;
}

/* struct pidfd_info of Linux 6.13 and later, and what it says of a process that was reaped (6.15). */
struct info {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define GET_INFO _IOWR(0xff, 11, struct info)
#define HAS_EXIT_CODE (UINT64_C(1) << 3)

bool
pari_pidfd_exit(int pidfd, struct pari_exit *how)
{
    struct info info = { .mask = HAS_EXIT_CODE };

    if (pidfd < 0 || syscall(SYS_ioctl, pidfd, GET_INFO, &info) != 0 || (info.mask & HAS_EXIT_CODE) == 0)
        return false;
    how->code = WIFEXITED(info.exit_code) ? WEXITSTATUS(info.exit_code) : -WTERMSIG(info.exit_code);
    return true;
}

int
pari_kill(pid_t pid, int pidfd, int signal)
{
    long result;

    if (pidfd >= 0) {
        result = pari_fault(PARI_CALL_PIDFD_SIGNAL) ? -1 : syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
        if (result == 0 || errno == ESRCH)
            return 0;
        if (errno != ENOSYS && errno != EPERM && errno != EBADF) /* EBADF: the program has closed it */
            return -1;
    }
    result = kill(pid, signal);
    return result == 0 || errno == ESRCH ? 0 : -1;
}

bool
pari_pid_exists(pid_t pid)
{
    int saved = errno;
    bool exists = kill(pid, 0) == 0 || errno != ESRCH;

    errno = saved;
    return exists;
}

bool
pari_pid_has_ended(pid_t pid)
{
    int saved = errno, fd = pari_pidfd(pid);
    bool has_ended = fd >= 0 ? pari_fd_poll(fd, POLLIN, 0) == 1 : errno == ESRCH || !pari_pid_exists(pid);

    pari_fd_close(fd);
    errno = saved;
    return has_ended;
}

/* Without reaping it: 1 it is a child of ours that has ended, 0 that has not, -1 there is no such child any more. */
static int
look_at_child(pid_t pid, int pidfd)
{
    siginfo_t info = { .si_pid = 0 };
    int result = pidfd < 0 ? -1 : waitid((idtype_t)WAIT_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT);

    if (pidfd < 0 || (result != 0 && errno != ECHILD)) /* the program has closed our descriptor, or an old kernel */
        result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return result != 0 ? -1 : info.si_pid == pid;
}

int
pari_has_ended(pid_t pid, int pidfd)
{
    int saved = errno, seen = look_at_child(pid, pidfd);

    errno = saved;
    return seen;
}

int
pari_group_begin(void)
{
    return setpgid(0, 0);
}

/* Through the descriptor the group is meant whose number the leader had, also when that is reaped (Linux 6.9). Without it the number is
 * the group's for certain only while the leader is a child of ours that was not reaped. */
bool
pari_group_kill(pid_t leader, int pidfd, int signal)
{
    int saved = errno;
    bool is_there = pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, TO_GROUP) == 0;

    if (!is_there && look_at_child(leader, pidfd) >= 0)
        is_there = kill(-leader, signal) == 0;
    errno = saved;
    return is_there;
}

bool
pari_leads_group(pid_t pid)
{
    int saved = errno;
    bool leads = getpgid(pid) == pid;

    errno = saved;
    return leads;
}

/* Copies of those that may be written over; -1: there is no room for one. */
static int
copy_standard(const int fd[3], int source[3])
{
    for (int i = 0; i < 3; i++) {
        bool is_standard = fd[i] > STDIN_FILENO && fd[i] <= STDERR_FILENO;
        source[i] = is_standard ? fcntl(fd[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : fd[i];
        if (source[i] < 0)
            return -1;
    }
    return 0;
}

int
pari_set_stdio(const int fd[3])
{
    int source[3];

    if (copy_standard(fd, source) != 0)
        return -1;
    for (int i = 0; i < 3; i++)
        if (source[i] > 0 && dup2(source[i], i) < 0)
            return -1;
    for (int i = 0; i < 3; i++)
        if (source[i] != fd[i])
            pari_fd_close(source[i]);
    return 0;
}

void
pari_set_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
}

void
pari_exit_now(int code)
{
    _exit(code);
}

static int
n_in_affinity(void)
{
    for (int n = 1024; n <= 1 << 18; n *= 4) { /* the kernel's mask may be larger than a cpu_set_t */
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        cpu_set_t *set = pari_malloc(size);
        int count = 0;

        if (set == NULL)
            return 0;
        if (sched_getaffinity(0, size, set) == 0)
            count = CPU_COUNT_S(size, set);
        free(set);
        if (count > 0)
            return count;
    }
    return 0;
}

int
pari_n_cpus(void)
{
    int n = n_in_affinity(), quota = pari_cgroup_cpus();

    if (n == 0)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (quota > 0 && quota < n)
        n = quota;
    return n > 0 ? n : 1;
}

int
pari_cpu(void)
{
    return sched_getcpu();
}
