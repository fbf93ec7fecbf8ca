/* SPDX-License-Identifier: MIT
 *
 * backend_process.c: workers that are processes of their own.
 *
 * They are daemons: the kernel ends them with the pool's creator. How one ended is known once it has been reaped, and by then what
 * it had allocated has been swept.
 */
#include "crew.h"

#include <signal.h>
#include <stdio.h>

#define DYING_NS 50000000 /* from the kernel's first notice of a death to the end of the process; longer only under great load */

struct start {
    const struct pari_crew *crew;
    unsigned index;
};

static int
process_main(void *arg)
{
    const struct start *start = arg;
    const struct pari_crew *crew = start->crew;
    struct pari_seat seat = { .pool = crew->pool, .index = start->index, .is_process = true, .pid = pari_self_pid() };
    int refusal;

    par_interrupt(false); /* the creator's affair */
    seat.record = &seat.pool->worker[seat.index];
    refusal = pari_worker_run(&seat, crew->opts.initializer, (void *)crew->opts.initarg);
    if (refusal != 0)
        return 1;
    if (crew->opts.finalizer != NULL && atomic_load(&seat.pool->state) == PARI_POOL_CLOSED)
        crew->opts.finalizer(seat.state);
    return 0;
}

static int
process_start(struct pari_crew *crew, unsigned index)
{
    struct start start = { crew, index };
    struct pari_hand *hand = &crew->hand[index];
    char name[sizeof crew->name + 16];

    (void)snprintf(name, sizeof name, "%s-%u", crew->name, index);
    hand->child = pari_child_start(process_main, &start,
                                   &(struct pari_child_opts){ .name = name, .is_daemon = true, .is_service = true });
    if (hand->child == NULL)
        return -1;
    hand->alive = 0;
    atomic_store(&crew->pool->worker[index].member, hand->child->member);
    return 0;
}

/* The kernel marks the alive word of a process some microseconds before the process can be reaped. A sleeper is woken only once,
 * by the mark; so whoever sees a marked word stays with that process until it is gone. */
static bool
is_dying(struct pari_hand *hand)
{
    uint32_t alive = atomic_load(pari_member_alive_word(hand->child->member)), before = hand->alive;

    hand->alive = alive;
    return before != 0 && alive != before;
}

static bool
process_ended(struct pari_crew *crew, unsigned index, struct pari_end *end)
{
    struct pari_hand *hand = &crew->hand[index];

    if (!pari_child_poll(hand->child) &&
        (!is_dying(hand) || pari_child_wait(hand->child, PAR_TIME(pari_now_ns() + DYING_NS)) != 0))
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
    (void)pari_child_kill(crew->hand[index].child, signal); /* EPERM: it has changed its user; its death is waited for in vain */
}

const struct pari_backend pari_backend_process = { process_start, process_ended, process_end, false };
