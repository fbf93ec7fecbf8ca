/* SPDX-License-Identifier: MIT
 *
 * backend_process.c: workers that are processes of their own.
 *
 * They are daemons: the kernel ends them with the pool's creator. How one ended is known once it has been reaped, and by then what
 * it had allocated has been swept.
 */
#include "crew.h"

#include <stdio.h>

#define DYING_NS 50000000 /* from the first notice of a death to the end of the process; longer only under great load */

struct start {
    const struct pari_crew *crew;
    unsigned index;
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
process_main(void *arg)
{
    const struct start *start = arg;
    const struct pari_crew *crew = start->crew;
    struct pari_seat seat = { .pool = crew->pool, .index = start->index, .is_process = true, .pid = pari_self_pid() };
    int refusal;

    par_interrupt(false); /* the creator's affair */
    seat.record = &seat.pool->worker[seat.index];
    pthread_cleanup_push(thread_is_gone, NULL);
    refusal = pari_worker_run(&seat, crew->opts.initializer, (void *)crew->opts.initarg);
    if (refusal == 0 && crew->opts.finalizer != NULL &&
        (atomic_load(&seat.pool->state) == PARI_POOL_CLOSED || atomic_load(&seat.record->has_retired) != 0))
        crew->opts.finalizer(seat.state);
    pthread_cleanup_pop(0);
    return refusal == 0 ? 0 : 1;
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
