/* SPDX-License-Identifier: MIT
 *
 * kernels.c: the kernels that the machine does not have. A seccomp filter refuses what they lack, as the old kernel (ENOSYS) or a
 * container's filter (EPERM) would, and the whole workload must still hold.
 *
 * A flag that an old mmap ignores cannot be taken away by a filter: there the call is trapped and made again without it.
 */
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NO_FUTEX_WAITV 1
#define NO_PIDFD_OPEN 2
#define NO_PIDFD_SIGNAL 4
#define NO_PIDFD_WAIT 8 /* EINVAL, as Linux 5.3 */
#define NO_SEALS 16     /* EINVAL */
#define NO_NOREPLACE 32 /* the address is a hint, as before Linux 4.17 */
#define NO_MEMBARRIER 64
#define TAKEN 128 /* and other mappings lie where the arena would like to be */
#define ALL (TAKEN - 1)

#define F_ADD_SEALS_COMMAND 1033
#define NOREPLACE 0x100000
#define WAIT_PIDFD 3

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

struct profile {
    const char *name;
    unsigned lacks;
    unsigned refusal; /* errno of what is not there */
};

#ifdef ARCHITECTURE

struct program {
    struct sock_filter line[64];
    unsigned short n;
};

static void
emit(struct program *p, struct sock_filter line)
{
    p->line[p->n++] = line;
}

static void
load(struct program *p, size_t offset)
{
    emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void
refuse(struct program *p, uint32_t number, uint32_t action)
{
    load(p, offsetof(struct seccomp_data, nr));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Only if the argument is, or (mask) has, this value. */
static void
refuse_if(struct program *p, uint32_t number, unsigned argument, int test, uint32_t value, uint32_t action)
{
    load(p, offsetof(struct seccomp_data, nr));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3));
    load(p, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t)); /* the low half: little endian */
    emit(p, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | test | BPF_K), value, 0, 1));
    emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void
map_without_flag(int number, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    int saved = errno;
    long result;

    (void)number;
    (void)info;
#if defined __x86_64__
    greg_t *r = u->uc_mcontext.gregs;
    result = syscall(SYS_mmap, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10] & ~(greg_t)NOREPLACE, r[REG_R8], r[REG_R9]);
    r[REG_RAX] = result == -1 ? -errno : result;
#else
    unsigned long long *r = u->uc_mcontext.regs;
    result = syscall(SYS_mmap, r[0], r[1], r[2], r[3] & ~(unsigned long long)NOREPLACE, r[4], r[5]);
    r[0] = (unsigned long long)(result == -1 ? -errno : result);
#endif
    errno = saved;
}

static int
install(const struct profile *profile)
{
    struct program p = { .n = 0 };
    struct sock_fprog filter;
    uint32_t no = SECCOMP_RET_ERRNO | profile->refusal, invalid = SECCOMP_RET_ERRNO | EINVAL;

    load(&p, offsetof(struct seccomp_data, arch));
    emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0));
    emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    if (profile->lacks & NO_FUTEX_WAITV)
        refuse(&p, SYS_futex_waitv, no);
    if (profile->lacks & NO_PIDFD_OPEN)
        refuse(&p, SYS_pidfd_open, no);
    if (profile->lacks & NO_PIDFD_SIGNAL)
        refuse(&p, SYS_pidfd_send_signal, no);
    if (profile->lacks & NO_PIDFD_WAIT)
        refuse_if(&p, SYS_waitid, 0, BPF_JEQ, WAIT_PIDFD, invalid);
    if (profile->lacks & NO_MEMBARRIER)
        refuse(&p, SYS_membarrier, no);
    if (profile->lacks & NO_SEALS)
        refuse_if(&p, SYS_fcntl, 1, BPF_JEQ, F_ADD_SEALS_COMMAND, invalid);
    if (profile->lacks & NO_NOREPLACE)
        refuse_if(&p, SYS_mmap, 3, BPF_JSET, NOREPLACE, SECCOMP_RET_TRAP);
    emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    filter = (struct sock_fprog){ .len = p.n, .filter = p.line };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ? 0 : -1;
}

static bool
is_refused(long result, unsigned error)
{
    return result == -1 && errno == (int)error;
}

/* Else the workload would hold on the kernel as it is. */
static bool
is_in_force(const struct profile *profile)
{
    siginfo_t info;

    return (!(profile->lacks & NO_FUTEX_WAITV) ||
            is_refused(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0), profile->refusal)) &&
           (!(profile->lacks & NO_PIDFD_OPEN) || is_refused(syscall(SYS_pidfd_open, getpid(), 0), profile->refusal)) &&
           (!(profile->lacks & NO_PIDFD_SIGNAL) ||
            is_refused(syscall(SYS_pidfd_send_signal, -1, 0, NULL, 0), profile->refusal)) &&
           (!(profile->lacks & NO_PIDFD_WAIT) ||
            is_refused(syscall(SYS_waitid, WAIT_PIDFD, -1, &info, WEXITED, NULL), EINVAL)) &&
           (!(profile->lacks & NO_MEMBARRIER) || is_refused(syscall(SYS_membarrier, 0, 0), profile->refusal)) &&
           (!(profile->lacks & NO_SEALS) || is_refused(fcntl(-1, F_ADD_SEALS_COMMAND, 0), EINVAL));
}

static int
take_addresses(void)
{
    static const uintptr_t at[] = { 0x200000000000, 0x300000000000, 0x100000000000 };

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (mmap((void *)at[i], 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) /* NOLINT */
            return -1;
    return 0;
}

static int
run_under(const void *arg)
{
    const struct profile *profile = arg;
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = map_without_flag;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSYS, &action, NULL) != 0 || ((profile->lacks & TAKEN) && take_addresses() != 0) || install(profile) != 0)
        return CASE_SKIPPED;
    return is_in_force(profile) ? workload() : __LINE__;
}

#else

static int
run_under(const void *arg)
{
    return ((const struct profile *)arg)->lacks == 0 ? workload() : CASE_SKIPPED;
}

#endif

int
kernels(bool is_sample)
{
    static const struct profile profiles[] = {
        { "this one", 0, ENOSYS },
        { "no futex_waitv", NO_FUTEX_WAITV, ENOSYS },
        { "futex_waitv forbidden", NO_FUTEX_WAITV, EPERM },
        { "no pidfd_open", NO_PIDFD_OPEN, ENOSYS },
        { "pidfd_open forbidden", NO_PIDFD_OPEN, EPERM },
        { "no pidfd_send_signal", NO_PIDFD_SIGNAL, ENOSYS },
        { "pidfd_send_signal forbidden", NO_PIDFD_SIGNAL, EPERM },
        { "no waitid(P_PIDFD)", NO_PIDFD_WAIT, ENOSYS },
        { "no seals", NO_SEALS, ENOSYS },
        { "no membarrier", NO_MEMBARRIER, ENOSYS },
        { "membarrier forbidden", NO_MEMBARRIER, EPERM },
        { "MAP_FIXED_NOREPLACE unknown", NO_NOREPLACE, ENOSYS },
        { "the same, addresses taken", NO_NOREPLACE | TAKEN, ENOSYS },
        { "addresses taken", TAKEN, ENOSYS },
        { "nothing new", ALL, ENOSYS },
        { "all forbidden", ALL, EPERM },
        { "all forbidden, addresses taken", ALL | TAKEN, EPERM },
    };
    int n_failed = 0;

    for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
        if (!is_sample || (profiles[i].lacks & ALL) == ALL)
            n_failed += case_tell("kernel", profiles[i].name, case_run(run_under, &profiles[i]));
    return n_failed;
}
