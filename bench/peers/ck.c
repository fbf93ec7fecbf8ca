/* SPDX-License-Identifier: MIT
 *
 * ck.c: Concurrency Kit's ring of pointers, laid into shared memory. Waits as the hand-written rings do.
 */
#include "../channel.h"
#include "../limit.h"
#include "../queue.h"

#include <ck_ring.h>

#define SIZE 65536 /* a power of two */

struct ring {
    ck_ring_t ring;
    ck_ring_buffer_t buffer[SIZE];
};

static void
wait_a_little(int *n_waits)
{
    if ((*n_waits)++ < LIMIT_SPINS)
        bench_relax();
    else
        (void)sched_yield();
}

/* ---- one producer, one consumer: a message is the pointer itself */

static void *
spsc_open(const struct bench_task *task)
{
    struct ring *c = bench_shared(2 * sizeof *c);

    if (task->size > (long)sizeof(void *))
        bench_skip("a ring of pointers");
    ck_ring_init(&c[0].ring, SIZE);
    ck_ring_init(&c[1].ring, SIZE);
    return c;
}

static void
spsc_send(void *arg, int side, const void *data, size_t size)
{
    struct ring *c = (struct ring *)arg + side;
    void *word = NULL;
    int n_waits = 0;

    memcpy(&word, data, size);
    while (!ck_ring_enqueue_spsc(&c->ring, c->buffer, word))
        wait_a_little(&n_waits);
}

static void
spsc_recv(void *arg, int side, void *data, size_t size)
{
    struct ring *c = (struct ring *)arg + !side;
    void *word;
    int n_waits = 0;

    while (!ck_ring_dequeue_spsc(&c->ring, c->buffer, &word))
        wait_a_little(&n_waits);
    memcpy(data, &word, size);
}

static const struct channel spsc = { .open = spsc_open, .send = spsc_send, .recv = spsc_recv };
CHANNEL(spsc)
CHANNEL_POINTERS(spsc)

/* ---- many producers and consumers */

static void *
mpmc_open(const struct bench_task *task)
{
    struct ring *q = bench_shared(sizeof *q);

    if (task->depth >= SIZE)
        bench_skip("the ring is of %d messages", SIZE);
    ck_ring_init(&q->ring, task->depth < QUEUE_DEPTH ? QUEUE_DEPTH : SIZE);
    return q;
}

static void
mpmc_put(void *arg, uint64_t value)
{
    struct ring *q = arg;
    int n_waits = 0;

    while (!ck_ring_enqueue_mpmc(&q->ring, q->buffer, (void *)(uintptr_t)value))
        wait_a_little(&n_waits);
}

static uint64_t
mpmc_get(void *arg)
{
    struct ring *q = arg;
    void *value;
    int n_waits = 0;

    while (!ck_ring_dequeue_mpmc(&q->ring, q->buffer, &value))
        wait_a_little(&n_waits);
    return (uintptr_t)value;
}

static const struct queue mpmc = { mpmc_open, NULL, mpmc_put, mpmc_get, NULL };
QUEUE(mpmc)

static const struct bench_contender contenders[] = {
    CHANNEL_ENTRY(spsc, stream, "ck-ring", 1),    CHANNEL_ENTRY(spsc, pointers, "ck-ring", 1),
    CHANNEL_ENTRY(spsc, roundtrip, "ck-ring", 1), { "queue", "ck-ring", mpmc_race, 1 },
    { "depth", "ck-ring", mpmc_depth, 1 },
};
BENCH_MAIN(contenders)
