/* SPDX-License-Identifier: MIT
 *
 * memory.c: blocks, and what is embedded in blocks.
 */
#include "leaks.h"

static void
cycle_value(void)
{
    long *n = par_value(long);

    must(n != NULL);
    *n += 1;
    par_shared_free(n);
}

static void
cycle_array(void)
{
    static size_t n;
    double *array = par_array(double, 1 + n % 5000);

    must(array != NULL);
    array[n++ % 5000] = 1;
    par_shared_free(array);
}

static void
cycle_large_block(void)
{
    char *block = par_array(char, 1 << 20);

    must(block != NULL);
    block[0] = 1;
    par_shared_free(block);
}

static void
cycle_strdup(void)
{
    char *s = par_shared_strdup("nothing is left behind");

    must(s != NULL && s[0] == 'n');
    par_shared_free(s);
}

static void
cycle_lock(void)
{
    par_lock *lock = par_value(par_lock);

    must(lock != NULL);
    must(par_lock_acquire(lock, soon()) == 0);
    must(par_lock_release(lock) == 0);
    par_shared_free(lock);
}

static void
cycle_lock_of(void)
{
    int *n = par_value(int);

    must(n != NULL);
    must(par_lock_acquire(par_lock_of(n), soon()) == 0);
    must(par_lock_release(par_lock_of(n)) == 0);
    par_shared_free(n);
}

static void
cycle_rlock(void)
{
    par_rlock *lock = par_value(par_rlock);

    must(lock != NULL);
    must(par_rlock_acquire(lock, soon()) == 0 && par_rlock_acquire(lock, soon()) == 0);
    must(par_rlock_release(lock) == 0 && par_rlock_release(lock) == 0);
    par_shared_free(lock);
}

static void
cycle_rwlock(void)
{
    par_rwlock *lock = par_value(par_rwlock);

    must(lock != NULL && par_rwlock_acquire_read(lock, soon()) == 0 && par_rwlock_release(lock) == 0);
    must(par_rwlock_acquire_write(lock, soon()) == 0 && par_rwlock_release(lock) == 0);
    par_shared_free(lock);
}

static void
cycle_fair_lock(void)
{
    par_lock *lock = par_value(par_lock);

    must(lock != NULL && par_lock_init(lock, &(par_lock_opts){ .fair = true }) == 0);
    must(par_lock_acquire(lock, soon()) == 0);
    must(par_lock_release(lock) == 0);
    par_shared_free(lock);
}

static void
use_semaphore(const par_semaphore_opts *opts)
{
    par_semaphore *s = par_value(par_semaphore);

    must(s != NULL && par_semaphore_init(s, 2, opts) == 0);
    must(par_semaphore_acquire(s, soon()) == 0);
    must(par_semaphore_release(s, 1) == 0);
    par_shared_free(s);
}

static void
cycle_semaphore(void)
{
    use_semaphore(NULL);
}

static void
cycle_robust_semaphore(void)
{
    use_semaphore(&(par_semaphore_opts){ .robust = true });
}

/* A wait that ends by its deadline: one thread alone has nobody to notify it. */
static void
cycle_condition(void)
{
    struct {
        par_lock lock;
        par_condition condition;
    } *shared = par_shared_alloc(1, sizeof *shared);

    must(shared != NULL && par_lock_acquire(&shared->lock, soon()) == 0);
    must(par_condition_wait(&shared->condition, &shared->lock, PAR_NOWAIT) == -1);
    must(par_condition_notify_all(&shared->condition) == 0);
    must(par_lock_release(&shared->lock) == 0);
    par_shared_free(shared);
}

static void
cycle_event(void)
{
    par_event *event = par_value(par_event);

    must(event != NULL && par_event_set(event) == 0);
    must(par_event_wait(event, soon()) == 0);
    must(par_event_clear(event) == 0);
    par_shared_free(event);
}

static void
cycle_barrier(void)
{
    par_barrier *barrier = par_value(par_barrier);

    must(barrier != NULL && par_barrier_init(barrier, 1, NULL, NULL) == 0);
    must(par_barrier_wait(barrier, soon()) >= 0);
    par_shared_free(barrier);
}

const struct subject memory_subjects[] = {
    { "value", NULL, cycle_value, NULL },
    { "array", NULL, cycle_array, NULL },
    { "large block", NULL, cycle_large_block, NULL },
    { "strdup", NULL, cycle_strdup, NULL },
    { "lock", NULL, cycle_lock, NULL },
    { "lock of a block", NULL, cycle_lock_of, NULL },
    { "rlock", NULL, cycle_rlock, NULL },
    { "rwlock", NULL, cycle_rwlock, NULL },
    { "fair lock", NULL, cycle_fair_lock, NULL },
    { "semaphore", NULL, cycle_semaphore, NULL },
    { "robust semaphore", NULL, cycle_robust_semaphore, NULL },
    { "condition", NULL, cycle_condition, NULL },
    { "event", NULL, cycle_event, NULL },
    { "barrier", NULL, cycle_barrier, NULL },
    { NULL, NULL, NULL, NULL },
};
