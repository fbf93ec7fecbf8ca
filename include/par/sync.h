/* SPDX-License-Identifier: MIT
 *
 * par/sync.h: lock, rlock, rwlock, semaphore, condition, event, barrier: for threads and processes alike.
 *
 * The objects are small structs that live in shared memory: inside the user's own shared structs, or as par_value(par_lock). All
 * zero is ready to use. Outside shared memory every call is EINVAL, because after a fork a static lock would silently be two.
 * par_shared_free of the block that contains an object is all the clean-up there is.
 *
 *     struct account { par_lock lock; long balance; };
 *     struct account *a = par_value(struct account);
 *     par_lock_acquire(&a->lock, PAR_FOREVER);
 *     a->balance += 10;
 *     par_lock_release(&a->lock);
 *
 * What a death costs. A lock whose holder is killed is acquired by the next one as any other, and carries a mark: see
 * par_lock_dead_owner. A killed waiter costs nobody anything. A barrier tells the others that a party died. A semaphore's tokens
 * stay lost with the dead unless it was made robust. An event, or a condition, cannot know who would have set it: there the
 * deadline is the answer.
 */
#ifndef PAR_SYNC_H
#define PAR_SYNC_H

#include "base.h"

PAR_BEGIN_DECLS

/* Contents are private to the library; copying an object makes nothing usable (EINVAL). */
typedef struct par_lock {
    uint64_t word[2];
} par_lock;
typedef struct par_rlock {
    uint64_t word[2];
} par_rlock;
typedef struct par_rwlock {
    uint64_t word[2];
} par_rwlock;
typedef struct par_semaphore {
    uint64_t word[2];
} par_semaphore;
typedef struct par_condition {
    uint64_t word[2];
} par_condition;
typedef struct par_event {
    uint64_t word[2];
} par_event;
typedef struct par_barrier {
    uint64_t word[2];
} par_barrier;

/* ---- lock: one holder, which is a thread */

typedef struct par_lock_opts {
    bool fair; /* first come, first served; a contended fair lock is several times slower */
    PAR_RESERVED;
} par_lock_opts;

/* The lock that belongs to a shared block (as Value.get_lock() in Python), made with it and freed with it. `block` is the pointer
 * that par_shared_alloc returned. NULL, EINVAL: it is not.
 * Safe: any thread, forked child. */
PAR_API par_lock *par_lock_of(const void *block);

/* Only for other than the defaults, before the first use.
 * Errors: EINVAL not in shared memory, or garbage; EBUSY already in use; ENOSPC, ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_lock_init(par_lock *lock, const par_lock_opts *opts);

/* 0: this thread holds the lock, also when its last holder died in it; -1: it does not.
 * A plain lock promises no order among waiters.
 * Errors: ETIMEDOUT; EDEADLK this thread holds it already (also with PAR_NOWAIT); EINVAL not in shared memory, or not a lock;
 * EAGAIN a fair lock has 4096 in line; ENOLCK this thread holds 1024 locks; ENOTRECOVERABLE the holder vanished without the
 * kernel's notice (out of memory); ENOSPC, ENOMEM first use, and there is no memory; EINTR see par_interrupt.
 * Safe: any thread, forked child. */
PAR_API int par_lock_acquire(par_lock *lock, par_time deadline);

/* Errors: EPERM this thread does not hold it; EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_lock_release(par_lock *lock);

/* Does anybody hold it just now? False, with EINVAL, for what is no lock.
 * Safe: any thread, forked child. */
PAR_API bool par_lock_locked(const par_lock *lock);

/* For the holder: the pid of the first process (or thread's process) that died while it held this lock and whose damage has not
 * been repaired; 0 if nobody did. The mark stays, through deaths and releases, until somebody calls par_lock_recover.
 * A repair journal in the data needs atomic_signal_fence (or atomics) between its stores: compilers drop plain "dirty" flags.
 * Errors: -1 with EPERM this thread does not hold the lock; EINVAL.
 * Safe: any thread, forked child. */
PAR_API pid_t par_lock_dead_owner(const par_lock *lock);

/* For the holder: the data is repaired, clear the mark.
 * Errors: EPERM this thread does not hold the lock; EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_lock_recover(par_lock *lock);

/* How many are in line of a fair lock, its holder included.
 * Errors: EINVAL it is no fair lock.
 * Safe: any thread, forked child. */
PAR_API int par_lock_in_line(const par_lock *lock);

/* ---- rlock: a lock that its holder may acquire again; released as often as acquired */

/* As par_lock_acquire, but never EDEADLK. EOVERFLOW: acquired 2^32 - 1 times. After a holder's death the depth is 1 again.
 * Safe: any thread, forked child. */
PAR_API int par_rlock_acquire(par_rlock *lock, par_time deadline);

/* Errors: EPERM this thread does not hold it; EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_rlock_release(par_rlock *lock);

/* As par_lock_locked.
 * Safe: any thread, forked child. */
PAR_API bool par_rlock_locked(const par_rlock *lock);

/* As par_lock_dead_owner.
 * Safe: any thread, forked child. */
PAR_API pid_t par_rlock_dead_owner(const par_rlock *lock);

/* As par_lock_recover.
 * Safe: any thread, forked child. */
PAR_API int par_rlock_recover(par_rlock *lock);

/* ---- rwlock: many readers, or one writer, which is a thread
 *
 * Readers cost each other nothing. A writer that waits lets no new reader in, so a thread that reads must not acquire again. A killed
 * reader is forgotten; a killed writer leaves the mark that a lock's holder leaves. */

typedef struct par_rwlock_opts {
    unsigned
        readers; /* living processes that have ever read, up to 4096, 64 bytes each; further ones, and their threads, read one
                         at a time, as if they wrote; 0: 64 */
    PAR_RESERVED;
} par_rwlock_opts;

/* As par_lock_init. EINVAL also: too many readers.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_init(par_rwlock *lock, const par_rwlock_opts *opts);

/* 0: the calling process reads, and nobody writes; -1 as par_lock_acquire. EDEADLK: this thread writes.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_acquire_read(par_rwlock *lock, par_time deadline);

/* 0: this thread writes, and nobody else writes or reads; -1 as par_lock_acquire. A thread that reads and waits to write waits for
 * itself.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_acquire_write(par_rwlock *lock, par_time deadline);

/* End this thread's write, or one read of the calling process. (One of a process beyond `.readers` is its thread's.)
 * Errors: EPERM it has neither; EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_release(par_rwlock *lock);

/* How many reads are under way; -1 EINVAL for what is no rwlock.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_readers(const par_rwlock *lock);

/* As par_lock_dead_owner, of a writer that died; for who reads or writes.
 * Safe: any thread, forked child. */
PAR_API pid_t par_rwlock_dead_owner(const par_rwlock *lock);

/* As par_lock_recover, for the writer.
 * Safe: any thread, forked child. */
PAR_API int par_rwlock_recover(par_rwlock *lock);

/* ---- semaphore: a count of tokens, owned by nobody; all zero is a semaphore with no token */

typedef struct par_semaphore_opts {
    unsigned max; /* releasing above it is ERANGE; 0: no bound */
    bool robust;  /* tokens held by a process come back when it dies; such a semaphore is slower and takes 64 KiB */
    PAR_RESERVED;
} par_semaphore_opts;

/* Before the first use: `value` tokens to begin with, at most INT_MAX.
 * Errors: EINVAL not in shared memory, or value > max > 0, or too large; EBUSY already in use; ENOSPC, ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_semaphore_init(par_semaphore *s, unsigned value, const par_semaphore_opts *opts);

/* Take one token.
 * Errors: ETIMEDOUT; EINVAL; ENOSPC, ENOMEM first use, and there is no memory; EINTR see par_interrupt.
 * Safe: any thread, forked child. */
PAR_API int par_semaphore_acquire(par_semaphore *s, par_time deadline);

/* Put n tokens back, whoever took them.
 * Errors: EINVAL n is 0; ERANGE above max (or INT_MAX), nothing is released; ENOSPC, ENOMEM as acquire.
 * Safe: any thread, forked child. */
PAR_API int par_semaphore_release(par_semaphore *s, unsigned n);

/* Tokens that are free just now. Errors: EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_semaphore_value(const par_semaphore *s);

/* ---- condition: wait for a change of what a lock protects */

/* Release the lock, wait for a notify, hold the lock again. Always in a loop around the condition itself:
 *     while (!ready) par_condition_wait(&c, &lock, deadline);
 * The lock is held again on every return, also with -1 (re-taking it is not bounded by the deadline), but for ENOTRECOVERABLE.
 * All waiters of a condition use one lock. A wait may end without a notify after another waiter was killed.
 * Errors: ETIMEDOUT; EPERM this thread does not hold the lock; EINVAL; ENOSPC, ENOMEM first use, and there is no memory; EINTR
 * see par_interrupt; ENOTRECOVERABLE see par_lock_acquire.
 * Safe: any thread, forked child. */
PAR_API int par_condition_wait(par_condition *c, par_lock *lock, par_time deadline) PAR_MUST_CHECK;

/* The loop in one call: wait until is_true(arg), which is called with the lock held, first at once. 0: it is true; -1 ETIMEDOUT: not
 * so at the deadline. Otherwise as par_condition_wait.
 * Errors: those of par_condition_wait; EINVAL is_true is NULL.
 * Safe: any thread, forked child. */
PAR_API int par_condition_wait_for(par_condition *c, par_lock *lock, bool (*is_true)(void *arg), void *arg,
                                   par_time deadline) PAR_MUST_CHECK;

/* Wake at most n of those that wait now; the lock they wait with must be held.
 * Errors: EPERM the waiters' lock is not held by this thread; EINVAL; ENOSPC, ENOMEM as wait.
 * Safe: any thread, forked child. */
PAR_API int par_condition_notify(par_condition *c, unsigned n);

/* Wake all that wait now; otherwise as par_condition_notify.
 * Safe: any thread, forked child. */
PAR_API int par_condition_notify_all(par_condition *c);

/* ---- event: a flag to wait for */

/* Set the flag and wake all waiters, also those that will run only after a clear.
 * Errors: EINVAL not in shared memory.
 * Safe: any thread, forked child, signal handler. */
PAR_API int par_event_set(par_event *e);

/* Errors: EINVAL.
 * Safe: any thread, forked child, signal handler. */
PAR_API int par_event_clear(par_event *e);

/* False, with EINVAL, if it is not in shared memory.
 * Safe: any thread, forked child, signal handler. */
PAR_API bool par_event_is_set(const par_event *e);

/* 0: the flag is set, or was set since the call began.
 * Errors: ETIMEDOUT; EINVAL; EINTR see par_interrupt.
 * Safe: any thread, forked child. */
PAR_API int par_event_wait(par_event *e, par_time deadline) PAR_MUST_CHECK;

/* ---- barrier: so many parties meet, again and again */

/* Before the first use: 1 to 65535 parties. `action` may be NULL; else the last one to arrive calls action(arg) before anybody
 * goes on, in its own process; a result other than 0 breaks the barrier.
 * Errors: EINVAL; EBUSY already in use; ENOSPC, ENOMEM.
 * Safe: any thread, forked child. */
PAR_API int par_barrier_init(par_barrier *b, unsigned parties, int (*action)(void *arg), void *arg);

/* Wait until all parties have arrived: 0 .. parties - 1, each once per round. Who gives up (deadline) breaks the barrier for all.
 * A broken barrier fails every wait until par_barrier_reset.
 * Errors: ETIMEDOUT; ECANCELED broken by abort, reset, a failed action or another one's deadline; EOWNERDEAD a process that had
 * come to this barrier died; EINVAL not initialised; EINTR see par_interrupt.
 * Safe: any thread, forked child. */
PAR_API int par_barrier_wait(par_barrier *b, par_time deadline) PAR_MUST_CHECK;

/* Break the barrier: those that wait, and those to come, get ECANCELED. Errors: EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_barrier_abort(par_barrier *b);

/* Make it whole again, empty; those that wait just now get ECANCELED. Parties of earlier rounds are forgotten. Errors: EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_barrier_reset(par_barrier *b);

/* How many wait just now. Errors: EINVAL.
 * Safe: any thread, forked child. */
PAR_API int par_barrier_n_waiting(const par_barrier *b);

/* Is it broken? False, with EINVAL, if it is no barrier.
 * Safe: any thread, forked child. */
PAR_API bool par_barrier_broken(const par_barrier *b);

PAR_END_DECLS

#endif
