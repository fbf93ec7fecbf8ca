/* SPDX-License-Identifier: MIT
 *
 * backend_thread.c: workers that are threads of the pool's creator.
 *
 * They run the very loop of the processes. A thread cannot be killed from outside; it can end itself inside a task (pthread_exit),
 * and then its clean-up handler marks the record, and the item it claimed is lost like that of a dead process.
 */
#include "crew.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What a thread starts with; it frees it itself. */
struct start {
    struct pari_seat seat;
    int (*initializer)(void *arg, void **state);
    void (*finalizer)(void *state);
    void *initarg;
    _Alignas(max_align_t) unsigned char copy[]; /* of initarg, if that has a size */
};

/* Runs last, also if the initializer, a task or the finalizer has called pthread_exit. */
static void
thread_ends(void *arg)
{
    struct start *start = arg;
    struct pari_worker *record = start->seat.record;
    struct pari_eventcount *news = &start->seat.pool->news.ec;

    pari_seat_free_blocks(&start->seat);
    free(start->seat.block);
    pari_seat = NULL;
    free(start);
    atomic_store(&record->phase, PARI_WORKER_ENDED);
    pari_eventcount_notify(news, INT_MAX); /* the creator joins this thread before it frees the pool */
}

static void *
thread_main(void *arg)
{
    struct start *start = arg;

    pthread_cleanup_push(thread_ends, start);
    if (pari_worker_run(&start->seat, start->initializer, start->initarg) == 0 && start->finalizer != NULL)
        start->finalizer(start->seat.state);
    pthread_cleanup_pop(1);
    return NULL;
}

static int
thread_start(struct pari_crew *crew, unsigned index)
{
    const par_pool_opts *opts = &crew->opts;
    struct start *start = pari_malloc(sizeof *start + opts->initarg_size);

    if (start == NULL)
        return -1;
    start->seat = (struct pari_seat){ .pool = crew->pool, .index = index, .record = &crew->pool->worker[index] };
    start->seat.pid = pari_self_pid();
    start->initializer = opts->initializer;
    start->finalizer = opts->finalizer;
    start->initarg = (void *)opts->initarg;
    if (opts->initarg_size > 0)
        start->initarg = memcpy(start->copy, opts->initarg, opts->initarg_size);
    if (pari_thread(&crew->hand[index].thread, 0, false, thread_main, start) != 0) {
        int error = errno;
        free(start);
        return pari_fail(error);
    }
    return 0;
}

static bool
thread_ended(struct pari_crew *crew, unsigned index, struct pari_end *end)
{
    if (atomic_load(&crew->pool->worker[index].phase) != PARI_WORKER_ENDED)
        return false;
    (void)pthread_join(crew->hand[index].thread, NULL); /* it has run its last handler: no wait, and cannot fail */
    *end = (struct pari_end){ 0 };
    return true;
}

static void
thread_end(struct pari_crew *crew, unsigned index, int signal)
{
    (void)crew; /* a thread ends when its task returns */
    (void)index;
    (void)signal;
}

const struct pari_backend pari_backend_thread = { thread_start, thread_ended, thread_end, true };
