/* SPDX-License-Identifier: MIT
 *
 * boost.cc: Boost.Interprocess message_queue, and Boost.Lockfree spsc_queue laid into shared memory.
 */
#include "../channel.h"
#include "../limit.h"
#include "../queue.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <new>

using boost::interprocess::message_queue;

/* ---- message_queue; its name goes at once, the mapping is inherited */

static message_queue *
queue_make(size_t messages, size_t size)
{
    static int serial;
    char name[64];
    message_queue *q = NULL;

    (void)snprintf(name, sizeof name, "bench-%d-%d", (int)getpid(), serial++);
    try {
        q = new message_queue(boost::interprocess::create_only, name, messages, size);
    } catch (const boost::interprocess::interprocess_exception &e) {
        bench_fail("message_queue: %s", e.what());
    }
    bench_check(message_queue::remove(name));
    return q;
}

static void *
message_open(const struct bench_task *task)
{
    message_queue **c = (message_queue **)bench_private(2 * sizeof *c);
    size_t messages = task->size > 65536 ? 8 : 1024;

    c[0] = queue_make(messages, (size_t)task->size);
    c[1] = queue_make(messages, (size_t)task->size);
    return c;
}

static void
message_send(void *c, int side, const void *data, size_t size)
{
    ((message_queue **)c)[side]->send(data, size, 0);
}

static void
message_recv(void *c, int side, void *data, size_t size)
{
    size_t received = 0;
    unsigned priority;

    ((message_queue **)c)[!side]->receive(data, size, received, priority);
    bench_check(received == size);
}

static const struct channel message = { message_open, NULL, message_send, message_recv, NULL, NULL, NULL, NULL };
CHANNEL(message)

static void *
many_open(const struct bench_task *task)
{
    return queue_make((size_t)task->depth > QUEUE_DEPTH ? (size_t)task->depth : QUEUE_DEPTH, sizeof(uint64_t));
}

static void
many_put(void *q, uint64_t value)
{
    ((message_queue *)q)->send(&value, sizeof value, 0);
}

static uint64_t
many_get(void *q)
{
    size_t received = 0;
    unsigned priority;
    uint64_t value;

    ((message_queue *)q)->receive(&value, sizeof value, received, priority);
    bench_check(received == sizeof value);
    return value;
}

static const struct queue many = { many_open, NULL, many_put, many_get, NULL };
QUEUE(many)

/* ---- spsc_queue: words of four bytes, a message being several; waits as the hand-written rings do */

using small_queue = boost::lockfree::spsc_queue<uint32_t, boost::lockfree::capacity<65536 - 1>>;
using large_queue = boost::lockfree::spsc_queue<uint32_t, boost::lockfree::capacity<2 * 1024 * 1024 - 1>>;

static void
wait_a_little(int *n_waits)
{
    if ((*n_waits)++ < LIMIT_SPINS)
        bench_relax();
    else
        (void)sched_yield();
}

template <class Queue> struct spsc {
    static void *
    open(const struct bench_task *task)
    {
        Queue *q = (Queue *)bench_shared(2 * sizeof *q);

        (void)task;
        new (q) Queue();
        new (q + 1) Queue();
        return q;
    }

    static void
    send(void *c, int side, const void *data, size_t size)
    {
        const uint32_t *word = (const uint32_t *)data;
        int n_waits = 0;

        for (size_t left = size / sizeof *word, n; left > 0; left -= n, word += n)
            if ((n = ((Queue *)c + side)->push(word, left)) == 0)
                wait_a_little(&n_waits);
    }

    static void
    recv(void *c, int side, void *data, size_t size)
    {
        uint32_t *word = (uint32_t *)data;
        int n_waits = 0;

        for (size_t left = size / sizeof *word, n; left > 0; left -= n, word += n)
            if ((n = ((Queue *)c + !side)->pop(word, left)) == 0)
                wait_a_little(&n_waits);
    }
};

static const struct channel small_spsc = {
    spsc<small_queue>::open, NULL, spsc<small_queue>::send, spsc<small_queue>::recv, NULL, NULL, NULL, NULL
};
static const struct channel large_spsc = {
    spsc<large_queue>::open, NULL, spsc<large_queue>::send, spsc<large_queue>::recv, NULL, NULL, NULL, NULL
};
CHANNEL(small_spsc)
CHANNEL_POINTERS(small_spsc)
CHANNEL(large_spsc)

static double
spsc_stream(const struct bench_task *task)
{
    return task->size > 65536 ? large_spsc_stream(task) : small_spsc_stream(task);
}

static const struct bench_contender contenders[] = {
    CHANNEL_ENTRY(message, stream, "boost-message-queue", 5),
    CHANNEL_ENTRY(message, roundtrip, "boost-message-queue", 2),
    { "stream", "boost-spsc", spsc_stream, 1 },
    CHANNEL_ENTRY(small_spsc, pointers, "boost-spsc", 1),
    { "queue", "boost-message-queue", many_race, 4 },
    { "depth", "boost-message-queue", many_depth, 4 },
};
BENCH_MAIN(contenders)
