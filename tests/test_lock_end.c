/* SPDX-License-Identifier: MIT
 *
 * test_lock_end.c: locks held by another process, and what the others find when it is killed.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

struct stage { /* what the processes of a test share */
    par_lock lock, second;
    par_rlock rlock;
    par_event held, go_on;
    long balance[2];     /* both sides of an account: equal outside the lock */
    _Atomic long intent; /* journal: what balance[] shall be, 0 = nothing under way */
};

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* ---- bodies of children: 0 is success */

static int
hold_until_killed(void *arg)
{
    struct stage *s = arg;

    if (par_lock_acquire(&s->lock, par_in(20)) != 0 || par_lock_acquire(&s->second, par_in(20)) != 0 ||
        par_rlock_acquire(&s->rlock, par_in(20)) != 0 || par_rlock_acquire(&s->rlock, par_in(20)) != 0)
        return 1;
    par_event_set(&s->held);
    return par_event_wait(&s->go_on, par_in(20)) == 0 ? 0 : 2;
}

static int
try_all(void *arg)
{
    struct stage *s = arg;

    return par_lock_locked(&s->lock) && par_rlock_locked(&s->rlock) && par_lock_acquire(&s->lock, PAR_NOWAIT) == -1 &&
                   errno == ETIMEDOUT && par_rlock_acquire(&s->rlock, par_in(0.01)) == -1 && errno == ETIMEDOUT &&
                   par_lock_release(&s->lock) == -1 && errno == EPERM && par_rlock_release(&s->rlock) == -1 && errno == EPERM
               ? 0
               : 1;
}

static pid_t
start_holder(struct stage *s)
{
    pid_t child;

    par_event_clear(&s->held);
    child = fixture_fork(hold_until_killed, s);
    ck_assert_int_eq(par_event_wait(&s->held, par_in(20)), 0);
    return child;
}

static void
kill_holder(pid_t child)
{
    kill(child, SIGKILL);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
}

/* ---- while it lives */

START_TEST(lock_held_by_another_process_is_seen_and_respected)
{
    struct stage *s = make_stage();
    pid_t holder = start_holder(s);
    ck_assert_int_eq(try_all(s), 0);
    ck_assert_int_eq(fixture_in_child(try_all, s), 0);
    par_event_set(&s->go_on);
    ck_assert_int_eq(fixture_wait(holder), 0);
}
END_TEST

/* ---- deaths */

START_TEST(dead_holder_is_named_and_everything_of_it_is_free)
{
    struct stage *s = make_stage();
    pid_t holder = start_holder(s);
    kill_holder(holder);
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_acquire(&s->second, par_in(20)), 0);
    ck_assert_int_eq(par_rlock_acquire(&s->rlock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), holder);
    ck_assert_int_eq(par_lock_dead_owner(&s->second), holder);
    ck_assert_int_eq(par_rlock_dead_owner(&s->rlock), holder);
    ck_assert_int_eq(par_lock_recover(&s->lock), 0);
    ck_assert_int_eq(par_rlock_recover(&s->rlock), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->second), holder);
    ck_assert_int_eq(par_rlock_release(&s->rlock), 0); /* its depth is 1 again */
    ck_assert(!par_rlock_locked(&s->rlock));
}
END_TEST

static int
hold_and_die_unmarked(void *arg)
{
    struct stage *s = arg;

    if (par_lock_acquire(&s->lock, par_in(20)) != 0)
        return 1;
    par_event_set(&s->held);
    fixture_die_unmarked();
}

/* The parent waits for what its child holds before it reaps the child. */
START_TEST(holder_that_the_kernel_did_not_mark_is_found_before_it_is_reaped)
{
    struct stage *s = make_stage();
    pid_t holder = fixture_fork(hold_and_die_unmarked, s);
    ck_assert_int_eq(par_event_wait(&s->held, par_in(20)), 0);
    ck_fails(par_lock_acquire(&s->lock, par_in(20)), ENOTRECOVERABLE);
    ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
    ck_fails(par_lock_acquire(&s->lock, par_in(20)), ENOTRECOVERABLE);
}
END_TEST

START_TEST(mark_stays_through_releases_and_a_second_death)
{
    struct stage *s = make_stage();
    pid_t first = start_holder(s);
    kill_holder(first);
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    kill_holder(start_holder(s));
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), first);
    ck_assert_int_eq(par_lock_recover(&s->lock), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_lock_dead_owner(&s->lock), 0);
}
END_TEST

static void
repair(struct stage *s)
{
    if (par_lock_dead_owner(&s->lock) == 0)
        return;
    if (atomic_load(&s->intent) != 0)
        s->balance[0] = s->balance[1] = atomic_load(&s->intent);
    atomic_store(&s->intent, 0);
    par_lock_recover(&s->lock);
}

static int
book_for_ever(void *arg)
{
    struct stage *s = arg;

    for (;;) {
        long next;
        if (par_lock_acquire(&s->lock, par_in(20)) != 0)
            return 1;
        repair(s);
        if (s->balance[0] != s->balance[1])
            return 2;
        next = s->balance[0] + 1;
        atomic_store(&s->intent, next);
        s->balance[0] = next;
        atomic_signal_fence(memory_order_seq_cst);
        s->balance[1] = next;
        atomic_store(&s->intent, 0);
        if (par_lock_release(&s->lock) != 0)
            return 3;
    }
}

START_TEST(killed_holders_never_stop_or_spoil_the_others)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage();
    pid_t child[3];
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(book_for_ever, s);
    for (int kills = 0; kills < 400 && par_since(start_time) < 10; kills++) {
        long before = atomic_load((_Atomic long *)&s->balance[1]);
        int i = kills % 3;
        fixture_kill_after_us(child[i], fixture_random_below(500));
        ck_assert_int_eq(fixture_wait(child[i]), -SIGKILL);
        child[i] = fixture_fork(book_for_ever, s);
        ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
        repair(s);
        ck_assert_int_eq(s->balance[0], s->balance[1]);
        ck_assert_int_ge(s->balance[0], before);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
    }
    for (int i = 0; i < 3; i++)
        kill_holder(child[i]);
    ck_assert_int_gt(s->balance[1], 0);
}
END_TEST

START_TEST(cell_of_a_freed_lock_comes_back_when_its_holder_has_died)
{
    par_lock *other = par_value(par_lock);
    struct stage *s;
    size_t before;
    pid_t holder;
    ck_assert_int_eq(par_lock_acquire(other, PAR_NOWAIT), 0);
    before = pari_heap_in_use();
    s = make_stage();
    holder = start_holder(s);
    par_shared_free(s); /* its three cells are held still */
    ck_assert_uint_gt(pari_heap_in_use(), before);
    kill_holder(holder);
    other = par_value(par_lock);
    ck_assert_int_eq(par_lock_acquire(other, PAR_NOWAIT), 0); /* takes a cell: looks after the orphans */
    par_shared_free(other);
    ck_assert_uint_eq(pari_heap_in_use(), before);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("lock_end");
    TCase *several = fixture_case(suite, "several processes");

    tcase_add_test(several, lock_held_by_another_process_is_seen_and_respected);
    tcase_add_test(several, cell_of_a_freed_lock_comes_back_when_its_holder_has_died);
    tcase_add_test(several, dead_holder_is_named_and_everything_of_it_is_free);
    tcase_add_test(several, holder_that_the_kernel_did_not_mark_is_found_before_it_is_reaped);
    tcase_add_test(several, mark_stays_through_releases_and_a_second_death);
    tcase_add_test(several, killed_holders_never_stop_or_spoil_the_others);
    return fixture_run(suite);
}
