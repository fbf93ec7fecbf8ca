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
    par_rlock rlock;
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

/* ---- rlock */

static int
rlock_waiter(int i)
{
    helper_park(i);
    if (par_rlock_acquire(&o->rlock, par_in(2 * PATIENCE)) != 0)
        return HUNG;
    return par_rlock_release(&o->rlock) == 0 ? FINE : TORN;
}

static void
prepare_rlock(int which)
{
    (void)pari_self();
    if (which == 1 && par_rlock_acquire(&o->rlock, par_in(2)) != 0)
        find(BROKEN, "the waker does not get the lock");
}

static void
act_rlock(int which)
{
    if (which == 0)
        (void)par_rlock_acquire(&o->rlock, par_in(10));
    else
        (void)par_rlock_release(&o->rlock);
}

static void
barge_rlock(void)
{
    if (par_rlock_acquire(&o->rlock, PAR_NOWAIT) == 0)
        (void)par_rlock_release(&o->rlock);
}

static void
check_rlock(void)
{
    helper_start(0, rlock_waiter);
    helper_join(0);
    expect_done(par_rlock_acquire(&o->rlock, soon()));
    expect(TORN, par_rlock_release(&o->rlock) == 0);
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

/* The waker has taken both tokens before anybody waits. */
static void
make_robust(void)
{
    make();
    expect_ready(par_semaphore_init(&o->semaphore, 2, &(par_semaphore_opts){ .robust = true }) == 0);
}

static void
prepare_robust(int which)
{
    (void)pari_self();
    for (int i = 0; which == 1 && i < 2; i++)
        if (par_semaphore_acquire(&o->semaphore, par_in(2)) != 0)
            find(BROKEN, "the waker does not get the tokens");
}

/* Both tokens are there again, whoever died with them. */
static void
check_robust(void)
{
    for (int i = 0; i < 2; i++)
        expect_done(par_semaphore_acquire(&o->semaphore, soon()));
    expect(DUPLICATED, par_semaphore_acquire(&o->semaphore, PAR_NOWAIT) != 0);
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

/* ---- a full queue: get wakes put */

static int
putter(int i)
{
    long number = 3;

    helper_park(i);
    return par_queue_put(q, &number, sizeof number, par_in(2 * PATIENCE)) == 0 ? FINE : HUNG;
}

static void
make_full_queue(void)
{
    long number = 0;

    q = par_queue_new(&(par_queue_opts){ .maxsize = 2 });
    expect_ready(q != NULL && par_queue_put(q, &number, sizeof number, PAR_NOWAIT) == 0);
    expect_ready(par_queue_put(q, &number, sizeof number, PAR_NOWAIT) == 0);
    helper_start(0, putter);
    helper_await(0);
}

static void
act_full_queue(int which)
{
    long number = 1;

    if (which == 0) {
        (void)par_queue_put(q, &number, sizeof number, par_in(10));
        return;
    }
    for (int i = 0; i < 2; i++)
        (void)!par_queue_get(q, &number, sizeof number, par_in(10));
}

/* The dead may have taken one place at most. */
static void
check_full_queue(void)
{
    long number;

    if (!has_ended(1))
        expect_done(par_queue_get(q, &number, sizeof number, soon()));
    helper_join(0);
    par_queue_free(q);
}

/* ---- task_done wakes join */

static int
joiner(int i)
{
    helper_park(i);
    return par_queue_join(q, par_in(2 * PATIENCE)) >= 0 ? FINE : errno == ETIMEDOUT ? HUNG : TORN;
}

static void
make_tasks(void)
{
    long number = 1;

    q = par_queue_new(NULL);
    expect_ready(q != NULL && par_queue_put(q, &number, sizeof number, PAR_NOWAIT) == 0);
}

static void
prepare_task(int which)
{
    long number;

    (void)pari_self();
    if (which == 1 && par_queue_get(q, &number, sizeof number, par_in(2)) <= 0)
        find(BROKEN, "the waker gets no message");
    if (which == 1) { /* the other joiner sleeps first */
        helper_start(0, joiner);
        helper_await(0);
    }
}

static void
act_task(int which)
{
    if (which == 0)
        atomic_store(&page->victim[0].result, par_queue_join(q, par_in(10)));
    else
        (void)par_queue_task_done(q);
}

/* The world's own join ends too, and the message is told as lost once at most. */
static void
check_task(void)
{
    ssize_t lost = par_queue_join(q, soon());

    if (lost < 0)
        find(errno == ETIMEDOUT ? HUNG : TORN, "join: errno %d", errno);
    expect(DUPLICATED, lost <= !has_ended(1));
    par_queue_free(q);
}

/* ---- pipe: send wakes recv, recv wakes send; the world then frees both ends */

static par_conn *end[2];

static void
make_pipe(void)
{
    leak_mark();
    expect_ready(par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
}

static par_conn *
give_receiver_first(int which)
{
    return end[which];
}

static par_conn *
give_sender_first(int which)
{
    return end[1 - which];
}

static void
act_pipe(int which)
{
    long number = 1;

    if (which == 0)
        (void)!par_conn_recv(end[0], &number, sizeof number, par_in(10));
    else
        (void)par_conn_send(end[1], &number, sizeof number, par_in(10));
}

static char big[800]; /* five of them fill it */

static void
make_full_pipe(void)
{
    make_pipe();
    while (par_conn_send(end[1], big, sizeof big, PAR_NOWAIT) == 0)
        ;
}

/* Half of it has to be free before the sender is woken. */
static void
act_full_pipe(int which)
{
    if (which == 0)
        (void)par_conn_send(end[1], big, sizeof big, par_in(10));
    for (int i = 0; which == 1 && i < 5; i++)
        (void)!par_conn_recv(end[0], big, sizeof big, par_in(10));
}

static void
check_pipe(void)
{
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    give_back_victims();
    leak_check(0);
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
    { .name = "lock", .setup = make, .prepare = prepare_lock, .act = act_lock, .barge = barge_lock, .check = check_lock },
    { .name = "fair_lock",
      .setup = make_fair,
      .prepare = prepare_lock,
      .act = act_lock,
      .barge = barge_lock,
      .check = check_lock },
    { .name = "rlock", .setup = make, .prepare = prepare_rlock, .act = act_rlock, .barge = barge_rlock, .check = check_rlock },
    { .name = "semaphore", .setup = make_semaphore, .act = act_semaphore, .check = check_semaphore },
    { .name = "robust_semaphore",
      .setup = make_robust,
      .prepare = prepare_robust,
      .act = act_semaphore,
      .check = check_robust },
    { .name = "condition", .setup = make_condition, .act = act_condition, .check = check_condition },
    { .name = "event", .setup = make_event, .act = act_event, .check = check_event },
    { .name = "barrier", .setup = make_barrier, .act = act_barrier, .check = check_barrier },
    { .name = "queue", .setup = make_queue, .act = act_queue, .barge = barge_queue, .check = check_queue },
    { .name = "queue_full", .setup = make_full_queue, .act = act_full_queue, .barge = barge_queue, .check = check_full_queue },
    { .name = "queue_join", .setup = make_tasks, .prepare = prepare_task, .act = act_task, .check = check_task },
    { .name = "pipe", .setup = make_pipe, .act = act_pipe, .check = check_pipe, .give = give_receiver_first },
    { .name = "pipe_full", .setup = make_full_pipe, .act = act_full_pipe, .check = check_pipe, .give = give_sender_first },
    { .name = NULL },
};
