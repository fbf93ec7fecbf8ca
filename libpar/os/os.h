/* SPDX-License-Identifier: MIT
 *
 * os.h: the one contract between libpar and the system (floor 0).
 *
 * Everything above this floor reaches the kernel and libc's blocking calls through these functions only. Here, and nowhere else,
 * are raw system calls, #ifdef, EINTR and fall-backs for old kernels. Unless a comment says otherwise a call returns -1 and
 * errno when it fails, and never EINTR.
 */
#ifndef PARI_OS_H
#define PARI_OS_H

#include <par/base.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#define PARI_CACHE_LINE 64

#define pari_likely(x) __builtin_expect(!!(x), 1)
#define pari_unlikely(x) __builtin_expect(!!(x), 0)
#define pari_seldom __attribute__((cold)) /* compiled for size, in a file that is not */

/* An invariant of ours, checked in debug builds only: the caller's mistakes get an errno instead. */
#ifdef PAR_DEBUG
#define pari_assert(condition) assert(condition)
#else
#define pari_assert(condition) ((void)0)
#endif

/* ---- the seam: every call below can be made to fail by a test (fault.c). What does not pass it cannot fail, as used here, but by
 * a bug of ours, or its failure changes nothing: clock_gettime, FUTEX_WAKE, munmap, madvise, getrlimit, sigaction, getrandom, kill,
 * epoll_wait, and mutexes that are not contended. */

enum pari_call {
    PARI_CALL_MALLOC,
    PARI_CALL_MEMFD,
    PARI_CALL_SEAL,
    PARI_CALL_MMAP,
    PARI_CALL_FALLOCATE,
    PARI_CALL_SETLK,
    PARI_CALL_GETLK,
    PARI_CALL_MUTEX_INIT,
    PARI_CALL_TIMEDLOCK,
    PARI_CALL_FUTEX_WAIT,
    PARI_CALL_FUTEX_WAITV,
    PARI_CALL_ATFORK,
    PARI_CALL_FORK,
    PARI_CALL_EXEC,
    PARI_CALL_CLOSE_RANGE,
    PARI_CALL_PIDFD_OPEN,
    PARI_CALL_PIDFD_SIGNAL,
    PARI_CALL_PIDFD_WAIT, /* waitid(P_PIDFD) */
    PARI_CALL_THREAD,
    PARI_CALL_SOCKETPAIR,
    PARI_CALL_SOCKET,
    PARI_CALL_BIND, /* and listen */
    PARI_CALL_TIMERFD,
    PARI_CALL_ACCEPT,
    PARI_CALL_CONNECT,
    PARI_CALL_SEND,
    PARI_CALL_RECV,
    PARI_CALL_SIGIO,
    PARI_CALL_POLL,
    PARI_CALL_EPOLL,
    PARI_CALL_EPOLL_CTL,
    PARI_CALL_DEVNULL,
    PARI_CALL_READ_FILE, /* of the control group */
    PARI_CALL_MEMBARRIER,
    PARI_CALL_SHM, /* the folder of named memory */
    PARI_N_CALLS
};

/* NULL, or a test's function: returns the errno with which this call is to fail, 0 to let it go on. */
extern int (*pari_fault_hook)(enum pari_call call);

/* True, with errno set, if a test wants `call` to fail now. */
static inline bool
pari_fault(enum pari_call call)
{
    int (*hook)(enum pari_call) = pari_fault_hook;
    int error = pari_unlikely(hook != NULL) ? hook(call) : 0;

    if (error != 0)
        errno = error;
    return error != 0;
}

/* ---- errors in words (error.c) */

/* Remember what par_error() shall say in this thread; keeps errno. */
void pari_say(const char *format, ...) PAR_PRINTF(1, 2);

/* errno = error; return -1: so that a failure is one statement. */
int pari_fail(int error);

/* errno = error; return NULL. */
void *pari_null(int error);

/* ---- clock (clock.c) */

int64_t pari_now_ns(void); /* CLOCK_MONOTONIC */

/* Has the deadline passed? Never for PAR_FOREVER, always for PAR_NOWAIT. */
bool pari_is_over(par_time deadline);

/* The earlier of a deadline and the moment `ns` from now; never PAR_FOREVER. */
int64_t pari_slice_end(par_time deadline, int64_t ns);

/* Is par_interrupt() on? A call that is about to sleep then fails with EINTR. */
bool pari_is_interrupted(void);
void pari_interrupt_mask(int by); /* +1, -1: what this thread does in between is not to be interrupted */

/* In a spin: tells the processor that it is one. */
static inline void
pari_cpu_relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ __volatile__("yield");
#endif
}

/* ---- a fence of which one side pays for both (fence.c) */

extern _Atomic bool pari_fence_is_light; /* this process is registered */

void pari_fence_register(void); /* before the first pari_fence_light that shall cost nothing */

/* On the side that stores and looks often. With `is_heavy` it is a full fence in any case: some other side could not do its part. */
static inline void
pari_fence_light(bool is_heavy)
{
    if (pari_likely(atomic_load_explicit(&pari_fence_is_light, memory_order_relaxed) && !is_heavy))
        atomic_signal_fence(memory_order_seq_cst);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

/* On the side that is about to sleep, between its store and its look. False: the kernel does not know how or forbids it, and the
 * light sides must be told to fence for themselves. */
bool pari_fence_heavy(void);

/* ---- private memory (memory.c) */

void *pari_malloc(size_t size);                        /* zeroed; free() it */
void *pari_realloc(void *p, size_t size);              /* the new part is not zeroed */
bool pari_mul(size_t n, size_t size, size_t *product); /* false: overflow */
int pari_random(void *bytes, size_t size);             /* at most 256 */
void pari_secret(uint64_t secret[static 2]);           /* random, the same as long as the program runs */

/* Much of it is about to be written by this process: have its pages now, in one call, where the kernel can. */
void pari_populate(void *p, size_t size);

/* ---- the arena's memory (memory.c) */

int pari_memfd(void);                          /* anonymous, CLOEXEC, cannot shrink, size 0 */
void *pari_map(int fd, void *at, size_t size); /* shared mapping at exactly `at` (NULL: the kernel's choice) or NULL */
void *pari_map_far(int fd, size_t size);       /* the same, at a fixed address far from everything if one is free */
void pari_unmap(void *at, size_t size);        /* keeps errno */
int pari_commit(int fd, uint64_t offset,
                uint64_t length);       /* allocate pages; ENOSPC when there is no room (also RLIMIT_FSIZE) */
int pari_extend(int fd, uint64_t size); /* the file is that long; memory is taken where it is touched */
uint64_t pari_memory_limit(void);       /* the smaller of RAM and the cgroup's memory.max */

uint64_t pari_cgroup_memory(void); /* bytes; UINT64_MAX: no limit (cgroup.c) */
int pari_cgroup_cpus(void);        /* the quota rounded up; 0: no limit */

/* ---- record locks: "this process lives" (memory.c) */

int pari_record_lock(int fd, uint32_t byte);    /* hold the byte for life; ENOMEM: the kernel has no memory for it */
int pari_record_is_held(int fd, uint32_t byte); /* by another process: 1, 0 or -1 */
int pari_record_unlock(int fd, uint32_t byte);

/* ---- futex (futex.c) */

struct pari_word { /* one word to sleep on: while *word == expected */
    const _Atomic uint32_t *word;
    uint32_t expected;
};

#define PARI_MAX_WORDS 128 /* FUTEX_WAITV_MAX */

/* Sleep until one of the words differs from what is expected, is woken, or the moment `until` (CLOCK_MONOTONIC ns) has come.
 * Without futex_waitv (before Linux 5.16, or forbidden by seccomp) only word[0] is watched: the caller's slices find the rest.
 * 0: look again (changed, woken, spurious). -1: ETIMEDOUT, or EINTR (a signal came: look at pari_is_interrupted). */
int pari_futex_wait(const struct pari_word *word, unsigned n, int64_t until);

bool pari_futex_has_several(void); /* as far as is known */

/* Sleep for a millisecond or less: between two looks at what comes at once and tells nobody. */
void pari_pause(void);

/* Wake at most n sleepers: how many there were. Never fails. Safe in signal handlers. */
int pari_futex_wake(const _Atomic uint32_t *word, int n);

/* ---- robust mutex (mutex.c): the only place that touches a process-shared pthread object */

struct pari_mutex {
    pthread_mutex_t pthread;
};

/* What pari_mutex_lock found. */
enum { PARI_HELD = 0, PARI_HELD_AFTER_DEATH = 1 };

int pari_mutex_init(struct pari_mutex *mutex);
int pari_mutex_learn(void); /* in a process that makes none before it uses another one's */

/* Lock, in slices. PARI_HELD, or PARI_HELD_AFTER_DEATH: the last holder died; the caller repairs and then must call
 * pari_mutex_recovered before unlocking. -1: ETIMEDOUT, EDEADLK (this thread holds it), EINTR (interrupted),
 * ENOTRECOVERABLE (its owner vanished without the kernel's notice). */
static inline int pari_mutex_lock(struct pari_mutex *mutex, par_time deadline);
/* The same for the library's own brief locks: no deadline, and par_interrupt does not reach it. -1: ENOTRECOVERABLE, EDEADLK. */
int pari_mutex_enter(struct pari_mutex *mutex);
void pari_mutex_recovered(struct pari_mutex *mutex);
static inline int pari_mutex_unlock(struct pari_mutex *mutex); /* -1 EPERM: this thread does not hold it */

static inline bool pari_mutex_is_mine(const struct pari_mutex *mutex);     /* held by the calling thread */
bool pari_mutex_is_locked(const struct pari_mutex *mutex);                 /* by anyone, the dead included */
bool pari_mutex_owner_died(const struct pari_mutex *mutex);                /* the kernel has marked it */
static inline _Atomic uint32_t *pari_mutex_word(struct pari_mutex *mutex); /* its futex word, for futex_waitv */
bool pari_mutex_word_is_held(uint32_t word);                               /* by one that lives, says this value of the word */
/* By its holder: held for life, so the kernel shall wake a sleeper when this thread dies. No longer counted by n_held. */
void pari_mutex_announce(struct pari_mutex *mutex);
/* What the kernel does when a holder dies, and did not do: its word was `word`, and it is gone for certain. */
void pari_mutex_mark(struct pari_mutex *mutex, uint32_t word);

/* The calling thread. */
extern _Thread_local struct pari_locker {
    pid_t tid;       /* 0: not asked yet */
    unsigned n_held; /* robust mutexes: the kernel walks 2048 of a dead thread and no more */
} pari_locker;
#define PARI_MAX_HELD 1024 /* what a caller of ours may have in n_held */

static inline pid_t pari_tid(void);

/* ---- of that, what is in line */

#define PARI_TID_MASK 0x3fffffffu

extern _Atomic size_t pari_mutex_word_offset; /* of the futex word in a pthread_mutex_t: differs between libcs */

int pari_mutex_lock_slowly(struct pari_mutex *mutex, int error, par_time deadline);
pid_t pari_tid_slowly(void);

static inline pid_t
pari_tid(void)
{
    return pari_likely(pari_locker.tid != 0) ? pari_locker.tid : pari_tid_slowly();
}

static inline _Atomic uint32_t *
pari_mutex_word(struct pari_mutex *mutex)
{
    size_t offset = atomic_load_explicit(&pari_mutex_word_offset, memory_order_relaxed); /* constant once there is a mutex */

    return (_Atomic uint32_t *)(void *)((char *)&mutex->pthread + offset);
}

static inline bool
pari_mutex_is_mine(const struct pari_mutex *mutex)
{
    const _Atomic uint32_t *word = pari_mutex_word((struct pari_mutex *)mutex);

    return (atomic_load_explicit(word, memory_order_relaxed) & PARI_TID_MASK) ==
           (uint32_t)pari_tid(); /* nobody else writes that */
}

static inline int
pari_mutex_lock(struct pari_mutex *mutex, par_time deadline)
{
    int error = pthread_mutex_trylock(&mutex->pthread);

    if (pari_unlikely(error != 0))
        return pari_mutex_lock_slowly(mutex, error, deadline);
    pari_locker.n_held++;
    return PARI_HELD;
}

static inline int
pari_mutex_unlock(struct pari_mutex *mutex)
{
    int error = pthread_mutex_unlock(&mutex->pthread);

    if (pari_unlikely(error != 0))
        return pari_fail(error);
    pari_locker.n_held--;
    return 0;
}

/* ---- descriptors (fd.c): always CLOEXEC; those tracked are closed in every forked child but for the ones given to it */

int pari_fd_lift(int fd);  /* away from 0, 1 and 2, which a program may have closed and yet use; -1, closed: errno is set */
int pari_fd_track(int fd); /* lifted; -1 is passed on */
void pari_fd_keep(const int *keep, unsigned n); /* in the next fork of this thread; pari_fork's own */
bool pari_fd_is_open(int fd);
void pari_fd_close(int fd);           /* untracks; -1 is fine; keeps errno */
int pari_fd_bell(int end[2]);         /* a tracked, non-blocking socket pair */
int pari_fd_ring(int fd);             /* one byte, never blocks, no SIGPIPE; already rung is fine */
int pari_fd_pass(int socket, int fd); /* a copy of fd, beside a byte. -1: EAGAIN, EBADF, EPIPE, ETOOMANYREFS, ... */

#define PARI_MAX_PASS 17

/* A short message with copies of n descriptors, at most PARI_MAX_PASS, over a stream socket. Never blocks. -1: as pari_fd_pass. */
int pari_fd_send(int socket, const void *message, size_t size, const int *fd, unsigned n);

/* Such a message of this very size: how many descriptors came, into `fd`. -1: EAGAIN (none yet), EPIPE (the other end is closed),
 * EMFILE (they did not all find room; they are closed), EBADMSG. */
int pari_fd_receive(int socket, void *message, size_t size, int *fd, unsigned room);
/* Read all bytes that are there, as long as there is room for the descriptors beside them: how many were (-1: there was none left
 * in this process for one that came). */
unsigned pari_fd_drain(int socket, int *passed, unsigned room);
struct pollfd;
int pari_fd_poll_all(struct pollfd *list, size_t n,
                     int64_t until);                   /* how many are ready; 0 also when a signal came, -1 ENOMEM ... */
int pari_fd_poll(int fd, short events, int64_t until); /* 1 ready, 0 not before `until`, -1 EINTR as pari_futex_wait */

/* The life line of a daemon: the parent keeps line[0] open for life and the child calls pari_fd_die_with on line[1], after which
 * the kernel sends the child SIGKILL once the parent is gone, also when the child makes no call. */
int pari_fd_lifeline(int line[2]); /* both tracked */
int pari_fd_die_with(int fd, bool with_group);
int pari_fd_devnull(int as); /* open /dev/null as descriptor `as` */

/* ---- files with names in /dev/shm (named.c) */

#define PARI_NAMED_SIZE 252 /* of a name, with its NUL */

/* The tracked descriptor of a new file of so many bytes, reserved. `is_marked`: it ends with this process. -1: EINVAL (no name), EEXIST,
 * ENAMETOOLONG, ENOSPC, ENOENT, EACCES, EMFILE, ... A leftover with this name is removed first. */
int pari_named_make(const char *name, size_t size, bool is_marked);
int pari_named_open(const char *name, size_t *size); /* as above; -1 ENOENT also for a leftover, EINVAL for an empty file */
int pari_named_unlink(const char *name);
void pari_named_forget(const char *name, int fd); /* remove the name if it is this file's; keeps errno */
ssize_t pari_named_sweep(void (*tell)(const char *name, size_t size, void *arg), void *arg); /* remove leftovers: how many */
void *pari_named_map(int fd, size_t size);                                                   /* NULL: ENOMEM */
void pari_named_unmap(void *at, size_t size);

/* ---- processes (process.c) */

/* fork with all signals blocked in between. `keep` descriptors stay open in the child, other tracked ones are closed there.
 * Returns 0 in the child, the child's pid in the parent. */
pid_t pari_fork(const int *keep, unsigned n_keep, bool reset_signals);
void pari_reset_signals(void);  /* as those of a service */
void pari_heed_interrupt(void); /* SIGINT has its default disposition again */

int pari_pidfd(pid_t pid); /* tracked; -1 ENOSYS on old kernels, ESRCH when it is gone */

struct pari_exit {
    int code; /* 0..255, or -signal */
};

/* Reap this very child without waiting. 1: reaped, *how is set. 0: it still runs. -1 ECHILD: somebody else has reaped it. */
int pari_reap(pid_t pid, int pidfd, struct pari_exit *how);
bool pari_pidfd_exit(int pidfd, struct pari_exit *how); /* of one that somebody else has reaped, where the kernel still knows */
int pari_kill(pid_t pid, int pidfd, int signal);        /* through the pidfd if there is one; already ended is 0 */
bool pari_pid_exists(pid_t pid);                        /* also a thread's id; true when in doubt */
bool pari_pid_has_ended(pid_t pid);                     /* reaped or not, anyone's child; false when in doubt */
int pari_set_stdio(const int fd[3]); /* descriptors 0 to 2 are these from now on; where it is 0: what they are */
int pari_group_begin(void);          /* of this process's own */
bool pari_group_kill(pid_t leader, int pidfd, int signal); /* false: nobody was hit, or nobody knows whether it is that group */
bool pari_leads_group(pid_t pid);
int pari_has_ended(pid_t pid,
                   int pidfd); /* 1: a child of ours that is not reaped; 0: it runs; -1: there is no such child any more */
void pari_set_name(const char *name);                   /* of this thread, as ps and top show it: its first 15 bytes */
void pari_exit_now(int code) __attribute__((noreturn)); /* _exit */
int pari_n_cpus(void);                                  /* affinity and cgroup quota */
int pari_cpu(void);                                     /* where this thread runs just now; -1: not known */

/* `child` runs in every child of any fork() of the program, before fork returns. Fails at the very first call of a process only,
 * ENOMEM: that is the one in pari_join, so everybody else may ignore it. */
int pari_at_fork(void (*child)(void));

/* ---- the program started anew (exec.c) */

/* This environment, but with the lines "NAME=value" and without the variables "NAME" among them; the strings are those that there are.
 * free() it. NULL: ENOMEM. */
char **pari_environment(const char *const *line);
void pari_set_environment(char **all); /* for good; in a child before anybody else looks */

/* As pari_fork, but the child executes this very program, with `line` ("NAME=value") added to its environment. `keep` and the
 * standard descriptors are open there, under their numbers, and no others. When that fails the child ends with the errno as its exit
 * code. */
pid_t pari_exec_self(char *line, const int *keep, unsigned n_keep, bool reset_signals);

/* In the program that was started so: the value of the line, which is removed. free() it. NULL: it was not. */
char *pari_exec_line(const char *name);
bool pari_exec_is_secure(void);              /* setuid and the like: such a program takes no such line */
bool pari_exec_is_loader(void);              /* what would be started anew is a dynamic loader that was told what to load */
int pari_exec_keep(int fd, bool is_tracked); /* one that came along is the library's again: CLOEXEC */

/* ---- functions that travel (code.c) */

struct pari_code { /* where a function is, in any process that runs this program */
    uint64_t offset;
    bool is_program;
    uint8_t id_size;
    unsigned char id[38]; /* the build id of the program or library */
};

/* -1, said: EINVAL (no function), ENOTSUP (its library has no build id). */
int pari_code_of(void (*fn)(void), struct pari_code *code);
void (*pari_code_find(const struct pari_code *code))(void); /* NULL: this process does not have that code */

/* ---- threads (thread.c) */

/* Start a detached or joinable thread; EAGAIN when there is none to be had. */
int pari_thread(pthread_t *thread, size_t stack_size, bool detached, void *(*body)(void *), void *arg);

/* The same for a thread of the library's own: it takes no signals, those are for the program's threads. */
int pari_thread_quiet(pthread_t *thread, bool detached, void *(*body)(void *), void *arg);

/* The one lock over what is private to this process (descriptor lists, connection tables): held only briefly, never while
 * sleeping, taken around every fork so that the child finds those tables whole. Not recursive. */
void pari_private_lock(void);
void pari_private_unlock(void);

/* Cancellation off while a libpar call runs; give the result back to pari_cancel_restore. */
int pari_cancel_off(void);
void pari_cancel_restore(int state);

#endif
