/* SPDX-License-Identifier: MIT
 *
 * sync.c: behaviours 47 to 53: lock, rlock, semaphore.
 */
#include "conformance.h"

/* ---- 47 to 50: locks */

static void
conf_047_lock(void)
{
    par_lock *lock = shared(par_lock);

    must(!par_lock_locked(lock) && par_lock_acquire(lock, soon()) == 0 && par_lock_locked(lock));
    must_fail(par_lock_acquire(lock, PAR_NOWAIT), EDEADLK);
    must(par_lock_release(lock) == 0 && !par_lock_locked(lock));
    must_fail(par_lock_release(lock), EPERM);
}

struct held {
    par_lock lock;
    par_rlock rlock;
    par_event is_held, go;
};

static int
hold_lock(void *arg)
{
    struct held *held = arg;

    must(par_lock_acquire(&held->lock, soon()) == 0 && par_event_set(&held->is_held) == 0);
    must(par_event_wait(&held->go, soon()) == 0);
    return par_lock_release(&held->lock);
}

static void
conf_048_lock_locked_2processes(void)
{
    struct held *held = shared(struct held);
    struct peer peer = peer_start(hold_lock, held);

    must(par_event_wait(&held->is_held, soon()) == 0 && par_lock_locked(&held->lock));
    must_fail(par_lock_acquire(&held->lock, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_lock_release(&held->lock), EPERM);
    par_event_set(&held->go);
    must(par_lock_acquire(&held->lock, soon()) == 0 && par_lock_release(&held->lock) == 0);
    must(peer_end(peer) == 0 && !par_lock_locked(&held->lock));
}

static void
conf_049_rlock(void)
{
    par_rlock *lock = shared(par_rlock);

    for (int depth = 0; depth < 3; depth++)
        must(par_rlock_acquire(lock, PAR_NOWAIT) == 0 && par_rlock_locked(lock));
    for (int depth = 3; depth > 0; depth--)
        must(par_rlock_locked(lock) && par_rlock_release(lock) == 0);
    must(!par_rlock_locked(lock));
    must_fail(par_rlock_release(lock), EPERM);
}

static int
hold_rlock(void *arg)
{
    struct held *held = arg;

    must(par_rlock_acquire(&held->rlock, soon()) == 0 && par_rlock_acquire(&held->rlock, soon()) == 0);
    must(par_event_set(&held->is_held) == 0 && par_event_wait(&held->go, soon()) == 0);
    return par_rlock_release(&held->rlock) + par_rlock_release(&held->rlock);
}

static void
conf_050_rlock_locked_2processes(void)
{
    struct held *held = shared(struct held);
    struct peer peer = peer_start(hold_rlock, held);

    must(par_event_wait(&held->is_held, soon()) == 0 && par_rlock_locked(&held->rlock));
    must_fail(par_rlock_acquire(&held->rlock, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_rlock_release(&held->rlock), EPERM);
    par_event_set(&held->go);
    must(par_rlock_acquire(&held->rlock, soon()) == 0 && par_rlock_release(&held->rlock) == 0);
    must(peer_end(peer) == 0 && !par_rlock_locked(&held->rlock));
}

/* ---- 51 to 53: semaphores */

static par_semaphore *
new_semaphore(unsigned value, unsigned max)
{
    par_semaphore *s = shared(par_semaphore);

    must(par_semaphore_init(s, value, &(par_semaphore_opts){ .max = max }) == 0);
    return s;
}

static void
take_two_of_two(par_semaphore *s)
{
    must(par_semaphore_value(s) == 2);
    must(par_semaphore_acquire(s, soon()) == 0 && par_semaphore_value(s) == 1);
    must(par_semaphore_acquire(s, soon()) == 0 && par_semaphore_value(s) == 0);
    must_fail(par_semaphore_acquire(s, PAR_NOWAIT), ETIMEDOUT);
    must(par_semaphore_value(s) == 0);
    must(par_semaphore_release(s, 1) == 0 && par_semaphore_value(s) == 1);
    must(par_semaphore_release(s, 1) == 0 && par_semaphore_value(s) == 2);
}

static void
conf_051_semaphore(void)
{
    par_semaphore *s = new_semaphore(2, 0);

    take_two_of_two(s);
    must(par_semaphore_release(s, 1) == 0 && par_semaphore_value(s) == 3);
    must(par_semaphore_release(s, 1) == 0 && par_semaphore_value(s) == 4);
}

static void
conf_052_bounded_semaphore(void)
{
    par_semaphore *s = new_semaphore(2, 2);

    take_two_of_two(s);
    must_fail(par_semaphore_release(s, 1), ERANGE);
    must(par_semaphore_value(s) == 2);
}

static int
release_one(void *arg)
{
    return par_semaphore_release(arg, 1);
}

static void
conf_053_semaphore_timeout(void)
{
    par_semaphore *s = new_semaphore(0, 0);
    par_time start = par_now();

    must_fail(par_semaphore_acquire(s, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_semaphore_acquire(s, par_in(0)), ETIMEDOUT);
    must_fail(par_semaphore_acquire(s, par_in(-1)), ETIMEDOUT);
    must_fail(par_semaphore_acquire(s, par_in(0.1)), ETIMEDOUT);
    must(par_since(start) >= 0.1);
    struct peer peer = peer_start(release_one, s);
    must(par_semaphore_acquire(s, PAR_FOREVER) == 0 && peer_end(peer) == 0);
}

const struct behaviour sync_behaviours[] = {
    PASSES(047, lock, IN_PROCESSES, "acquired, seen held, not acquired again, released; a release too many is EPERM",
           "par_lock_acquire, par_lock_release"),
    PASSES(048, lock_locked_2processes, IN_BOTH, "what one holds another sees held, and can neither take nor release",
           "par_lock_locked"),
    PASSES(049, rlock, IN_PROCESSES, "acquired three times, held until the third release; a fourth is EPERM",
           "par_rlock_acquire"),
    PASSES(050, rlock_locked_2processes, IN_BOTH, "as 048", "par_rlock_locked"),
    PASSES(051, semaphore, IN_PROCESSES, "2, 1, 0, no more, 2, and up to 4", "par_semaphore_acquire, par_semaphore_release"),
    PASSES(052, bounded_semaphore, IN_PROCESSES, "the same, and above 2 is ERANGE", "par_semaphore_opts.max"),
    PASSES(053, semaphore_timeout, IN_BOTH, "now, zero, negative, a tenth of a second, for ever", "par_semaphore_acquire"),
    END_OF_TABLE
};
