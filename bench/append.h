/* SPDX-License-Identifier: MIT
 *
 * append.h: n appends to one list that many processes share, by `procs` clients together. Nanoseconds per append.
 *
 * At the end the list must be as long as what was appended. A server, if there is one, runs as side 1, the clients as side 0.
 */
#ifndef APPEND_H
#define APPEND_H

#include "bench.h"

struct append_ops {
    void *(*open)(const struct bench_task *task); /* starts the server, which inherits the caller's core */
    void *(*attach)(void *list, int client);      /* what the client then uses; NULL: the list itself */
    void (*append)(void *client, int value);
    void (*finish)(void *client); /* all of this client's appends are done; NULL: they are in any case */
    long (*length)(void *list);
    void (*close)(void *list); /* ends the server; NULL: there is nothing to end */
};

struct append_run {
    struct bench_task task;
    void *list;
};

BENCH_INLINE void
append_side(const struct append_run *run, const struct append_ops *ops, int index)
{
    void *client;

    bench_pin(&run->task, 0);
    client = ops->attach ? ops->attach(run->list, index) : run->list;
    bench_ready();
    for (long i = run->task.n / run->task.procs; i > 0; i--)
        ops->append(client, (int)i);
    if (ops->finish != NULL)
        ops->finish(client);
}

static inline double
append_race(const struct bench_task *task, const struct append_ops *ops, void (*side)(void *run, int index))
{
    struct append_run *run = (struct append_run *)bench_shared(sizeof *run);
    struct bench_race race = { (int)task->procs, side, run, NULL };
    long n = task->n / task->procs * task->procs;
    int64_t ns;

    run->task = *task;
    bench_pin(task, 1);
    run->list = ops->open(task);
    ns = bench_race(&race);
    bench_check(ops->length(run->list) == n);
    if (ops->close != NULL)
        ops->close(run->list);
    return (double)ns / (double)n;
}

#define APPEND(ops)                                               \
    static void ops##_side(void *run, int index)                  \
    {                                                             \
        append_side((const struct append_run *)run, &ops, index); \
    }                                                             \
    static double ops##_race(const struct bench_task *task)       \
    {                                                             \
        return append_race(task, &ops, ops##_side);               \
    }

#endif
