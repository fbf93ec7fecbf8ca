/* SPDX-License-Identifier: MIT
 *
 * lock.c: lock, fair lock and rlock: taken, waited for, released.
 *
 * The victim adds one to both counters while it holds the lock; a survivor that finds them different repairs them, and must have
 * been told that a holder died.
 */
#include "kill.h"

#include "../../libpar/shm/arena.h"

#include <sys/wait.h>
#include <unistd.h>

struct account {
    par_lock lock;
    par_rlock rlock;
    _Atomic long a, b;
    _Atomic long is_inside; /* the pid of the holder */
};

static struct account *account;
static bool is_r;

static int
acquire(par_time deadline)
{
    return is_r ? par_rlock_acquire(&account->rlock, deadline) : par_lock_acquire(&account->lock, deadline);
}

static int
release(void)
{
    return is_r ? par_rlock_release(&account->rlock) : par_lock_release(&account->lock);
}

static pid_t
dead_owner(void)
{
    return is_r ? par_rlock_dead_owner(&account->rlock) : par_lock_dead_owner(&account->lock);
}

static int
recover(void)
{
    return is_r ? par_rlock_recover(&account->rlock) : par_lock_recover(&account->lock);
}

static bool
is_victim(pid_t pid)
{
    return pid == atomic_load(&page->victim[0].pid) || pid == atomic_load(&page->victim[1].pid) ||
           (pid != 0 && pid == atomic_load(&page->note[4]));
}

/* By a survivor that holds the lock. */
static enum verdict
inspect(void)
{
    pid_t died = dead_owner();
    long inside = atomic_load(&account->is_inside);

    if (died != 0 && !is_victim(died))
        return TORN;
    if (inside != 0 && (died == 0 || !is_victim((pid_t)inside)))
        return LOST; /* somebody died in there and it was not told, or two are inside */
    if (atomic_load(&account->a) != atomic_load(&account->b) && died == 0)
        return LOST;
    atomic_store(&account->b, atomic_load(&account->a));
    atomic_store(&account->is_inside, 0);
    if (died != 0 && (recover() != 0 || dead_owner() != 0))
        return TORN;
    return FINE;
}

static int
survivor(int i)
{
    enum verdict found;

    helper_park(i);
    if (acquire(par_in(2 * PATIENCE)) != 0)
        return HUNG;
    found = inspect();
    return release() != 0 ? TORN : (int)found;
}

/* ---- parts of operations */

static void
make_account(bool is_fair, bool is_recursive)
{
    is_r = is_recursive;
    account = par_shared_alloc(1, sizeof *account);
    expect_ready(account != NULL);
    if (is_fair)
        expect_ready(par_lock_init(&account->lock, &(par_lock_opts){ .fair = true }) == 0);
}

/* The lock's cell is there already. */
static void
warm_up(void)
{
    expect_ready(acquire(PAR_NOWAIT) == 0 && release() == 0);
}

static void
set_up_cold(void)
{
    make_account(false, false);
}

static void
set_up_free(void)
{
    make_account(false, false);
    warm_up();
}

static void
set_up_fair(void)
{
    make_account(true, false);
    warm_up();
}

static void
set_up_r(void)
{
    make_account(false, true);
    warm_up();
}

static void
change(void)
{
    atomic_store(&account->is_inside, getpid());
    atomic_fetch_add(&account->a, 1);
    atomic_fetch_add(&account->b, 1);
    atomic_store(&account->is_inside, 0);
}

static void
take_change_leave(int which)
{
    (void)which;
    if (acquire(par_in(10)) != 0)
        return;
    if (dead_owner() != 0)
        (void)inspect();
    change();
    (void)release();
}

/* Both depths of an rlock. */
static void
take_twice(int which)
{
    (void)which;
    if (acquire(par_in(10)) != 0 || acquire(par_in(10)) != 0)
        return;
    if (dead_owner() != 0)
        (void)inspect();
    change();
    (void)release();
    (void)release();
}

static void
check_free(void)
{
    expect_done(acquire(soon()));
    switch (inspect()) {
    case FINE: break;
    case LOST: find(LOST, "a death that was not told"); break;
    default: find(TORN, "a wrong owner died"); break;
    }
    expect(TORN, release() == 0);
    helper_start(3, survivor);
    helper_join(3);
    par_shared_free(account);
    (void)pari_registry_sweep();
}

/* ---- with sleepers: a survivor waits all the while */

static int
holder_main(int i)
{
    if (acquire(par_in(10)) != 0)
        return BROKEN;
    helper_park(i);
    while (!atomic_load(&page->note[0]))
        nap();
    return release() != 0 ? TORN : FINE;
}

static void
set_up_held(void)
{
    helper_start(0, holder_main);
    while (!atomic_load(&page->is_parked[0]))
        nap();
    helper_start(1, survivor);
    helper_await(1);
}

static void
set_up_wait(void)
{
    set_up_free();
    set_up_held();
}

static void
set_up_fair_wait(void)
{
    set_up_fair();
    set_up_held();
}

static void
set_up_r_wait(void)
{
    set_up_r();
    set_up_held();
}

static void
let_go(int which)
{
    (void)which;
    atomic_store(&page->note[0], 1);
}

static void
check_held(void)
{
    let_go(0);
    helper_join(0);
    helper_join(1);
    check_free();
}

/* ---- release: victim 0 holds it, a survivor sleeps */

static void
let_off(int which)
{
    (void)which;
    change();
    (void)release();
}

/* The sleeper is the victim's child, so it is told to end by the counters alone: acquired in time, released, whole. */
static void
check_released(void)
{
    par_time start = par_now();

    while (par_since(start) < PATIENCE) {
        expect_done(acquire(soon()));
        if (inspect() != FINE)
            find(TORN, "the survivor found it wrong");
        expect(TORN, release() == 0);
        if (atomic_load(&page->note[1]))
            break;
        nap();
    }
    if (!atomic_load(&page->note[1]))
        find(HUNG, "the sleeper was not woken");
    check_free();
}

static int
noting_survivor(int i)
{
    int found = survivor(i);

    atomic_store(&page->note[1], 1);
    if (found != FINE)
        atomic_store(&page->note[2], found);
    return found;
}

static void
hold_before_sleeper(int which)
{
    (void)pari_self();
    if (acquire(par_in(10)) != 0)
        return;
    if (dead_owner() != 0)
        (void)inspect();
    if (which == 0) {
        helper_start(1, noting_survivor);
        helper_await(1);
    }
}

static void
check_release(void)
{
    check_released();
    if (atomic_load(&page->note[2]))
        find((enum verdict)atomic_load(&page->note[2]), "the sleeper's finding");
}

/* ---- a holder has died: the victim is told, repairs and recovers */

static void
set_up_marked(void)
{
    int status;
    pid_t pid;

    set_up_free();
    pid = fork();
    expect_ready(pid >= 0);
    if (pid == 0) {
        atomic_store(&page->note[3], acquire(par_in(2)));
        atomic_store(&account->is_inside, getpid());
        atomic_fetch_add(&account->a, 1);
        _exit(0);
    }
    expect_ready(waitpid(pid, &status, 0) == pid && atomic_load(&page->note[3]) == 0);
    atomic_store(&page->note[4], pid);
}

static void
repair(int which)
{
    (void)which;
    if (acquire(par_in(10)) != 0)
        return;
    if (dead_owner() != 0)
        (void)inspect();
    (void)release();
}

/* ---- a block is freed with its used locks */

static void
set_up_used(void)
{
    leak_mark();
    make_account(true, false);
    warm_up();
    is_r = true;
    warm_up();
    is_r = false;
}

static void
free_account(int which)
{
    (void)which;
    par_shared_free(account);
}

static void
check_freed(void)
{
    if (pari_heap_is_block(account)) {
        expect(LOST, !has_ended(0) && !has_ended(1));
        par_shared_free(account);
    }
    leak_check(0);
    set_up_used();
    par_shared_free(account);
    leak_check(0);
}

const struct op lock_ops[] = {
    { .group = "lock",
      .name = "lock_first_use",
      .setup = set_up_cold,
      .act = take_change_leave,
      .check = check_free,
      .stride = 41 },
    { .group = "lock", .name = "lock", .setup = set_up_free, .act = take_change_leave, .check = check_free },
    { .group = "lock",
      .name = "lock_waiter",
      .setup = set_up_wait,
      .act = take_change_leave,
      .meanwhile = let_go,
      .check = check_held },
    { .group = "lock",
      .name = "lock_release",
      .setup = set_up_free,
      .prepare = hold_before_sleeper,
      .act = let_off,
      .check = check_release },
    { .group = "lock", .name = "fair", .setup = set_up_fair, .act = take_change_leave, .check = check_free },
    { .group = "lock",
      .name = "fair_waiter",
      .setup = set_up_fair_wait,
      .act = take_change_leave,
      .meanwhile = let_go,
      .check = check_held },
    { .group = "lock",
      .name = "fair_release",
      .setup = set_up_fair,
      .prepare = hold_before_sleeper,
      .act = let_off,
      .check = check_release },
    { .group = "lock", .name = "rlock", .setup = set_up_r, .act = take_twice, .check = check_free },
    { .group = "lock",
      .name = "rlock_waiter",
      .setup = set_up_r_wait,
      .act = take_twice,
      .meanwhile = let_go,
      .check = check_held },
    { .group = "lock",
      .name = "rlock_release",
      .setup = set_up_r,
      .prepare = hold_before_sleeper,
      .act = let_off,
      .check = check_release },
    { .group = "lock", .name = "lock_recover", .setup = set_up_marked, .act = repair, .check = check_free },
    { .group = "lock", .name = "lock_free", .setup = set_up_used, .act = free_account, .check = check_freed },
    { .name = NULL },
};
