/* SPDX-License-Identifier: MIT
 *
 * race.c: forced orders for each pair of a sleeper and its waker: the waker dies at some instruction before, between or after its
 * commit and its wake; the sleeper dies woken, before it runs or some instructions later; a third one barges in between.
 * Another sleeper, behind the first, must go on for all that.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

struct objects {
    par_lock lock;
    par_semaphore semaphore;
    par_condition condition;
    par_event event;
    par_barrier barrier;
};

static struct objects *o;
static par_queue *q;

static void
make(void)
{
    o = par_shared_alloc(1, sizeof *o);
    expect_ready(o != NULL);
    expect_ready(par_lock_acquire(&o->lock, PAR_NOWAIT) == 0 && par_lock_release(&o->lock) == 0);
}

/* ---- lock: the waker holds it, victim 0 and then a helper wait */

static int
lock_waiter(int i)
{
    helper_park(i);
    if (par_lock_acquire(&o->lock, par_in(2 * PATIENCE)) != 0)
        return HUNG;
    return par_lock_release(&o->lock) == 0 ? FINE : TORN;
}

static void
make_fair(void)
{
    o = par_shared_alloc(1, sizeof *o);
    expect_ready(o != NULL && par_lock_init(&o->lock, &(par_lock_opts){ .fair = true }) == 0);
}

/* Both are prepared before the first of them is stepped. */
static void
prepare_lock(int which)
{
    (void)pari_self();
    if (which == 1 && par_lock_acquire(&o->lock, par_in(2)) != 0)
        find(BROKEN, "the waker does not get the lock");
}

static void
act_lock(int which)
{
    if (which == 0)
        (void)par_lock_acquire(&o->lock, par_in(10));
    else
        (void)par_lock_release(&o->lock);
}

static void
barge_lock(void)
{
    if (par_lock_acquire(&o->lock, PAR_NOWAIT) == 0)
        (void)par_lock_release(&o->lock);
}

static void
check_lock(void)
{
    helper_start(0, lock_waiter);
    helper_join(0);
    expect_done(par_lock_acquire(&o->lock, soon()));
    expect(TORN, par_lock_release(&o->lock) == 0);
}

/* ---- semaphore */

static void
act_semaphore(int which)
{
    if (which == 0)
        (void)par_semaphore_acquire(&o->semaphore, par_in(10));
    else
        (void)par_semaphore_release(&o->semaphore, 2);
}

static int
semaphore_waiter(int i)
{
    helper_park(i);
    return par_semaphore_acquire(&o->semaphore, par_in(2 * PATIENCE)) == 0 ? FINE : HUNG;
}

static void
make_semaphore(void)
{
    make();
    expect_ready(par_semaphore_init(&o->semaphore, 0, NULL) == 0);
    helper_start(0, semaphore_waiter);
    helper_await(0);
}

/* The waker put two: one for the dead at most. */
static void
check_semaphore(void)
{
    if (!has_ended(1))
        expect(TORN, par_semaphore_release(&o->semaphore, 1) == 0);
    helper_join(0);
}

/* ---- condition */

static int
wait_change(par_time deadline)
{
    if (par_lock_acquire(&o->lock, deadline) != 0)
        return HUNG;
    while (!atomic_load(&page->note[0]))
        if (par_condition_wait(&o->condition, &o->lock, deadline) != 0)
            return errno == ETIMEDOUT ? HUNG : TORN;
    return par_lock_release(&o->lock) == 0 ? FINE : TORN;
}

static int
condition_waiter(int i)
{
    helper_park(i);
    return wait_change(par_in(2 * PATIENCE));
}

static void
make_condition(void)
{
    make();
    helper_start(0, condition_waiter);
    helper_await(0);
}

static void
notify(void)
{
    if (par_lock_acquire(&o->lock, par_in(2)) != 0)
        return;
    atomic_store(&page->note[0], 1);
    (void)par_condition_notify_all(&o->condition);
    (void)par_lock_release(&o->lock);
}

static void
act_condition(int which)
{
    if (which == 0)
        (void)wait_change(par_in(10));
    else
        notify();
}

static void
check_condition(void)
{
    if (!has_ended(1))
        notify();
    helper_join(0);
}

/* ---- event */

static int
event_waiter(int i)
{
    helper_park(i);
    return par_event_wait(&o->event, par_in(2 * PATIENCE)) == 0 ? FINE : HUNG;
}

static void
make_event(void)
{
    make();
    helper_start(0, event_waiter);
    helper_await(0);
}

static void
act_event(int which)
{
    if (which == 1)
        (void)par_event_set(&o->event);
    else if (par_event_wait(&o->event, par_in(10)) != 0)
        return;
}

static void
check_event(void)
{
    if (!has_ended(1))
        expect(TORN, par_event_set(&o->event) == 0);
    helper_join(0);
}

/* ---- queue: put wakes get; one message for the dead at most */

static int
getter(int i)
{
    long number;

    helper_park(i);
    return par_queue_get(q, &number, sizeof number, par_in(2 * PATIENCE)) > 0 ? FINE : HUNG;
}

static void
make_queue(void)
{
    q = par_queue_new(NULL);
    expect_ready(q != NULL);
    helper_start(0, getter);
    helper_await(0);
}

static void
act_queue(int which)
{
    long number = 1;

    if (which == 0) {
        atomic_store(&page->victim[0].result, par_queue_get(q, &number, sizeof number, par_in(10)));
        return;
    }
    for (int i = 0; i < 2; i++)
        (void)par_queue_put(q, &number, sizeof number, par_in(10));
}

static void
barge_queue(void)
{
    (void)par_queue_qsize(q);
}

static void
check_queue(void)
{
    long number = 2;

    if (!has_ended(1))
        expect_done(par_queue_put(q, &number, sizeof number, soon()));
    helper_join(0);
    par_queue_free(q);
}

/* ---- barrier of three: the waker arrives last */

static int
act_as_party(par_time deadline)
{
    return par_barrier_wait(&o->barrier, deadline);
}

static int
party(int i)
{
    helper_park(i);
    if (act_as_party(par_in(2 * PATIENCE)) >= 0)
        return FINE;
    return errno == ETIMEDOUT ? HUNG : errno == EOWNERDEAD || errno == ECANCELED ? FINE : TORN;
}

static void
make_barrier(void)
{
    make();
    expect_ready(par_barrier_init(&o->barrier, 3, NULL, NULL) == 0);
    helper_start(0, party);
    helper_await(0);
}

static void
act_barrier(int which)
{
    atomic_store(&page->victim[which].result, act_as_party(par_in(10)));
}

static void
check_barrier(void)
{
    helper_join(0); /* its parties, victim 0 at least, have arrived and died: no deadline is needed */
}

const struct race races[] = {
    { "lock", make, prepare_lock, act_lock, barge_lock, check_lock, NULL },
    { "fair_lock", make_fair, prepare_lock, act_lock, barge_lock, check_lock, NULL },
    { "semaphore", make_semaphore, NULL, act_semaphore, NULL, check_semaphore, NULL },
    { "condition", make_condition, NULL, act_condition, NULL, check_condition, NULL },
    { "event", make_event, NULL, act_event, NULL, check_event, NULL },
    { "barrier", make_barrier, NULL, act_barrier, NULL, check_barrier, NULL },
    { "queue", make_queue, NULL, act_queue, barge_queue, check_queue, NULL },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL },
};
