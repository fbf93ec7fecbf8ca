/* SPDX-License-Identifier: MIT
 *
 * sync.c: semaphore, condition, event, barrier: in each role, with sleepers beside.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

struct objects {
    par_semaphore semaphore;
    par_lock lock;
    par_condition condition;
    par_event event;
    par_barrier barrier;
};

static struct objects *o;

static void
make(void)
{
    o = par_shared_alloc(1, sizeof *o);
    expect_ready(o != NULL);
}

/* ---- semaphore */

static void
set_up_tokens(unsigned n, bool is_robust)
{
    make();
    expect_ready(par_semaphore_init(&o->semaphore, n, &(par_semaphore_opts){ .max = 2, .robust = is_robust }) == 0);
}

static void
set_up_semaphore(void)
{
    set_up_tokens(2, false);
}

static void
set_up_robust(void)
{
    set_up_tokens(2, true);
}

static void
take_token(int which)
{
    (void)which;
    (void)par_semaphore_acquire(&o->semaphore, par_in(10));
}

/* What is there can be taken, and no more. */
static int
drain(void)
{
    int n = 0;

    while (par_semaphore_acquire(&o->semaphore, PAR_NOWAIT) == 0)
        n++;
    expect(TORN, errno == ETIMEDOUT);
    return n;
}

static void
check_tokens_plain(void)
{
    int n = drain(), n_ended = has_ended(0) + has_ended(1);

    expect(LOST, n >= 2 - (page->victim[0].pid != 0) - (page->victim[1].pid != 0));
    expect(DUPLICATED, n <= 2 - n_ended);
    expect(TORN, par_semaphore_release(&o->semaphore, 1) == 0);
    expect_done(par_semaphore_acquire(&o->semaphore, soon()));
    par_shared_free(o);
}

static void
check_tokens_robust(void)
{
    expect_done(par_semaphore_acquire(&o->semaphore, soon()));
    expect_done(par_semaphore_acquire(&o->semaphore, soon()));
    expect(DUPLICATED, par_semaphore_acquire(&o->semaphore, PAR_NOWAIT) != 0);
    expect(TORN, par_semaphore_release(&o->semaphore, 2) == 0);
    expect(TORN, par_semaphore_release(&o->semaphore, 1) == -1 && errno == ERANGE);
    par_shared_free(o);
}

static int
token_waiter(int i)
{
    helper_park(i);
    return par_semaphore_acquire(&o->semaphore, par_in(2 * PATIENCE)) == 0 ? FINE : HUNG;
}

static void
set_up_no_token(void)
{
    set_up_tokens(0, false);
    helper_start(0, token_waiter);
    helper_await(0);
}

static void
put_token(int which)
{
    (void)which;
    (void)par_semaphore_release(&o->semaphore, 1);
}

/* The sleeper gets what was released; if nothing was, one that a survivor releases. */
static void
check_put_token(void)
{
    int n;

    if (!has_ended(0) && !has_ended(1)) /* both may have put one for all that, and then it is full */
        expect(TORN, par_semaphore_release(&o->semaphore, 1) == 0 || errno == ERANGE);
    helper_join(0);
    n = drain();
    expect(DUPLICATED, n <= 2);
    par_shared_free(o);
}

/* Its holder puts a token back: once, whether it lives on or not. */
static void
take_first(int which)
{
    (void)which;
    (void)par_semaphore_acquire(&o->semaphore, PAR_NOWAIT);
}

static void
set_up_wanted_robust(void)
{
    set_up_tokens(0, true);
}

static void
set_up_wait_token(void)
{
    set_up_tokens(0, false);
}

static void
put_one(int which)
{
    (void)which;
    expect(TORN, par_semaphore_release(&o->semaphore, 1) == 0);
}

static void
check_waited_plain(void)
{
    int n = drain();

    expect(DUPLICATED, n <= 2 - has_ended(0) - has_ended(1));
    helper_start(0, token_waiter);
    expect(TORN, par_semaphore_release(&o->semaphore, 1) == 0);
    helper_join(0);
    par_shared_free(o);
}

/* Each token that was ever put is there again. */
static void
check_waited_robust(void)
{
    long n_put = atomic_load(&page->note[0]);
    int n = 0;

    for (long i = 0; i < n_put; i++) {
        expect_done(par_semaphore_acquire(&o->semaphore, soon()));
        n++;
    }
    expect(DUPLICATED, par_semaphore_acquire(&o->semaphore, PAR_NOWAIT) != 0);
    par_shared_free(o);
}

static void
put_one_noted(int which)
{
    if (atomic_load(&page->note[0]) < 2) {
        put_one(which);
        atomic_fetch_add(&page->note[0], 1);
    }
}

/* ---- condition */

static enum verdict
wait_notified(par_time deadline)
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
    return (int)wait_notified(par_in(2 * PATIENCE));
}

static void
set_up_condition(void)
{
    make();
    for (int i = 0; i < 2; i++)
        helper_start(i, condition_waiter);
    for (int i = 0; i < 2; i++)
        helper_await(i);
}

static void
wait_for_notice(int which)
{
    (void)which;
    (void)wait_notified(par_in(10));
}

static void
notify_all(int which)
{
    (void)which;
    if (par_lock_acquire(&o->lock, par_in(10)) != 0)
        return;
    atomic_store(&page->note[0], 1);
    (void)par_condition_notify_all(&o->condition);
    (void)par_lock_release(&o->lock);
}

/* Without the flag: one waiter is woken by each call. */
static void
notify_each(int which)
{
    (void)which;
    if (par_lock_acquire(&o->lock, par_in(10)) != 0)
        return;
    atomic_store(&page->note[0], 1);
    (void)par_condition_notify(&o->condition, 1);
    (void)par_condition_notify(&o->condition, 1);
    (void)par_condition_notify(&o->condition, 1);
    (void)par_lock_release(&o->lock);
}

static void
check_condition(void)
{
    if (!has_ended(0) && !has_ended(1)) {
        expect_done(par_lock_acquire(&o->lock, soon()));
        atomic_store(&page->note[0], 1);
        expect(TORN, par_condition_notify_all(&o->condition) == 0);
        expect(TORN, par_lock_release(&o->lock) == 0);
    }
    helper_join(0);
    helper_join(1);
    expect_done(par_lock_acquire(&o->lock, soon()));
    expect(TORN, par_condition_wait(&o->condition, &o->lock, par_in(0.001)) == 0 || errno == ETIMEDOUT);
    expect(TORN, par_lock_release(&o->lock) == 0);
    par_shared_free(o);
}

/* ---- event */

static int
event_waiter(int i)
{
    helper_park(i);
    return par_event_wait(&o->event, par_in(2 * PATIENCE)) == 0 ? FINE : HUNG;
}

static void
set_up_event(void)
{
    make();
    for (int i = 0; i < 2; i++)
        helper_start(i, event_waiter);
    for (int i = 0; i < 2; i++)
        helper_await(i);
}

static void
set_event(int which)
{
    (void)which;
    (void)par_event_set(&o->event);
}

static void
wait_event(int which)
{
    atomic_store(&page->victim[which].result, par_event_wait(&o->event, par_in(10)));
}

static void
check_set_event(void)
{
    helper_join(0);
    helper_join(1);
    expect(TORN, par_event_is_set(&o->event));
    expect(TORN, par_event_clear(&o->event) == 0 && !par_event_is_set(&o->event));
    expect(TORN, par_event_wait(&o->event, PAR_NOWAIT) == -1 && errno == ETIMEDOUT);
    par_shared_free(o);
}

static void
check_event(void)
{
    if (!has_ended(0) && !has_ended(1))
        expect(TORN, par_event_set(&o->event) == 0);
    check_set_event();
}

/* The last victim may have died when it had cleared it. */
static void
check_cleared_event(void)
{
    if (!has_ended(atomic_load(&page->victim[1].pid) != 0))
        expect(TORN, par_event_set(&o->event) == 0);
    check_set_event();
}

static void
clear_and_set(int which)
{
    (void)which;
    (void)par_event_clear(&o->event);
    (void)par_event_set(&o->event);
}

/* ---- barrier */

/* Passed is 100, broken 101: all of a generation say the same. */
static int
arrive(void)
{
    int arrived = par_barrier_wait(&o->barrier, par_in(2 * PATIENCE));

    if (arrived >= 0)
        return 100;
    return errno == ECANCELED || errno == EOWNERDEAD ? 101 : errno == ETIMEDOUT ? HUNG : TORN;
}

static int
party(int i)
{
    int how;

    helper_park(i);
    how = arrive();
    atomic_store(&page->note[i], how);
    return how >= 100 ? FINE : how;
}

static void
set_up_barrier(unsigned parties, int n_helpers)
{
    make();
    expect_ready(par_barrier_init(&o->barrier, parties, NULL, NULL) == 0);
    for (int i = 0; i < n_helpers; i++) {
        helper_start(i, party);
        helper_await(i);
    }
}

static void
set_up_last_party(void)
{
    set_up_barrier(3, 2);
}

static void
set_up_first_party(void)
{
    set_up_barrier(2, 0);
}

static void
be_party(int which)
{
    atomic_store(&page->victim[which].result, par_barrier_wait(&o->barrier, par_in(10)) >= 0 ? 100 : 101);
}

/* Is it of use again? */
static void
check_barrier_again(void)
{
    expect(TORN, par_barrier_reset(&o->barrier) == 0);
    expect(TORN, par_barrier_n_waiting(&o->barrier) == 0);
    expect(TORN, !par_barrier_broken(&o->barrier));
}

static void
check_last_party(void)
{
    /* A victim that was cut before it arrived is unknown to the barrier: the survivors' deadline, or here an abort, ends it. */
    if (!has_ended(0) && !has_ended(1)) {
        par_time start = par_now();
        while (par_since(start) < 0.02 && par_barrier_n_waiting(&o->barrier) == 2)
            nap();
        if (par_barrier_n_waiting(&o->barrier) == 2 && !par_barrier_broken(&o->barrier))
            expect(TORN, par_barrier_abort(&o->barrier) == 0);
    }
    helper_join(0);
    helper_join(1);
    expect(TORN, page->note[0] == page->note[1]);
    if (has_ended(0))
        expect(LOST, page->victim[0].result == page->note[0]);
    check_barrier_again();
    for (int i = 0; i < 2; i++)
        helper_start(i, party);
    expect(HUNG, arrive() == 100);
    helper_join(0);
    helper_join(1);
    expect(TORN, page->note[0] == 100 && page->note[1] == 100);
    par_shared_free(o);
}

static void
join_in(int which)
{
    (void)which;
    if (par_barrier_wait(&o->barrier, soon()) < 0 && errno != EOWNERDEAD)
        find(HUNG, "the party that came second");
}

/* The first party was killed: who comes is told that it is broken, or waits for a party that never came. */
static void
check_first_party(void)
{
    int arrived = par_barrier_wait(&o->barrier, par_in(0.05));

    if (arrived < 0)
        expect(TORN, errno == ECANCELED || errno == EOWNERDEAD || errno == ETIMEDOUT);
    check_barrier_again();
    helper_start(0, party);
    expect(HUNG, arrive() == 100);
    helper_join(0);
    expect(TORN, page->note[0] == 100);
    par_shared_free(o);
}

static void
set_up_waiting_parties(void)
{
    set_up_barrier(3, 2);
}

static void
abort_barrier(int which)
{
    (void)which;
    (void)par_barrier_abort(&o->barrier);
}

static void
reset_barrier(int which)
{
    (void)which;
    (void)par_barrier_reset(&o->barrier);
}

/* Who waits is told, by the dead or by the one who does it again. */
static void
check_ended_barrier(void)
{
    if (!has_ended(0) && !has_ended(1) && !par_barrier_broken(&o->barrier) && par_barrier_n_waiting(&o->barrier) == 2)
        expect(TORN, par_barrier_abort(&o->barrier) == 0);
    for (int i = 0; i < 2; i++) {
        helper_join(i);
        expect(TORN, page->note[i] == 101);
    }
    check_barrier_again();
    for (int i = 0; i < 2; i++)
        helper_start(i, party);
    expect(HUNG, arrive() == 100);
    helper_join(0);
    helper_join(1);
    par_shared_free(o);
}

const struct op sync_ops[] = {
    { .group = "sync", .name = "semaphore", .setup = set_up_semaphore, .act = take_token, .check = check_tokens_plain },
    { .group = "sync",
      .name = "semaphore_waiter",
      .setup = set_up_wait_token,
      .act = take_token,
      .meanwhile = put_one,
      .check = check_waited_plain },
    { .group = "sync", .name = "semaphore_release", .setup = set_up_no_token, .act = put_token, .check = check_put_token },
    { .group = "sync",
      .name = "robust",
      .setup = set_up_robust,
      .act = take_token,
      .check = check_tokens_robust,
      .stride = 13 },
    { .group = "sync",
      .name = "robust_waiter",
      .stride = 53,
      .setup = set_up_wanted_robust,
      .act = take_token,
      .meanwhile = put_one_noted,
      .check = check_waited_robust },
    { .group = "sync",
      .name = "robust_release",
      .setup = set_up_robust,
      .prepare = take_first,
      .act = put_token,
      .check = check_tokens_robust },
    { .group = "sync",
      .name = "condition_wait",
      .setup = set_up_condition,
      .act = wait_for_notice,
      .meanwhile = notify_all,
      .check = check_condition },
    { .group = "sync", .name = "condition_notify_all", .setup = set_up_condition, .act = notify_all, .check = check_condition },
    { .group = "sync", .name = "condition_notify", .setup = set_up_condition, .act = notify_each, .check = check_condition },
    { .group = "sync", .name = "event_set", .setup = set_up_event, .act = set_event, .check = check_event },
    { .group = "sync", .name = "event_clear", .setup = set_up_event, .act = clear_and_set, .check = check_cleared_event },
    { .group = "sync",
      .name = "event_wait",
      .setup = set_up_event,
      .act = wait_event,
      .meanwhile = set_event,
      .check = check_event },
    { .group = "sync",
      .name = "barrier_last",
      .setup = set_up_last_party,
      .act = be_party,
      .check = check_last_party,
      .is_once = true }, /* when the first victim has completed the round, a second one has nobody to meet */
    { .group = "sync",
      .name = "barrier_first",
      .setup = set_up_first_party,
      .act = be_party,
      .meanwhile = join_in,
      .check = check_first_party,
      .is_once = true },
    { .group = "sync",
      .name = "barrier_abort",
      .setup = set_up_waiting_parties,
      .act = abort_barrier,
      .check = check_ended_barrier },
    { .group = "sync",
      .name = "barrier_reset",
      .setup = set_up_waiting_parties,
      .act = reset_barrier,
      .check = check_ended_barrier },
    { .name = NULL },
};
