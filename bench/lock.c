/* SPDX-License-Identifier: MIT
 *
 * lock.c: n times acquire and release, by `procs` processes together. Nanoseconds per pair of them.
 *
 *   lock   one lock for all
 *   locks  one process takes `depth` locks in turn
 *   rwlock one lock for all, acquired to read, each 1024th time to write
 *
 * The lock guards a counter, which at the end must have counted everything.
 */
#include "limit.h"

#include <par.h>
#include <pthread.h>
#include <semaphore.h>

struct lock_ops {
    size_t size;
    void *(*memory)(size_t size);
    void (*init)(void *lock);
    void (*acquire)(void *lock);
    void (*release)(void *lock);
};

/* ---- libpar */

static void *
libpar_memory(size_t size)
{
    return par_shared_alloc(size, 1);
}

static void
libpar_init(void *lock)
{
    (void)lock; /* all zero is unlocked */
}

static void
libpar_acquire(void *lock)
{
    bench_check(par_lock_acquire(lock, PAR_FOREVER) == 0);
}

static void
libpar_release(void *lock)
{
    bench_check(par_lock_release(lock) == 0);
}

static void
libpar_fair_init(void *lock)
{
    bench_check(par_lock_init(lock, &(par_lock_opts){ .fair = true }) == 0);
}

static const struct lock_ops libpar = { sizeof(par_lock), libpar_memory, libpar_init, libpar_acquire, libpar_release };
static const struct lock_ops libpar_fair = { sizeof(par_lock), libpar_memory, libpar_fair_init, libpar_acquire,
                                             libpar_release };

/* ---- pthread */

static void
mutex_init(pthread_mutex_t *mutex, int shared, int robust)
{
    pthread_mutexattr_t attributes;

    bench_check(pthread_mutexattr_init(&attributes) == 0);
    bench_check(pthread_mutexattr_setpshared(&attributes, shared) == 0);
    bench_check(pthread_mutexattr_setrobust(&attributes, robust) == 0);
    bench_check(pthread_mutex_init(mutex, &attributes) == 0);
}

static void
plain_init(void *lock)
{
    mutex_init(lock, PTHREAD_PROCESS_PRIVATE, PTHREAD_MUTEX_STALLED);
}

static void
pshared_init(void *lock)
{
    mutex_init(lock, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_STALLED);
}

static void
robust_init(void *lock)
{
    mutex_init(lock, PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST);
}

static void
mutex_acquire(void *lock)
{
    bench_check(pthread_mutex_lock(lock) == 0);
}

static void
mutex_release(void *lock)
{
    bench_check(pthread_mutex_unlock(lock) == 0);
}

static const struct lock_ops plain = { sizeof(pthread_mutex_t), bench_shared, plain_init, mutex_acquire, mutex_release };
static const struct lock_ops pshared = { sizeof(pthread_mutex_t), bench_shared, pshared_init, mutex_acquire, mutex_release };
static const struct lock_ops robust = { sizeof(pthread_mutex_t), bench_shared, robust_init, mutex_acquire, mutex_release };

/* ---- semaphore */

static void
semaphore_init(void *lock)
{
    bench_check(sem_init(lock, 1, 1) == 0);
}

static void
semaphore_acquire(void *lock)
{
    bench_check(sem_wait(lock) == 0);
}

static void
semaphore_release(void *lock)
{
    bench_check(sem_post(lock) == 0);
}

static const struct lock_ops semaphore = { sizeof(sem_t), bench_shared, semaphore_init, semaphore_acquire, semaphore_release };

/* ---- a bare futex: 0 free, 1 held, 2 held and somebody may sleep */

static void
futex_init(void *lock)
{
    *(uint32_t *)lock = 0;
}

static void
futex_acquire(void *lock)
{
    uint32_t value = 0;

    if (__atomic_compare_exchange_n((uint32_t *)lock, &value, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n((uint32_t *)lock, 2, __ATOMIC_ACQUIRE) != 0)
        bench_futex_wait(lock, 2);
}

static void
futex_release(void *lock)
{
    if (__atomic_exchange_n((uint32_t *)lock, 0, __ATOMIC_RELEASE) == 2)
        bench_futex_wake(lock, 1);
}

static const struct lock_ops futex = { sizeof(uint32_t), bench_shared, futex_init, futex_acquire, futex_release };

/* ---- the work */

struct lock_run {
    struct bench_task task;
    void *lock;
    long *counter; /* on a line of its own */
};

static size_t
stride_of(const struct lock_ops *ops)
{
    return (ops->size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
}

static void *
make_locks(const struct lock_ops *ops, long n)
{
    char *memory = ops->memory(stride_of(ops) * (size_t)n);

    bench_check(memory != NULL);
    for (long i = 0; i < n; i++)
        ops->init(memory + stride_of(ops) * (size_t)i);
    return memory;
}

BENCH_INLINE void
lock_once(const struct lock_ops *ops, void *lock, long *counter)
{
    ops->acquire(lock);
    ++*(volatile long *)counter; /* in every turn, in memory */
    ops->release(lock);
}

BENCH_INLINE void
lock_side(const struct lock_run *run, const struct lock_ops *ops, int index)
{
    bench_pin(&run->task, index);
    bench_ready();
    for (long i = run->task.n / run->task.procs; i > 0; i--)
        lock_once(ops, run->lock, run->counter);
}

static double
lock_race(const struct bench_task *task, const struct lock_ops *ops, void (*side)(void *run, int index))
{
    struct lock_run *run = bench_shared(sizeof *run);
    struct bench_race race = { (int)task->procs, side, run, NULL };
    int64_t ns;

    run->task = *task;
    run->lock = make_locks(ops, 1);
    run->counter = bench_shared(sizeof *run->counter);
    ns = bench_race(&race);
    bench_check(*run->counter == task->n / task->procs * task->procs);
    return (double)ns / (double)*run->counter;
}

BENCH_INLINE double
lock_many(const struct bench_task *task, const struct lock_ops *ops)
{
    size_t stride = stride_of(ops);
    char *lock = make_locks(ops, task->depth);
    long counter = 0;
    int64_t start;

    for (long k = 0; k < task->depth; k++)
        lock_once(ops, lock + stride * (size_t)k, &counter);
    start = bench_now();
    for (counter = 0; counter < task->n;)
        for (long k = 0; k < task->depth; k++)
            lock_once(ops, lock + stride * (size_t)k, &counter);
    return (double)(bench_now() - start) / (double)counter;
}

#define LOCK(ops)                                                        \
    static void ops##_side(void *run, int index)                         \
    {                                                                    \
        lock_side(run, &ops, index);                                     \
    }                                                                    \
    static double ops##_race(const struct bench_task *task)              \
    {                                                                    \
        return lock_race(task, &ops, ops##_side);                        \
    }                                                                    \
    BENCH_UNUSED static double ops##_many(const struct bench_task *task) \
    {                                                                    \
        return lock_many(task, &ops);                                    \
    }

LOCK(libpar)
LOCK(libpar_fair)
LOCK(pshared)
LOCK(robust)
LOCK(semaphore)
LOCK(futex)
LOCK(plain)

static double
plain_alone(const struct bench_task *task)
{
    if (task->procs > 1)
        bench_skip("not for several processes");
    return plain_race(task);
}

/* ---- readers and a writer now and then */

#define WRITE_EACH 1024

struct rwlock_ops {
    size_t size;
    void *(*memory)(size_t size);
    void (*init)(void *lock);
    void (*read)(void *lock);
    void (*write)(void *lock);
    void (*release)(void *lock);
};

static void
libpar_read(void *lock)
{
    bench_check(par_rwlock_acquire_read(lock, PAR_FOREVER) == 0);
}

static void
libpar_write(void *lock)
{
    bench_check(par_rwlock_acquire_write(lock, PAR_FOREVER) == 0);
}

static void
libpar_leave(void *lock)
{
    bench_check(par_rwlock_release(lock) == 0);
}

static const struct rwlock_ops libpar_rw = { sizeof(par_rwlock), libpar_memory, libpar_init,
                                             libpar_read,        libpar_write,  libpar_leave };

static void
pthread_init(void *lock)
{
    pthread_rwlockattr_t attributes;

    bench_check(pthread_rwlockattr_init(&attributes) == 0);
    bench_check(pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    bench_check(pthread_rwlock_init(lock, &attributes) == 0);
}

static void
pthread_read(void *lock)
{
    bench_check(pthread_rwlock_rdlock(lock) == 0);
}

static void
pthread_write(void *lock)
{
    bench_check(pthread_rwlock_wrlock(lock) == 0);
}

static void
pthread_leave(void *lock)
{
    bench_check(pthread_rwlock_unlock(lock) == 0);
}

static const struct rwlock_ops pthread_rw = {
    sizeof(pthread_rwlock_t), bench_shared, pthread_init, pthread_read, pthread_write, pthread_leave
};

static const struct rwlock_ops mutex_rw = { sizeof(pthread_mutex_t), bench_shared,  robust_init,
                                            mutex_acquire,           mutex_acquire, mutex_release };

BENCH_INLINE void
rwlock_side(const struct lock_run *run, const struct rwlock_ops *ops, int index)
{
    long n = run->task.n / run->task.procs;

    bench_pin(&run->task, index);
    bench_ready();
    for (long i = 1; i <= n; i++) {
        bool shall_write = i % WRITE_EACH == 0;

        (shall_write ? ops->write : ops->read)(run->lock);
        *(volatile long *)run->counter += shall_write;
        ops->release(run->lock);
    }
}

static double
rwlock_race(const struct bench_task *task, const struct rwlock_ops *ops, void (*side)(void *run, int index))
{
    struct lock_run *run = bench_shared(sizeof *run);
    struct bench_race race = { (int)task->procs, side, run, NULL };
    int64_t ns;

    run->task = *task;
    run->lock = ops->memory((ops->size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE);
    bench_check(run->lock != NULL);
    ops->init(run->lock);
    run->counter = bench_shared(sizeof *run->counter);
    ns = bench_race(&race);
    bench_check(*run->counter == task->n / task->procs / WRITE_EACH * task->procs);
    return (double)ns / (double)(task->n / task->procs * task->procs);
}

#define RWLOCK(ops)                                         \
    static void ops##_side(void *run, int index)            \
    {                                                       \
        rwlock_side(run, &ops, index);                      \
    }                                                       \
    static double ops##_race(const struct bench_task *task) \
    {                                                       \
        return rwlock_race(task, &ops, ops##_side);         \
    }

RWLOCK(libpar_rw)
RWLOCK(pthread_rw)
RWLOCK(mutex_rw)

static const struct bench_contender contenders[] = {
    { "lock", "libpar", libpar_race, 1 },
    { "lock", "libpar-fair", libpar_fair_race, 20 },
    { "lock", "mutex-plain", plain_alone, 1 },
    { "lock", "mutex-pshared", pshared_race, 1 },
    { "lock", "mutex-robust", robust_race, 1 },
    { "lock", "sem_t", semaphore_race, 1 },
    { "lock", "limit-futex", futex_race, 1 },
    { "rwlock", "libpar", libpar_rw_race, 1 },
    { "rwlock", "rwlock-pshared", pthread_rw_race, 1 },
    { "rwlock", "mutex-robust", mutex_rw_race, 1 },
    { "locks", "libpar", libpar_many, 1 },
    { "locks", "mutex-robust", robust_many, 1 },
    { "locks", "limit-futex", futex_many, 1 },
};
BENCH_MAIN(contenders)
