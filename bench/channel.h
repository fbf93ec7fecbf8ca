/* SPDX-License-Identifier: MIT
 *
 * channel.h: work between two processes over any kind of channel.
 *
 *   stream     side 0 sends n messages of `size` bytes to side 1. Nanoseconds per message
 *   roundtrip  side 0 sends one and waits for the answer, n times. Nanoseconds per round trip
 *   pointers   side 0 sends n pointers to blocks of `size` bytes in shared memory. Nanoseconds per message
 *
 * Each message carries its number in its first and last bytes, and the receiver looks at it.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "bench.h"

struct channel {
    void *(*open)(const struct bench_task *task); /* before the two sides exist */
    void (*attach)(void *c, int side);            /* in each; NULL: nothing to do */
    void (*send)(void *c, int side, const void *data, size_t size);
    void (*recv)(void *c, int side, void *data, size_t size);
    void (*flush)(void *c, int side);    /* what was sent goes out; NULL: it does in any case */
    void (*detach)(void *c, int side);   /* when a side has done; NULL: nothing to do */
    void *(*shared)(size_t size);        /* memory that both see; NULL: bench_shared */
    const struct bench_starter *starter; /* gets the channel as arg */
};

#define CHANNEL_BLOCKS 16

struct channel_run {
    struct bench_task task;
    void *channel;
    char *block[CHANNEL_BLOCKS];
};

static inline void
channel_stamp(char *data, size_t size, uint32_t number)
{
    memcpy(data, &number, sizeof number);
    memcpy(data + size - sizeof number, &number, sizeof number);
}

static inline bool
channel_is_stamped(const char *data, size_t size, uint32_t number)
{
    return memcmp(data, &number, sizeof number) == 0 && memcmp(data + size - sizeof number, &number, sizeof number) == 0;
}

static inline char *
channel_prepare(const struct channel_run *run, const struct channel *ops, int side)
{
    char *message = (char *)bench_private((size_t)run->task.size);

    bench_pin(&run->task, side);
    if (ops->attach != NULL)
        ops->attach(run->channel, side);
    bench_ready();
    return message;
}

BENCH_INLINE void
channel_send(const struct channel_run *run, const struct channel *ops, int side, char *message, uint32_t number)
{
    channel_stamp(message, (size_t)run->task.size, number);
    ops->send(run->channel, side, message, (size_t)run->task.size);
}

BENCH_INLINE void
channel_recv(const struct channel_run *run, const struct channel *ops, int side, char *message, uint32_t number)
{
    ops->recv(run->channel, side, message, (size_t)run->task.size);
    bench_check(channel_is_stamped(message, (size_t)run->task.size, number));
}

BENCH_INLINE void
channel_flush(const struct channel_run *run, const struct channel *ops, int side)
{
    if (ops->flush != NULL)
        ops->flush(run->channel, side);
}

static inline void
channel_finish(const struct channel_run *run, const struct channel *ops, int side)
{
    if (ops->flush != NULL)
        ops->flush(run->channel, side);
    if (ops->detach != NULL)
        ops->detach(run->channel, side);
}

BENCH_INLINE void
channel_stream(const struct channel_run *run, const struct channel *ops, int side)
{
    char *message = channel_prepare(run, ops, side);

    if (side == 0)
        for (long i = 0; i < run->task.n; i++)
            channel_send(run, ops, side, message, (uint32_t)i);
    else
        for (long i = 0; i < run->task.n; i++)
            channel_recv(run, ops, side, message, (uint32_t)i);
    channel_finish(run, ops, side);
}

BENCH_INLINE void
channel_roundtrip(const struct channel_run *run, const struct channel *ops, int side)
{
    char *message = channel_prepare(run, ops, side);

    for (long i = 0; i < run->task.n; i++) {
        if (side == 1)
            channel_recv(run, ops, side, message, (uint32_t)i);
        channel_send(run, ops, side, message, (uint32_t)i);
        channel_flush(run, ops, side);
        if (side == 0)
            channel_recv(run, ops, side, message, (uint32_t)i);
    }
    channel_finish(run, ops, side);
}

/* The blocks do not change; each is stamped with its own number. */
BENCH_INLINE void
channel_pointers(const struct channel_run *run, const struct channel *ops, int side)
{
    char *block;

    (void)channel_prepare(run, ops, side);
    for (long i = 0; i < run->task.n; i++) {
        if (side == 0) {
            block = run->block[i % CHANNEL_BLOCKS];
            ops->send(run->channel, side, &block, sizeof block);
        } else {
            ops->recv(run->channel, side, &block, sizeof block);
            bench_check(channel_is_stamped(block, (size_t)run->task.size, (uint32_t)(i % CHANNEL_BLOCKS)));
        }
    }
    channel_finish(run, ops, side);
}

/* A starter has to find the channel in the race's argument. */
static inline void *
channel_of(void *run)
{
    return ((struct channel_run *)run)->channel;
}

static inline double
channel_race(const struct bench_task *task, const struct channel *ops, bool with_blocks, void (*work)(void *run, int side))
{
    struct channel_run *run = (struct channel_run *)bench_shared(sizeof *run);
    struct bench_race race = { 2, work, run, ops->starter };
    struct bench_task opened = *task;

    if (with_blocks)
        opened.size = sizeof(void *);
    run->task = *task;
    run->channel = ops->open(&opened);
    for (int i = 0; with_blocks && i < CHANNEL_BLOCKS; i++) {
        run->block[i] = (char *)(ops->shared ? ops->shared : bench_shared)((size_t)task->size);
        channel_stamp(run->block[i], (size_t)task->size, (uint32_t)i);
    }
    return (double)bench_race(&race) / (double)task->n;
}

/* The functions of a channel for one kind of work, and its line in the table. `ops` is a constant, so all of it is inlined. */
#define CHANNEL_WORK(ops, work, with_blocks)                               \
    static void ops##_##work##_side(void *run, int side)                   \
    {                                                                      \
        channel_##work((const struct channel_run *)run, &ops, side);       \
    }                                                                      \
    BENCH_UNUSED static double ops##_##work(const struct bench_task *task) \
    {                                                                      \
        return channel_race(task, &ops, with_blocks, ops##_##work##_side); \
    }
#define CHANNEL(ops)                 \
    CHANNEL_WORK(ops, stream, false) \
    CHANNEL_WORK(ops, roundtrip, false)
#define CHANNEL_POINTERS(ops) CHANNEL_WORK(ops, pointers, true)

#define CHANNEL_ENTRY(ops, work, name, slower) \
    {                                          \
#work, name, ops##_##work, slower      \
    }

#endif
