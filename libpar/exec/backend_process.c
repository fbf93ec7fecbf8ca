/* SPDX-License-Identifier: MIT
 *
 * backend_process.c: workers that are processes of their own.
 *
 * They are daemons: the kernel ends them with the pool's creator. How one ended is known once it has been reaped, and by then what
 * it had allocated has been swept.
 */
#include "birth.h"
#include "crew.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DYING_NS 50000000 /* from the first notice of a death to the end of the process; longer only under great load */

struct start { /* of a worker, in its process */
    par_pool *pool;
    unsigned index;
    int (*initializer)(void *arg, void **state);
    void *initarg;
    void (*finalizer)(void *state);
};

/* The same for a worker that is no fork; initarg, if it has a size, is behind it. */
struct travel {
    par_pool *pool;
    unsigned index;
    bool has_initializer, has_finalizer;
    struct pari_code initializer, finalizer;
    void *initarg;
    size_t initarg_size;
    max_align_t copy[];
};

/* A task has called pthread_exit: the worker is gone, whatever other threads it may have left behind. */
static void
thread_is_gone(void *unused)
{
    (void)unused;
    (void)fflush(stdout); /* as at any other end of a worker */
    pari_exit_now(0);
}

static int
work(const struct start *start, bool is_away)
{
    struct pari_seat seat = {
        .pool = start->pool, .index = start->index, .is_process = true, .is_away = is_away, .pid = pari_self_pid()
    };
    int refusal;

    par_interrupt(false); /* the creator's affair */
    seat.record = &seat.pool->worker[seat.index];
    pthread_cleanup_push(thread_is_gone, NULL);
    refusal = pari_worker_run(&seat, start->initializer, start->initarg);
    if (refusal == 0 && start->finalizer != NULL &&
        (atomic_load(&seat.pool->state) == PARI_POOL_CLOSED || atomic_load(&seat.record->has_retired) != 0))
        start->finalizer(seat.state);
    pthread_cleanup_pop(0);
    return refusal == 0 ? 0 : 1;
}

static int
fork_main(void *arg)
{
    return work(arg, false);
}

static int
travel_main(void *arg)
{
    struct travel *travel = arg;
    struct start start = { .pool = travel->pool, .index = travel->index };

    if (travel->has_initializer)
        start.initializer = (int (*)(void *, void **))pari_code_find(&travel->initializer);
    if (travel->has_finalizer)
        start.finalizer = (void (*)(void *))pari_code_find(&travel->finalizer);
    start.initarg = travel->initarg_size > 0 ? travel->copy : travel->initarg;
    if ((travel->has_initializer && start.initializer == NULL) || (travel->has_finalizer && start.finalizer == NULL))
        return ENOEXEC;
    return work(&start, true);
}

/* NULL: ENOMEM; said: EINVAL, ENOTSUP. free() it. */
static struct travel *
pack(const struct pari_crew *crew, unsigned index)
{
    const par_pool_opts *opts = &crew->opts;
    struct travel *travel;

    if (opts->initarg_size == 0 && pari_travels(opts->initarg) != 0)
        return NULL;
    if (opts->initarg_size > PTRDIFF_MAX - sizeof *travel)
        return pari_null(EOVERFLOW);
    travel = pari_malloc(sizeof *travel + opts->initarg_size);
    if (travel == NULL)
        return NULL;
    travel->pool = crew->pool;
    travel->index = index;
    travel->has_initializer = opts->initializer != NULL;
    travel->has_finalizer = opts->finalizer != NULL;
    travel->initarg = (void *)(uintptr_t)opts->initarg;
    travel->initarg_size = opts->initarg_size;
    if (opts->initarg_size > 0)
        memcpy(travel->copy, opts->initarg, opts->initarg_size);
    if ((!travel->has_initializer || pari_code_of((void (*)(void))opts->initializer, &travel->initializer) == 0) &&
        (!travel->has_finalizer || pari_code_of((void (*)(void))opts->finalizer, &travel->finalizer) == 0))
        return travel;
    free(travel);
    return NULL;
}

static struct pari_child *
start_away(const struct pari_crew *crew, unsigned index, struct pari_child_opts *opts)
{
    struct travel *travel = pack(crew, index);
    struct pari_child *child = NULL;

    if (travel == NULL)
        return NULL;
    opts->arg_size = sizeof *travel + travel->initarg_size;
    child = pari_child_start(travel_main, travel, opts);
    free(travel);
    return child;
}

static struct pari_child *
start_fork(const struct pari_crew *crew, unsigned index, const struct pari_child_opts *opts)
{
    struct start start = { .pool = crew->pool,
                           .index = index,
                           .initializer = crew->opts.initializer,
                           .initarg = (void *)(uintptr_t)crew->opts.initarg,
                           .finalizer = crew->opts.finalizer };

    return pari_child_start(fork_main, &start, opts);
}

static int
process_start(struct pari_crew *crew, unsigned index)
{
    struct pari_hand *hand = &crew->hand[index];
    char name[sizeof crew->name + 16];
    struct pari_child_opts opts = { .name = name, .is_daemon = true, .is_service = true, .method = crew->method };

    (void)snprintf(name, sizeof name, "%s-%u", crew->name, index);
    hand->child = crew->reach == PARI_SEES_SHARED ? start_away(crew, index, &opts) : start_fork(crew, index, &opts);
    if (hand->child == NULL)
        return -1;
    hand->alive = 0;
    atomic_store(&crew->pool->worker[index].member, hand->child->member);
    return 0;
}

/* The alive word of a process once it is born; 0 before: its slot's last owner may have left a mark there. */
static uint32_t
alive_word(pari_member member)
{
    return pari_member_pid(member) != 0 ? atomic_load(pari_member_alive_word(member)) : 0;
}

/* The kernel marks the alive word of a process some microseconds before the process can be reaped, and it wakes a sleeper only
 * once, by that mark. So whoever sees the word change stays with that process until it is gone; and while the word stays as it
 * is, the kernel need not be asked. */
static bool
is_gone(struct pari_hand *hand)
{
    pari_member member = hand->child->member;
    uint32_t before = hand->alive, alive = alive_word(member);

    hand->alive = alive;
    if (alive != 0 && alive == before && !pari_member_is_dead(member))
        return false;
    if (pari_child_poll(hand->child))
        return true;
    return before != 0 && alive != before && pari_child_wait(hand->child, PAR_TIME(pari_now_ns() + DYING_NS)) == 0;
}

static bool
process_ended(struct pari_crew *crew, unsigned index, struct pari_end *end)
{
    struct pari_hand *hand = &crew->hand[index];

    if (!is_gone(hand))
        return false;
    *end = (struct pari_end){ hand->child->pid, hand->child->exit, hand->child->error };
    atomic_store(&crew->pool->worker[index].member, 0);
    pari_child_drop(hand->child);
    hand->child = NULL;
    return true;
}

static void
process_end(struct pari_crew *crew, unsigned index, int signal)
{
    (void)pari_child_kill(crew->hand[index].child, signal); /* EPERM: it has changed its user, and may go on */
}

const struct pari_backend pari_backend_process = { process_start, process_ended, process_end, false };
