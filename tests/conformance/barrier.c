/* SPDX-License-Identifier: MIT
 *
 * barrier.c: behaviours 61 to 72: event and barrier.
 */
#include "conformance.h"

/* ---- 61: event */

static int
set_event(void *arg)
{
    return par_event_set(arg);
}

static void
conf_061_event(void)
{
    par_event *event = shared(par_event);
    par_time start = par_now();

    must(!par_event_is_set(event));
    must_fail(par_event_wait(event, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_event_wait(event, par_in(0)), ETIMEDOUT);
    must_fail(par_event_wait(event, par_in(0.1)), ETIMEDOUT);
    must(par_since(start) >= 0.1);
    must(par_event_set(event) == 0 && par_event_is_set(event));
    must(par_event_wait(event, PAR_NOWAIT) == 0 && par_event_wait(event, par_in(0.1)) == 0);
    must(par_event_clear(event) == 0 && !par_event_is_set(event));
    struct peer peer = peer_start(set_event, event);
    must(par_event_wait(event, PAR_FOREVER) == 0 && par_event_is_set(event) && peer_end(peer) == 0);
}

/* ---- 62 to 72: barrier, with five parties: the test and four peers */

#define PARTIES 5

struct meeting {
    par_barrier barrier, other;
    _Atomic int next_ticket, n_passed, n_actions, n_first, n_broken, n_late;
    int rounds;
};

static int
count_action(void *arg)
{
    atomic_fetch_add(&((struct meeting *)arg)->n_actions, 1);
    return 0;
}

static struct meeting *
new_meeting(void)
{
    struct meeting *meeting = shared(struct meeting);

    must(par_barrier_init(&meeting->barrier, PARTIES, count_action, meeting) == 0);
    must(par_barrier_init(&meeting->other, PARTIES, NULL, NULL) == 0);
    return meeting;
}

/* Everybody runs fn; all end with 0. */
static void
meet(int (*fn)(void *arg), struct meeting *meeting)
{
    struct peer peer[PARTIES - 1];

    peers_start(peer, PARTIES - 1, fn, meeting);
    must(fn(meeting) == 0);
    peers_end(peer, PARTIES - 1);
}

static void
pass(par_barrier *barrier)
{
    int n = par_barrier_wait(barrier, soon());

    must(n >= 0 && n < PARTIES);
}

/* Nobody counts round i before all have come to it. */
static int
go_round(void *arg)
{
    struct meeting *meeting = arg;

    for (int i = 0; i < meeting->rounds; i++) {
        pass(&meeting->barrier);
        must(atomic_fetch_add(&meeting->n_passed, 1) / PARTIES == i);
    }
    return 0;
}

static void
go_rounds(int rounds)
{
    struct meeting *meeting = new_meeting();

    meeting->rounds = rounds;
    meet(go_round, meeting);
    must(atomic_load(&meeting->n_passed) == rounds * PARTIES && atomic_load(&meeting->n_actions) == rounds);
    must(par_barrier_n_waiting(&meeting->barrier) == 0 && !par_barrier_broken(&meeting->barrier));
}

static void
conf_062_barrier(void)
{
    go_rounds(1);
}

static void
conf_063_barrier_10(void)
{
    go_rounds(10);
}

static int
count_first(void *arg)
{
    struct meeting *meeting = arg;
    int n = par_barrier_wait(&meeting->barrier, soon());

    must(n >= 0 && n < PARTIES);
    if (n == 0)
        atomic_fetch_add(&meeting->n_first, 1);
    pass(&meeting->other);
    must(atomic_load(&meeting->n_first) == 1 && atomic_load(&meeting->n_actions) == 1);
    return 0;
}

static void
conf_064_wait_return(void)
{
    meet(count_first, new_meeting());
}

static void
conf_065_action(void)
{
    struct meeting *meeting = new_meeting();

    meet(count_first, meeting);
    must(atomic_load(&meeting->n_actions) == 1);
}

static int
fail_action(void *arg)
{
    (void)arg;
    return 1;
}

/* One calls abort, or waits for the four and resets; the others are waiting. */
static int
wait_or(struct meeting *meeting, int (*act)(par_barrier *barrier))
{
    if (atomic_fetch_add(&meeting->next_ticket, 1) == PARTIES / 2) {
        await(par_barrier_n_waiting(&meeting->barrier) == PARTIES - 1);
        return act(&meeting->barrier);
    }
    must_fail(par_barrier_wait(&meeting->barrier, soon()), ECANCELED);
    atomic_fetch_add(&meeting->n_broken, 1);
    return 0;
}

static int
wait_or_abort(void *arg)
{
    return wait_or(arg, par_barrier_abort);
}

static void
conf_066_abort(void)
{
    struct meeting *meeting = new_meeting();

    meet(wait_or_abort, meeting);
    must(atomic_load(&meeting->n_broken) == PARTIES - 1 && par_barrier_broken(&meeting->barrier));
    must_fail(par_barrier_wait(&meeting->barrier, soon()), ECANCELED);

    par_barrier *alone = shared(par_barrier);
    must(par_barrier_init(alone, 1, fail_action, NULL) == 0);
    must_fail(par_barrier_wait(alone, soon()), ECANCELED);
    must(par_barrier_broken(alone));
}

static int
wait_or_reset(void *arg)
{
    struct meeting *meeting = arg;

    must(wait_or(meeting, par_barrier_reset) == 0);
    pass(&meeting->other);
    pass(&meeting->barrier);
    atomic_fetch_add(&meeting->n_passed, 1);
    return 0;
}

static void
conf_067_reset(void)
{
    struct meeting *meeting = new_meeting();

    meet(wait_or_reset, meeting);
    must(atomic_load(&meeting->n_broken) == PARTIES - 1 && atomic_load(&meeting->n_passed) == PARTIES);
    must(!par_barrier_broken(&meeting->barrier));
}

static int
abort_then_reset(void *arg)
{
    struct meeting *meeting = arg;

    must(wait_or(meeting, par_barrier_abort) == 0);
    int n = par_barrier_wait(&meeting->other, soon());
    must(n >= 0);
    if (n == 0)
        must(par_barrier_broken(&meeting->barrier) && par_barrier_reset(&meeting->barrier) == 0);
    pass(&meeting->other);
    pass(&meeting->barrier);
    atomic_fetch_add(&meeting->n_passed, 1);
    return 0;
}

static void
conf_068_abort_and_reset(void)
{
    struct meeting *meeting = new_meeting();

    meet(abort_then_reset, meeting);
    must(atomic_load(&meeting->n_broken) == PARTIES - 1 && atomic_load(&meeting->n_passed) == PARTIES);
}

static int
wait_for_one_that_is_late(void *arg)
{
    struct meeting *meeting = arg;
    bool is_late = atomic_fetch_add(&meeting->next_ticket, 1) == PARTIES / 2;

    if (is_late)
        await(par_barrier_broken(&meeting->barrier));
    must(par_barrier_wait(&meeting->barrier, is_late ? soon() : par_in(0.2)) == -1);
    must(errno == ECANCELED || (errno == ETIMEDOUT && !is_late));
    atomic_fetch_add(errno == ETIMEDOUT ? &meeting->n_late : &meeting->n_broken, 1);
    return 0;
}

static void
conf_069_timeout(void)
{
    struct meeting *meeting = new_meeting();

    meet(wait_for_one_that_is_late, meeting);
    must(atomic_load(&meeting->n_late) >= 1);
    must(atomic_load(&meeting->n_late) + atomic_load(&meeting->n_broken) == PARTIES && par_barrier_broken(&meeting->barrier));
}

static void
conf_071_single_thread(void)
{
    par_barrier *alone = shared(par_barrier);

    must(par_barrier_init(alone, 1, NULL, NULL) == 0);
    must(par_barrier_wait(alone, PAR_NOWAIT) == 0 && par_barrier_wait(alone, soon()) == 0);
}

static void
conf_072_thousand(void)
{
    go_rounds(1000);
}

const struct behaviour barrier_behaviours[] = {
    PASSES(061, event, IN_BOTH, "unset, set, cleared; waited for in vain, not early; set by another; at once when it is set",
           "par_event_set, par_event_wait"),
    PASSES(062, barrier, IN_BOTH, "five parties go in step; none waits afterwards", "par_barrier_wait, par_barrier_n_waiting"),
    PASSES(063, barrier_10, IN_BOTH, "ten times in a row", "par_barrier_wait"),
    PASSES(064, wait_return, IN_BOTH, "exactly one party gets 0", "par_barrier_wait"),
    PASSES(065, action, IN_BOTH, "it runs once in each round, before anybody goes on", "par_barrier_init"),
    PASSES(066, abort, IN_BOTH, "all that wait get ECANCELED, and it is broken; so does an action that fails",
           "par_barrier_abort, par_barrier_broken"),
    PASSES(067, reset, IN_BOTH, "all that wait get ECANCELED, and it can be used", "par_barrier_reset"),
    PASSES(068, abort_and_reset, IN_BOTH, "one that was aborted can be used after a reset", "par_barrier_reset"),
    PASSES(069, timeout, IN_BOTH, "one party is late: all are told, itself included", "par_barrier_wait"),
    CANNOT(070, default_timeout, "a libpar barrier has no timeout of its own: every wait says its deadline"),
    PASSES(071, single_thread, IN_PROCESSES, "one party of one passes at once", "par_barrier_wait"),
    PASSES(072, thousand, IN_BOTH, "a thousand rounds of five parties, strictly in step", "par_barrier_wait"),
    END_OF_TABLE
};
