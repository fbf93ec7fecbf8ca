/* SPDX-License-Identifier: MIT
 *
 * queue.h: work over any kind of queue of 8-byte messages.
 *
 *   queue  `procs` producers put n messages together, `procs` consumers get them. Nanoseconds per message
 *   depth  one process puts `depth` messages and gets them again, until n have gone through. Nanoseconds per message
 *
 * A message is its producer and its number. Every consumer looks whether each producer's numbers grow, as in any queue that is one,
 * and the sums of what was put and got are compared. A producer's last message sends one consumer home.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include "bench.h"

struct queue {
    void *(*open)(const struct bench_task *task);
    void (*attach)(void *q); /* in each process; NULL: nothing to do */
    void (*put)(void *q, uint64_t value);
    uint64_t (*get)(void *q);
    const struct bench_starter *starter;
};

#define QUEUE_DEPTH 4096 /* messages that a queue takes before a put waits, where one can choose */
#define QUEUE_STOP UINT64_MAX

struct queue_run {
    struct bench_task task;
    void *queue;
    uint64_t n[2 * BENCH_MAX_RUNNERS]; /* of messages, by runner */
    uint64_t sum[2 * BENCH_MAX_RUNNERS];
};

static inline uint64_t
queue_message(int producer, uint64_t number)
{
    return (uint64_t)producer << 48 | number;
}

static inline void
queue_prepare(const struct queue_run *run, const struct queue *ops, int index)
{
    bench_pin(&run->task, index);
    if (ops->attach != NULL)
        ops->attach(run->queue);
    bench_ready();
}

BENCH_INLINE void
queue_produce(struct queue_run *run, const struct queue *ops, int index)
{
    uint64_t n = (uint64_t)(run->task.n / run->task.procs), sum = 0;

    for (uint64_t i = 1; i <= n; i++) {
        uint64_t message = queue_message(index, i);
        ops->put(run->queue, message);
        sum += message;
    }
    ops->put(run->queue, QUEUE_STOP);
    run->n[index] = n;
    run->sum[index] = sum;
}

BENCH_INLINE void
queue_consume(struct queue_run *run, const struct queue *ops, int index)
{
    uint64_t last[BENCH_MAX_RUNNERS] = { 0 }, n = 0, sum = 0, message;

    while ((message = ops->get(run->queue)) != QUEUE_STOP) {
        uint64_t *before = &last[message >> 48 & (BENCH_MAX_RUNNERS - 1)];
        bench_check(*before < message);
        *before = message;
        n++;
        sum += message;
    }
    run->n[index] = n;
    run->sum[index] = sum;
}

/* Producers have the lower indices. */
BENCH_INLINE void
queue_side(struct queue_run *run, const struct queue *ops, int index)
{
    queue_prepare(run, ops, index);
    if (index < run->task.procs)
        queue_produce(run, ops, index);
    else
        queue_consume(run, ops, index);
}

static inline double
queue_race(const struct bench_task *task, const struct queue *ops, void (*side)(void *run, int index))
{
    struct queue_run *run = (struct queue_run *)bench_shared(sizeof *run);
    struct bench_race race = { (int)task->procs * 2, side, run, ops->starter };
    uint64_t n = 0, sum = 0;
    int64_t ns;

    run->task = *task;
    run->queue = ops->open(task);
    ns = bench_race(&race);
    for (int i = 0; i < race.n; i++) {
        n += i < task->procs ? run->n[i] : -run->n[i];
        sum += i < task->procs ? run->sum[i] : -run->sum[i];
    }
    bench_check(n == 0 && sum == 0);
    return (double)ns / (double)task->n;
}

BENCH_INLINE double
queue_depth(const struct bench_task *task, const struct queue *ops)
{
    void *q = ops->open(task);
    int64_t start;
    long n = 0;

    if (ops->attach != NULL)
        ops->attach(q);
    for (start = bench_now(); n < task->n; n += task->depth) {
        for (long i = 0; i < task->depth; i++)
            ops->put(q, (uint64_t)(n + i));
        for (long i = 0; i < task->depth; i++)
            bench_check(ops->get(q) == (uint64_t)(n + i));
    }
    return (double)(bench_now() - start) / (double)n;
}

#define QUEUE(ops)                                                        \
    static void ops##_side(void *run, int index)                          \
    {                                                                     \
        queue_side((struct queue_run *)run, &ops, index);                 \
    }                                                                     \
    static double ops##_race(const struct bench_task *task)               \
    {                                                                     \
        return queue_race(task, &ops, ops##_side);                        \
    }                                                                     \
    BENCH_UNUSED static double ops##_depth(const struct bench_task *task) \
    {                                                                     \
        return queue_depth(task, &ops);                                   \
    }

#endif
