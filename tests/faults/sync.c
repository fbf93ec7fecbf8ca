/* SPDX-License-Identifier: MIT
 *
 * sync.c: lock, rlock, semaphore, condition, event, barrier: their first use, and their waits.
 */
#include "faults.h"

#include <string.h>
#include <unistd.h>

static struct board {
    par_lock lock, fair;
    par_rlock rlock;
    par_rwlock rwlock;
    par_semaphore semaphore, robust;
    par_condition condition;
    par_event event;
    par_barrier barrier;
    _Atomic int is_there;
} * b;

static void
make(void)
{
    b = par_shared_alloc(1, sizeof *b);
    expect_ready(b != NULL);
}

static int
fresh(void)
{
    QUIETLY(make());
    return 0;
}

static void
release(void)
{
    par_shared_free(b);
}

/* The objects of a fresh block have no cells yet; of a failed call nothing is kept. */
static int
outcome(int result)
{
    if (result != 0)
        QUIETLY(release());
    return result;
}

static int
use_lock(void)
{
    fresh();
    return outcome(par_lock_acquire(&b->lock, soon()) != 0 ? -1 : par_lock_release(&b->lock));
}

static int
use_fair_lock(void)
{
    fresh();
    if (par_lock_init(&b->fair, &(par_lock_opts){ .fair = true }) != 0)
        return outcome(-1);
    expect(par_lock_acquire(&b->fair, soon()) == 0 && par_lock_in_line(&b->fair) == 1);
    return outcome(par_lock_release(&b->fair));
}

static int
use_rlock(void)
{
    fresh();
    if (par_rlock_acquire(&b->rlock, soon()) != 0)
        return outcome(-1);
    expect(par_rlock_acquire(&b->rlock, soon()) == 0 && par_rlock_release(&b->rlock) == 0);
    return outcome(par_rlock_release(&b->rlock));
}

static int
use_rwlock(void)
{
    fresh();
    if (par_rwlock_acquire_read(&b->rwlock, soon()) != 0)
        return outcome(-1);
    if (par_rwlock_release(&b->rwlock) != 0 || par_rwlock_acquire_write(&b->rwlock, soon()) != 0)
        return outcome(-1);
    return outcome(par_rwlock_release(&b->rwlock));
}

static int
use_semaphore(void)
{
    fresh();
    if (par_semaphore_release(&b->semaphore, 2) != 0)
        return outcome(-1);
    expect(par_semaphore_acquire(&b->semaphore, soon()) == 0 && par_semaphore_value(&b->semaphore) == 1);
    return 0;
}

static int
init_robust_semaphore(void)
{
    fresh();
    if (par_semaphore_init(&b->robust, 1, &(par_semaphore_opts){ .robust = true }) != 0)
        return outcome(-1);
    expect(par_semaphore_acquire(&b->robust, soon()) == 0 && par_semaphore_release(&b->robust, 1) == 0);
    return 0;
}

static int
notify_condition(void)
{
    fresh();
    return outcome(par_condition_notify_all(&b->condition));
}

static int
use_event(void)
{
    fresh();
    if (par_event_set(&b->event) != 0)
        return outcome(-1);
    expect(par_event_is_set(&b->event) && par_event_wait(&b->event, PAR_NOWAIT) == 0);
    return 0;
}

static int
init_barrier(void)
{
    fresh();
    if (par_barrier_init(&b->barrier, 1, NULL, NULL) != 0)
        return outcome(-1);
    expect(par_barrier_wait(&b->barrier, soon()) == 0);
    return 0;
}

/* ---- waits: a helper comes once the wait has begun */

static int
wait_with(void (*helper)(void), enum pari_call until, int (*wait)(void))
{
    pid_t pid;
    int result;

    QUIETLY(pid = helper_start(helper, until, PARI_CALL_FUTEX_WAIT));
    result = wait();
    helper_join(pid);
    return outcome(result);
}

static void
set_event(void)
{
    expect(par_event_set(&b->event) == 0);
}

static int
wait_event_now(void)
{
    return par_event_wait(&b->event, soon());
}

static int
wait_event(void)
{
    fresh();
    return wait_with(set_event, PARI_CALL_FUTEX_WAITV, wait_event_now);
}

static void
give_token(void)
{
    expect(par_semaphore_release(&b->semaphore, 1) == 0);
}

static int
take_token(void)
{
    return par_semaphore_acquire(&b->semaphore, soon());
}

static int
wait_semaphore(void)
{
    fresh();
    QUIETLY(expect_ready(par_semaphore_init(&b->semaphore, 0, NULL) == 0));
    return wait_with(give_token, PARI_CALL_FUTEX_WAITV, take_token);
}

static void
notify_there(void)
{
    expect(par_lock_acquire(&b->lock, soon()) == 0);
    atomic_store(&b->is_there, 1);
    expect(par_condition_notify(&b->condition, 1) == 0 && par_lock_release(&b->lock) == 0);
}

static int
wait_there(void)
{
    expect(par_lock_acquire(&b->lock, soon()) == 0);
    while (atomic_load(&b->is_there) == 0)
        if (par_condition_wait(&b->condition, &b->lock, soon()) != 0) {
            int error = errno;
            expect(par_lock_release(&b->lock) == 0); /* held again on every return */
            errno = error;
            atomic_store(&b->is_there, 1);
            return -1;
        }
    return par_lock_release(&b->lock);
}

static int
wait_condition(void)
{
    fresh();
    QUIETLY(expect_ready(par_lock_acquire(&b->lock, soon()) == 0 && par_lock_release(&b->lock) == 0));
    QUIETLY(expect_ready(par_condition_notify_all(&b->condition) == 0));
    return wait_with(notify_there, PARI_CALL_FUTEX_WAITV, wait_there);
}

static void
come(void)
{
    expect(par_barrier_wait(&b->barrier, soon()) >= 0);
}

static int
come_first(void)
{
    return par_barrier_wait(&b->barrier, soon()) >= 0 ? 0 : -1;
}

static int
wait_barrier(void)
{
    fresh();
    QUIETLY(expect_ready(par_barrier_init(&b->barrier, 2, NULL, NULL) == 0));
    return wait_with(come, PARI_CALL_FUTEX_WAITV, come_first);
}

/* The helper holds the lock until somebody waits for it. */
static int
wait_lock_of(par_lock *lock)
{
    int result, status = 0;
    pid_t pid;

    atomic_store(&b->is_there, 0);
    pid = fork();
    expect_ready(pid >= 0);
    if (pid == 0) {
        expect(par_lock_acquire(lock, soon()) == 0);
        atomic_store(&b->is_there, 1);
        while (atomic_load(&point->is_trying) && atomic_load(&point->seen[PARI_CALL_TIMEDLOCK]) == 0 &&
               atomic_load(&point->seen[PARI_CALL_FUTEX_WAIT]) == 0 && atomic_load(&point->seen[PARI_CALL_FUTEX_WAITV]) == 0)
            (void)usleep(100);
        expect(par_lock_release(lock) == 0);
        _exit(status);
    }
    while (atomic_load(&b->is_there) == 0)
        (void)usleep(100);
    result = par_lock_acquire(lock, soon());
    helper_join(pid);
    return outcome(result != 0 ? -1 : par_lock_release(lock));
}

static int
wait_lock(void)
{
    fresh();
    QUIETLY(expect_ready(par_lock_init(&b->lock, NULL) == 0));
    return wait_lock_of(&b->lock);
}

static int
wait_fair_lock(void)
{
    fresh();
    QUIETLY(expect_ready(par_lock_init(&b->fair, &(par_lock_opts){ .fair = true }) == 0));
    return wait_lock_of(&b->fair);
}

#define GROUP .group = "sync"
#define FIRST_ERRORS ERRORS(ENOSPC, ENOMEM)

const struct op sync_ops[] = {
    { GROUP, .name = "lock_first_use", .act = use_lock, .undo = release, .errors = FIRST_ERRORS, .is_once = true },
    { GROUP, .name = "lock_init_fair", .act = use_fair_lock, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "rwlock_first_use", .act = use_rwlock, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "rlock_first_use", .act = use_rlock, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "semaphore_first_use", .act = use_semaphore, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "semaphore_init_robust", .act = init_robust_semaphore, .undo = release, .errors = FIRST_ERRORS,
      .is_once = true },
    { GROUP, .name = "condition_notify", .act = notify_condition, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "event_set", .act = use_event, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "barrier_init", .act = init_barrier, .undo = release, .errors = FIRST_ERRORS },
    { GROUP, .name = "lock_wait", .act = wait_lock, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "lock_fair_wait", .act = wait_fair_lock, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "event_wait", .act = wait_event, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "semaphore_wait", .act = wait_semaphore, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "condition_wait", .act = wait_condition, .undo = release, .errors = ERRORS(0) },
    { GROUP, .name = "barrier_wait", .act = wait_barrier, .undo = release, .errors = ERRORS(0) },
    { .name = NULL },
};
