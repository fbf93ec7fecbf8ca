/* SPDX-License-Identifier: MIT
 *
 * mutex.c: the one robust lock. The only place in libpar that touches a process-shared pthread object.
 *
 * Shared state: the pthread mutex (ERRORCHECK, ROBUST, PSHARED). Its futex word is read without holding it, to ask who holds it:
 * a hint, except when the answer is "the calling thread", which nobody else can change.
 * If a process dies here: the kernel marks the word and wakes one waiter; the next to lock is told PARI_HELD_AFTER_DEATH. No libc
 * wakes reliably in every order of deaths, so every sleep is a slice after which the lock is tried anew. An owner that is gone
 * although the word is not marked (the kernel's OOM reaper can lose the mark) is found at the end of a slice: ENOTRECOVERABLE.
 */
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FIRST_SLICE 10000000 /* 10 ms */
#define LAST_SLICE 500000000 /* 500 ms */

static_assert(PARI_TID_MASK == FUTEX_TID_MASK, "the kernel's");

_Thread_local struct pari_locker pari_locker;
_Atomic size_t pari_mutex_word_offset = SIZE_MAX;

/* A forked child has another id, and holds nothing of what its parent's thread held. */
static void
forget_thread(void)
{
    pari_locker = (struct pari_locker){ 0, 0 };
}

pid_t
pari_tid_slowly(void)
{
    pari_locker.tid = (pid_t)syscall(SYS_gettid);
    return pari_locker.tid;
}

/* The word that holds the owner's thread id is found once, in a mutex this thread has just locked. */
static void
find_word(const pthread_mutex_t *held)
{
    const uint32_t *word = (const uint32_t *)held;

    for (size_t i = 0; i < sizeof *held / sizeof *word; i++)
        if ((word[i] & FUTEX_TID_MASK) == (uint32_t)pari_tid()) {
            atomic_store_explicit(&pari_mutex_word_offset, i * sizeof *word, memory_order_relaxed);
            return;
        }
}

static pari_seldom int
new_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int error = pari_fault(PARI_CALL_MUTEX_INIT) ? errno : pthread_mutexattr_init(&attributes);

    if (error == 0)
        error = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    if (error == 0)
        error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (error == 0)
        error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (error == 0)
        error = pthread_mutex_init(mutex, &attributes);
    return error;
}

static pari_seldom int
learn_from(pthread_mutex_t *mutex)
{
    int error;

    (void)pari_at_fork(forget_thread);
    error = pthread_mutex_lock(mutex); /* new, so it is free */
    if (error == 0) {
        find_word(mutex);
        error = pthread_mutex_unlock(mutex);
    }
    return error;
}

pari_seldom int
pari_mutex_init(struct pari_mutex *mutex)
{
    int error = new_mutex(&mutex->pthread);

    if (error == 0 && atomic_load_explicit(&pari_mutex_word_offset, memory_order_relaxed) == SIZE_MAX)
        error = learn_from(&mutex->pthread);
    return error ? pari_fail(error) : 0;
}

pari_seldom int
pari_mutex_learn(void)
{
    struct pari_mutex mutex;

    return pari_mutex_init(&mutex);
}

static uint32_t
word_of(const struct pari_mutex *mutex)
{
    return atomic_load_explicit(pari_mutex_word((struct pari_mutex *)mutex), memory_order_relaxed);
}

bool
pari_mutex_word_is_held(uint32_t word)
{
    return (word & FUTEX_TID_MASK) != 0;
}

bool
pari_mutex_is_locked(const struct pari_mutex *mutex)
{
    return pari_mutex_word_is_held(word_of(mutex));
}

bool
pari_mutex_owner_died(const struct pari_mutex *mutex)
{
    return (word_of(mutex) & FUTEX_OWNER_DIED) != 0;
}

void
pari_mutex_announce(struct pari_mutex *mutex)
{
    atomic_fetch_or(pari_mutex_word(mutex), FUTEX_WAITERS);
    pari_locker.n_held--;
}

pari_seldom void
pari_mutex_mark(struct pari_mutex *mutex, uint32_t word)
{
    if (pari_mutex_word_is_held(word) &&
        atomic_compare_exchange_strong(pari_mutex_word(mutex), &word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
        (void)pari_futex_wake(pari_mutex_word(mutex), INT_MAX);
}

/* One slice of waiting. Where the libc can wait only until a moment of the wall clock, a jump of that clock lengthens or shortens one
 * slice; the deadline itself is looked at on the monotonic clock between slices. (The thread sanitizer knows only that way.) */
#if (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 30)) && !defined __SANITIZE_THREAD__
#define SLICE_CLOCK CLOCK_MONOTONIC
#define lock_until(mutex, until) pthread_mutex_clocklock(mutex, SLICE_CLOCK, until)
#else
#define SLICE_CLOCK CLOCK_REALTIME
#define lock_until(mutex, until) pthread_mutex_timedlock(mutex, until)
#endif

static int
lock_slice(pthread_mutex_t *mutex, int64_t ns)
{
    struct timespec until;

    if (pari_fault(PARI_CALL_TIMEDLOCK))
        return errno;
    (void)clock_gettime(SLICE_CLOCK, &until);
    until.tv_nsec += ns;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return lock_until(mutex, &until);
}

/* Same owner in the word since the last slice, and that thread is gone: the kernel's notice was lost. */
static bool
owner_vanished(const struct pari_mutex *mutex, uint32_t before)
{
    uint32_t now = word_of(mutex);
    uint32_t owner = now & FUTEX_TID_MASK;

    return owner != 0 && owner == (before & FUTEX_TID_MASK) && !(now & FUTEX_OWNER_DIED) && word_of(mutex) == now &&
           pari_pid_has_ended((pid_t)owner);
}

static int
outcome(int error)
{
    if (pari_unlikely(error != 0 && error != EOWNERDEAD))
        return pari_fail(error);
    pari_locker.n_held++;
    return error == 0 ? PARI_HELD : PARI_HELD_AFTER_DEATH;
}

static pari_seldom int
lock_in_slices(struct pari_mutex *mutex, par_time deadline)
{
    int64_t slice = FIRST_SLICE;

    for (;;) {
        uint32_t before = word_of(mutex);
        int64_t ns = slice;
        int error;

        if (deadline.ns != 0) {
            int64_t left = deadline.ns - pari_now_ns();
            if (deadline.ns < 0 || left <= 0)
                return pari_fail(ETIMEDOUT);
            ns = left < slice ? left : slice;
        }
        if (pari_is_interrupted())
            return pari_fail(EINTR);
        error = lock_slice(&mutex->pthread, ns);
        if (error != ETIMEDOUT)
            return outcome(error);
        if (owner_vanished(mutex, before))
            return pari_fail(ENOTRECOVERABLE);
        slice = slice * 2 < LAST_SLICE ? slice * 2 : LAST_SLICE;
    }
}

/* A trylock has said `error`. */
int
pari_mutex_lock_slowly(struct pari_mutex *mutex, int error, par_time deadline)
{
    if (error != EBUSY)
        return outcome(error);
    if (pari_mutex_is_mine(mutex)) /* some libcs say EBUSY here */
        return pari_fail(EDEADLK);
    return lock_in_slices(mutex, deadline);
}

int
pari_mutex_enter(struct pari_mutex *mutex)
{
    int error = pthread_mutex_trylock(&mutex->pthread), result;

    if (pari_likely(error != EBUSY))
        return outcome(error);
    pari_interrupt_mask(+1);
    result = pari_mutex_lock_slowly(mutex, error, PAR_FOREVER);
    pari_interrupt_mask(-1);
    return result;
}

void
pari_mutex_recovered(struct pari_mutex *mutex)
{
    (void)pthread_mutex_consistent(&mutex->pthread); /* fails only if it was consistent already */
}
