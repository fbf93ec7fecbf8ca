/* SPDX-License-Identifier: MIT
 *
 * sync.c: locks, condition, event and barrier.
 *
 * What a lock protects is a pair of counters that differ while somebody is inside. Whoever finds them different repairs them, and
 * must have been told that a holder died, and which.
 */
#include "storm.h"

#include <sched.h>
#include <unistd.h>

/* ---- lock, fair lock, rlock; robust semaphore */

enum { PLAIN, FAIR, RECURSIVE, N_KINDS };
#define N_TOKENS 3

static struct account {
    par_lock lock[2]; /* PLAIN and FAIR */
    par_rlock rlock;
    par_semaphore tokens;
    struct pair {
        _Atomic long a, b;
        _Atomic long begun, ended; /* turns */
        _Atomic pid_t inside;
    } pair[N_KINDS];
} * account;

static void
set_up_locks(void)
{
    account = par_value(struct account);
    if (account == NULL || par_lock_init(&account->lock[FAIR], &(par_lock_opts){ .fair = true }) != 0 ||
        par_semaphore_init(&account->tokens, N_TOKENS, &(par_semaphore_opts){ .max = N_TOKENS, .robust = true }) != 0)
        found(&lock_part, TORN, "no locks: errno %d", errno);
}

static int
acquire(int kind)
{
    return kind == RECURSIVE ? par_rlock_acquire(&account->rlock, soon()) : par_lock_acquire(&account->lock[kind], soon());
}

static int
release(int kind)
{
    return kind == RECURSIVE ? par_rlock_release(&account->rlock) : par_lock_release(&account->lock[kind]);
}

static pid_t
dead_owner(int kind)
{
    return kind == RECURSIVE ? par_rlock_dead_owner(&account->rlock) : par_lock_dead_owner(&account->lock[kind]);
}

static int
recover(int kind)
{
    return kind == RECURSIVE ? par_rlock_recover(&account->rlock) : par_lock_recover(&account->lock[kind]);
}

/* By the holder, right after it came in. */
static void
inspect(int kind)
{
    struct pair *pair = &account->pair[kind];
    pid_t died = dead_owner(kind), inside = atomic_load(&pair->inside);

    expect(lock_part, TORN, died == 0 || is_doomed(died));
    expect(lock_part, TORN, inside == 0 || is_doomed(inside)); /* else two are inside */
    expect(lock_part, LOST, died != 0 || (inside == 0 && atomic_load(&pair->a) == atomic_load(&pair->b)));
    if (died == 0)
        return;
    atomic_store(&pair->b, atomic_load(&pair->a));
    atomic_store(&pair->inside, 0);
    expect(lock_part, TORN, recover(kind) == 0 && dead_owner(kind) == 0);
}

static void
turn(int kind)
{
    struct pair *pair = &account->pair[kind];

    if (acquire(kind) != 0) {
        failed(lock_part, "acquire");
        return;
    }
    inspect(kind);
    atomic_store(&pair->inside, getpid());
    atomic_fetch_add(&pair->begun, 1);
    atomic_store(&pair->a, atomic_load(&pair->a) + 1);
    if (random_below(16) == 0)
        sched_yield();
    atomic_store(&pair->b, atomic_load(&pair->b) + 1);
    atomic_fetch_add(&pair->ended, 1);
    expect(lock_part, TORN, atomic_load(&pair->inside) == getpid());
    atomic_store(&pair->inside, 0);
    if (release(kind) != 0)
        failed(lock_part, "release");
}

static void
borrow_token(void)
{
    if (par_semaphore_acquire(&account->tokens, soon()) != 0) {
        failed(lock_part, "semaphore");
        return;
    }
    if (random_below(16) == 0)
        sched_yield();
    if (par_semaphore_release(&account->tokens, 1) != 0)
        failed(lock_part, "semaphore's release");
}

static void
lock_step(void)
{
    int kind = (int)random_below(N_KINDS + 1);

    if (kind < N_KINDS)
        turn(kind);
    else
        borrow_token();
}

static void
keep_locks(int which)
{
    (void)which;
    lock_step();
}

static void
settle_locks(void)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct pair *pair = &account->pair[kind];
        turn(kind); /* the last holder may have died, too */
        expect(lock_part, LOST, atomic_load(&pair->a) >= atomic_load(&pair->ended));
        expect(lock_part, DUPLICATED, atomic_load(&pair->a) <= atomic_load(&pair->begun));
    }
    for (int i = 0; i < N_TOKENS; i++) /* those of the dead come back */
        if (par_semaphore_acquire(&account->tokens, soon()) != 0)
            failed(lock_part, "a token of the dead");
    expect(lock_part, DUPLICATED, par_semaphore_acquire(&account->tokens, PAR_NOWAIT) != 0);
    expect(lock_part, TORN, par_semaphore_release(&account->tokens, N_TOKENS) == 0);
}

static void
free_locks(void)
{
    par_shared_free(account);
}

struct part lock_part = { .name = "lock",
                          .n_keepers = 2,
                          .setup = set_up_locks,
                          .step = lock_step,
                          .keep = keep_locks,
                          .settle = settle_locks,
                          .teardown = free_locks };

/* ---- condition */

static struct news {
    par_lock lock;
    par_condition changed;
    _Atomic long edition;
} * news;

static void
set_up_condition(void)
{
    news = par_value(struct news);
    if (news == NULL)
        found(&condition_part, TORN, "no condition: errno %d", errno);
}

static bool
enter(void)
{
    if (par_lock_acquire(&news->lock, soon()) != 0) {
        failed(condition_part, "acquire");
        return false;
    }
    if (par_lock_dead_owner(&news->lock) != 0)
        (void)par_lock_recover(&news->lock);
    return true;
}

static void
publish(void)
{
    if (!enter())
        return;
    atomic_fetch_add(&news->edition, 1);
    if ((random_below(4) == 0 ? par_condition_notify(&news->changed, 1) : par_condition_notify_all(&news->changed)) != 0)
        failed(condition_part, "notify");
    if (par_lock_release(&news->lock) != 0)
        failed(condition_part, "release");
    if (random_below(4) == 0)
        sched_yield();
}

static void
read_news(void)
{
    long seen;

    if (!enter())
        return;
    seen = atomic_load(&news->edition);
    while (atomic_load(&news->edition) == seen)
        if (par_condition_wait(&news->changed, &news->lock, soon()) != 0) {
            failed(condition_part, "wait");
            break;
        }
    if (par_lock_release(&news->lock) != 0)
        failed(condition_part, "release after a wait");
}

static void
condition_step(void)
{
    if (random_below(2) == 0)
        publish();
    else
        read_news();
}

static void
keep_condition(int which)
{
    if (which % 2 == 0)
        publish();
    else
        read_news();
}

static void
free_condition(void)
{
    par_shared_free(news);
}

struct part condition_part = { .name = "condition",
                               .n_keepers = 3,
                               .setup = set_up_condition,
                               .step = condition_step,
                               .keep = keep_condition,
                               .stir = publish,
                               .teardown = free_condition };

/* ---- event */

static par_event *event;

static void
set_up_event(void)
{
    event = par_value(par_event);
    if (event == NULL)
        found(&event_part, TORN, "no event: errno %d", errno);
}

static void
set_and_clear(void)
{
    if (par_event_set(event) != 0)
        failed(event_part, "set");
    if (random_below(4) == 0)
        sched_yield();
    if (par_event_clear(event) != 0)
        failed(event_part, "clear");
}

static void
await_event(void)
{
    if (par_event_wait(event, soon()) != 0)
        failed(event_part, "wait");
}

static void
event_step(void)
{
    if (random_below(2) == 0)
        set_and_clear();
    else
        await_event();
}

static void
keep_event(int which)
{
    if (which % 2 == 0)
        set_and_clear();
    else
        await_event();
}

static void
free_event(void)
{
    par_shared_free(event);
}

struct part event_part = { .name = "event",
                           .n_keepers = 2,
                           .setup = set_up_event,
                           .step = event_step,
                           .keep = keep_event,
                           .stir = set_and_clear,
                           .teardown = free_event };

/* ---- barrier: two keepers and any one victim, if it lives that long */

#define N_PARTIES 3

static par_barrier *barrier;

static void
set_up_barrier(void)
{
    barrier = par_value(par_barrier);
    if (barrier == NULL || par_barrier_init(barrier, N_PARTIES, NULL, NULL) != 0)
        found(&barrier_part, TORN, "no barrier: errno %d", errno);
}

static void
meet(void)
{
    int place = par_barrier_wait(barrier, soon());

    if (place >= N_PARTIES)
        found(&barrier_part, TORN, "place %d", place);
    if (place >= 0)
        return;
    if (errno != EOWNERDEAD && errno != ECANCELED)
        failed(barrier_part, "wait");
    if (par_barrier_reset(barrier) != 0)
        failed(barrier_part, "reset");
}

static void
keep_barrier(int which)
{
    (void)which;
    meet();
}

static void
abort_barrier(void)
{
    if (par_barrier_abort(barrier) != 0)
        failed(barrier_part, "abort");
}

/* Whoever it has met is dead. */
static void
settle_barrier(void)
{
    expect(barrier_part, TORN, par_barrier_reset(barrier) == 0 && !par_barrier_broken(barrier));
    expect(barrier_part, TORN, par_barrier_n_waiting(barrier) == 0);
}

static void
free_barrier(void)
{
    par_shared_free(barrier);
}

struct part barrier_part = { .name = "barrier",
                             .n_keepers = 2,
                             .setup = set_up_barrier,
                             .step = meet,
                             .keep = keep_barrier,
                             .stir = abort_barrier,
                             .settle = settle_barrier,
                             .teardown = free_barrier };
