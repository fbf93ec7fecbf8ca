/* SPDX-License-Identifier: MIT
 *
 * queue.c: many producers and consumers: libpar's queue, what the kernel and libc have, and Vyukov's bounded queue.
 */
#include "queue.h"
#include "limit.h"

#include <fcntl.h>
#include <mqueue.h>
#include <par.h>
#include <pthread.h>

/* ---- libpar */

static void *
libpar_open(const struct bench_task *task)
{
    size_t least = (size_t)task->depth * 16;
    par_queue *q = par_queue_new(&(par_queue_opts){ .capacity = least > 1024 * 1024 ? least : 0 });

    bench_check(q != NULL);
    return q;
}

static void
libpar_put(void *q, uint64_t value)
{
    bench_check(par_queue_put(q, &value, sizeof value, PAR_FOREVER) == 0);
}

static uint64_t
libpar_get(void *q)
{
    uint64_t value;

    bench_check(par_queue_get(q, &value, sizeof value, PAR_FOREVER) == sizeof value);
    return value;
}

static const struct queue libpar = { libpar_open, NULL, libpar_put, libpar_get, NULL };
QUEUE(libpar)

/* ---- libpar's queue with an order, here that of the puts; and the same with each item on lease until it is acknowledged */

static void *
pqueue_open(const struct bench_task *task)
{
    par_pqueue *q = par_pqueue_new(&(par_pqueue_opts){ .item_size = sizeof(uint64_t),
                                                       .maxsize = task->depth > QUEUE_DEPTH ? (size_t)task->depth : QUEUE_DEPTH,
                                                       .order = PAR_FIRST_FIRST });

    bench_check(q != NULL);
    return q;
}

static void
pqueue_put(void *q, uint64_t value)
{
    bench_check(par_pqueue_put(q, &value, sizeof value, 0, PAR_FOREVER) == 0);
}

static uint64_t
pqueue_get(void *q)
{
    uint64_t value;

    bench_check(par_pqueue_get(q, &value, sizeof value, PAR_FOREVER) == sizeof value);
    return value;
}

static uint64_t
pqueue_lease(void *q)
{
    par_lease lease;
    uint64_t value;

    bench_check(par_pqueue_lease(q, &value, sizeof value, &lease, PAR_FOREVER) == sizeof value);
    bench_check(par_pqueue_ack(q, &lease, PAR_FOREVER) == 0);
    return value;
}

static const struct queue pqueue = { pqueue_open, NULL, pqueue_put, pqueue_get, NULL };
static const struct queue leases = { pqueue_open, NULL, pqueue_put, pqueue_lease, NULL };
QUEUE(pqueue)
QUEUE(leases)

/* ---- Vyukov's: each cell has a turn; a process that dies between taking a cell and filling it stops all others */

struct vyukov_cell {
    uint64_t turn;
    uint64_t value;
};

struct vyukov {
    uint64_t tail __attribute__((aligned(BENCH_LINE)));
    uint64_t head __attribute__((aligned(BENCH_LINE)));
    uint64_t mask __attribute__((aligned(BENCH_LINE)));
    struct vyukov_cell cell[];
};

static void *
vyukov_open(const struct bench_task *task)
{
    uint64_t size = QUEUE_DEPTH;
    struct vyukov *q;

    while (size < (uint64_t)task->depth)
        size *= 2;
    q = bench_shared(sizeof *q + size * sizeof q->cell[0]);
    q->mask = size - 1;
    for (uint64_t i = 0; i < size; i++)
        q->cell[i].turn = i;
    return q;
}

/* Take the next cell whose turn it is for position + lead; yields while there is none. */
BENCH_INLINE struct vyukov_cell *
vyukov_take(struct vyukov *q, uint64_t *side, uint64_t lead, uint64_t *position)
{
    uint64_t at = __atomic_load_n(side, __ATOMIC_RELAXED);

    for (int n_waits = 0;;) {
        struct vyukov_cell *cell = &q->cell[at & q->mask];
        int64_t late = (int64_t)(limit_load(&cell->turn) - (at + lead));
        if (late == 0 && __atomic_compare_exchange_n(side, &at, at + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            *position = at;
            return cell;
        }
        if (late < 0) {
            if (n_waits++ < LIMIT_SPINS)
                bench_relax();
            else
                (void)sched_yield();
        }
        if (late != 0)
            at = __atomic_load_n(side, __ATOMIC_RELAXED);
    }
}

static void
vyukov_put(void *arg, uint64_t value)
{
    struct vyukov *q = arg;
    uint64_t position;
    struct vyukov_cell *cell = vyukov_take(q, &q->tail, 0, &position);

    cell->value = value;
    limit_store(&cell->turn, position + 1);
}

static uint64_t
vyukov_get(void *arg)
{
    struct vyukov *q = arg;
    uint64_t position, value;
    struct vyukov_cell *cell = vyukov_take(q, &q->head, 1, &position);

    value = cell->value;
    limit_store(&cell->turn, position + q->mask + 1);
    return value;
}

static const struct queue vyukov = { vyukov_open, NULL, vyukov_put, vyukov_get, NULL };
QUEUE(vyukov)

/* ---- a ring under a robust mutex, with condition variables */

struct guarded {
    pthread_mutex_t lock;
    pthread_cond_t readable;
    pthread_cond_t writable;
    uint64_t head;
    uint64_t tail;
    uint64_t size;
    uint64_t value[];
};

static void *
guarded_open(const struct bench_task *task)
{
    uint64_t size = task->depth > QUEUE_DEPTH ? (uint64_t)task->depth : QUEUE_DEPTH;
    struct guarded *q = bench_shared(sizeof *q + size * sizeof q->value[0]);
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;

    bench_check(pthread_mutexattr_init(&mutex) == 0);
    bench_check(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) == 0);
    bench_check(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST) == 0);
    bench_check(pthread_mutex_init(&q->lock, &mutex) == 0);
    bench_check(pthread_condattr_init(&condition) == 0);
    bench_check(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED) == 0);
    bench_check(pthread_cond_init(&q->readable, &condition) == 0 && pthread_cond_init(&q->writable, &condition) == 0);
    q->size = size;
    return q;
}

static void
guarded_put(void *arg, uint64_t value)
{
    struct guarded *q = arg;

    bench_check(pthread_mutex_lock(&q->lock) == 0);
    while (q->tail - q->head == q->size)
        bench_check(pthread_cond_wait(&q->writable, &q->lock) == 0);
    q->value[q->tail++ % q->size] = value;
    bench_check(pthread_cond_signal(&q->readable) == 0);
    bench_check(pthread_mutex_unlock(&q->lock) == 0);
}

static uint64_t
guarded_get(void *arg)
{
    struct guarded *q = arg;
    uint64_t value;

    bench_check(pthread_mutex_lock(&q->lock) == 0);
    while (q->tail == q->head)
        bench_check(pthread_cond_wait(&q->readable, &q->lock) == 0);
    value = q->value[q->head++ % q->size];
    bench_check(pthread_cond_signal(&q->writable) == 0);
    bench_check(pthread_mutex_unlock(&q->lock) == 0);
    return value;
}

static const struct queue guarded = { guarded_open, NULL, guarded_put, guarded_get, NULL };
QUEUE(guarded)

/* ---- pipe(2): eight bytes are written and read as a whole */

static void *
kernel_pipe_open(const struct bench_task *task)
{
    int *fd = bench_private(2 * sizeof *fd);

    if (task->depth > 8192)
        bench_skip("a pipe takes 64 KiB");
    bench_check(pipe(fd) == 0);
    return fd;
}

static void
kernel_pipe_put(void *q, uint64_t value)
{
    bench_check(write(((int *)q)[1], &value, sizeof value) == sizeof value);
}

static uint64_t
kernel_pipe_get(void *q)
{
    uint64_t value;

    bench_check(read(((int *)q)[0], &value, sizeof value) == sizeof value);
    return value;
}

static const struct queue kernel_pipe = { kernel_pipe_open, NULL, kernel_pipe_put, kernel_pipe_get, NULL };
QUEUE(kernel_pipe)

/* ---- POSIX message queue */

static void *
mq_make(const struct bench_task *task)
{
    struct mq_attr attributes = { .mq_maxmsg = 10, .mq_msgsize = sizeof(uint64_t) };
    mqd_t *q = bench_private(sizeof *q);
    char name[64];

    if (task->depth > 10)
        bench_skip("a message queue takes ten messages");
    (void)snprintf(name, sizeof name, "/bench-%d", (int)getpid());
    *q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    bench_check(*q != (mqd_t)-1);
    bench_check(mq_unlink(name) == 0); /* the descriptor is enough, and nothing is left behind */
    return q;
}

static void
mq_put(void *q, uint64_t value)
{
    bench_check(mq_send(*(mqd_t *)q, (const char *)&value, sizeof value, 0) == 0);
}

static uint64_t
mq_get(void *q)
{
    uint64_t value;

    bench_check(mq_receive(*(mqd_t *)q, (char *)&value, sizeof value, NULL) == sizeof value);
    return value;
}

static const struct queue mq = { mq_make, NULL, mq_put, mq_get, NULL };
QUEUE(mq)

static const struct bench_contender contenders[] = {
    { "queue", "libpar", libpar_race, 1 },
    { "queue", "libpar-pqueue", pqueue_race, 1 },
    { "queue", "libpar-lease", leases_race, 1 },
    { "queue", "limit-vyukov", vyukov_race, 1 },
    { "queue", "robust-mutex+cond", guarded_race, 4 },
    { "queue", "pipe", kernel_pipe_race, 4 },
    { "queue", "posix-mq", mq_race, 10 },
    { "depth", "libpar", libpar_depth, 1 },
    { "depth", "libpar-pqueue", pqueue_depth, 1 },
    { "depth", "limit-vyukov", vyukov_depth, 1 },
    { "depth", "robust-mutex+cond", guarded_depth, 1 },
    { "depth", "pipe", kernel_pipe_depth, 4 },
    { "depth", "posix-mq", mq_depth, 4 },
};
BENCH_MAIN(contenders)
