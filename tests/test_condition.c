/* SPDX-License-Identifier: MIT
 *
 * test_condition.c: a notify wakes exactly as many as it says, of those that wait; the lock is held again whatever happened.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

struct stage {
    par_lock lock;
    par_condition change;
    par_semaphore asleep, woken;                  /* released by each waiter before and after its wait */
    int n_waiting, n_woken, n_timed_out, counter; /* under the lock */
};

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* ---- waiters: 0 is success */

static int
wait_once(struct stage *s, par_time deadline)
{
    int result, error;

    if (par_lock_acquire(&s->lock, par_in(20)) != 0)
        return 1;
    s->n_waiting++;
    par_semaphore_release(&s->asleep, 1); /* seen only once the lock is free, that is, in the wait */
    errno = 0;
    result = par_condition_wait(&s->change, &s->lock, deadline);
    error = errno;
    s->n_waiting--;
    s->n_woken += result == 0;
    s->n_timed_out += result == -1 && error == ETIMEDOUT;
    if (par_lock_release(&s->lock) != 0) /* held again, whatever the result */
        return 2;
    par_semaphore_release(&s->woken, 1);
    return result == 0 || error == ETIMEDOUT ? 0 : 3;
}

static int
wait_for_notify(void *arg)
{
    return wait_once(arg, par_in(20));
}

static int
wait_for_a_moment(void *arg)
{
    return wait_once(arg, par_in(0.02));
}

static void *
wait_for_notify_in_thread(void *arg)
{
    return (void *)(intptr_t)wait_for_notify(arg);
}

static void
take_tokens(par_semaphore *semaphore, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_semaphore_acquire(semaphore, par_in(20)), 0);
}

/* Under the lock: everybody who has told that it goes to sleep does sleep. */
static void
notify(struct stage *s, unsigned n)
{
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(par_condition_notify(&s->change, n), 0);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}

static void
assert_woken(struct stage *s, int n)
{
    ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
    ck_assert_int_eq(s->n_woken, n);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}

struct crowd {
    pid_t child[3];
    pthread_t thread[3];
};

static void
start_crowd(struct crowd *crowd, struct stage *s, bool with_processes)
{
    for (int i = 0; with_processes && i < 3; i++)
        crowd->child[i] = fixture_fork(wait_for_notify, s);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&crowd->thread[i], NULL, wait_for_notify_in_thread, s), 0);
    take_tokens(&s->asleep, with_processes ? 6 : 3);
}

static void
end_crowd(struct crowd *crowd, bool with_processes)
{
    void *result;

    for (int i = 0; i < 3; i++) {
        if (with_processes)
            ck_assert_int_eq(fixture_wait(crowd->child[i]), 0);
        ck_assert_int_eq(pthread_join(crowd->thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
}

/* ---- one process */

START_TEST(wait_without_the_lock_is_eperm)
{
    struct stage *s = make_stage();
    ck_fails(par_condition_wait(&s->change, &s->lock, PAR_NOWAIT), EPERM);
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_fails(par_condition_wait(&s->change, &s->lock, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_fails(par_condition_notify(&s->change, 1), EPERM);
    ck_fails(par_condition_notify_all(&s->change), EPERM);
}
END_TEST

START_TEST(what_is_no_condition_is_einval)
{
    struct stage *s = make_stage();
    par_condition on_stack = { { 0 } };
    par_lock lock_on_stack = { { 0 } };
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_fails(par_condition_wait(&on_stack, &s->lock, PAR_NOWAIT), EINVAL);
    ck_fails(par_condition_wait(NULL, &s->lock, PAR_NOWAIT), EINVAL);
    ck_fails(par_condition_wait(&s->change, NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_condition_wait(&s->change, &lock_on_stack, PAR_NOWAIT), EINVAL);
    ck_fails(par_condition_wait((par_condition *)&s->lock, &s->lock, PAR_NOWAIT), EINVAL);
    ck_fails(par_condition_notify(&on_stack, 1), EINVAL);
    ck_fails(par_condition_notify_all(NULL), EINVAL);
    ck_assert(par_lock_locked(&s->lock));
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

START_TEST(timed_out_wait_holds_the_lock_again)
{
    struct stage *s = make_stage();
    par_time start = par_now();
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_fails(par_condition_wait(&s->change, &s->lock, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.1);
    ck_fails(par_lock_acquire(&s->lock, PAR_NOWAIT), EDEADLK);
    ck_assert_int_eq(par_condition_notify_all(&s->change), 0); /* nobody waits: forgotten */
    ck_fails(par_condition_wait(&s->change, &s->lock, par_in(0.01)), ETIMEDOUT);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

static void
interrupt_on_alarm(int number)
{
    (void)number;
    par_interrupt(true);
}

/* ---- the loop in one call */

static bool
is_counted(void *arg)
{
    struct stage *s = arg;

    s->n_woken++; /* how often it was asked */
    return s->counter >= 3;
}

START_TEST(what_is_true_is_not_waited_for)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_condition_wait_for(&s->change, &s->lock, is_counted, s, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(s->n_woken, 0);
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_condition_wait_for(&s->change, &s->lock, NULL, s, PAR_NOWAIT), -1);
    ck_assert_int_eq(errno, EINVAL);
    s->counter = 3;
    ck_assert_int_eq(par_condition_wait_for(&s->change, &s->lock, is_counted, s, PAR_NOWAIT), 0);
    ck_assert_int_eq(s->n_woken, 1);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
}
END_TEST

START_TEST(what_does_not_become_true_times_out)
{
    struct stage *s = make_stage();
    par_time deadline = par_in(0.05);
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_condition_wait_for(&s->change, &s->lock, is_counted, s, deadline), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert(pari_is_over(deadline));
    ck_assert_int_ge(s->n_woken, 2);
    ck_assert_int_eq(par_lock_release(&s->lock), 0); /* it was held */
}
END_TEST

static int
count_to_three(void *arg)
{
    struct stage *s = arg;

    for (int i = 0; i < 3; i++)
        if (par_lock_acquire(&s->lock, par_in(20)) != 0 || ++s->counter > 3 || par_condition_notify(&s->change, 1) != 0 ||
            par_lock_release(&s->lock) != 0)
            return 1;
    return 0;
}

START_TEST(what_another_process_makes_true_ends_the_wait)
{
    struct stage *s = make_stage();
    pid_t child;
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    child = fixture_fork(count_to_three, s);
    ck_assert_int_eq(par_condition_wait_for(&s->change, &s->lock, is_counted, s, par_in(20)), 0);
    ck_assert_int_eq(s->counter, 3);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

START_TEST(interrupted_wait_holds_the_lock_again)
{
    struct stage *s = make_stage();
    ck_assert_int_eq(par_lock_acquire(&s->lock, PAR_NOWAIT), 0);
    signal(SIGALRM, interrupt_on_alarm);
    ualarm(20000, 0);
    ck_fails(par_condition_wait(&s->change, &s->lock, par_in(20)), EINTR);
    ck_assert_int_eq(par_lock_release(&s->lock), 0);
    par_interrupt(false);
}
END_TEST

START_TEST(threads_are_woken_as_told)
{
    struct stage *s = make_stage();
    struct crowd crowd;
    start_crowd(&crowd, s, false);
    notify(s, 2);
    take_tokens(&s->woken, 2);
    assert_woken(s, 2);
    notify(s, 1);
    end_crowd(&crowd, false);
    assert_woken(s, 3);
}
END_TEST

/* ---- several processes */

START_TEST(each_notify_wakes_exactly_one)
{
    struct stage *s = make_stage();
    struct crowd crowd;
    start_crowd(&crowd, s, true);
    for (int i = 1; i <= 6; i++) {
        notify(s, 1);
        take_tokens(&s->woken, 1);
        assert_woken(s, i);
    }
    end_crowd(&crowd, true);
}
END_TEST

START_TEST(notify_n_wakes_n_and_no_more_than_wait)
{
    struct stage *s = make_stage();
    struct crowd crowd;
    notify(s, 3); /* nobody waits yet */
    start_crowd(&crowd, s, true);
    notify(s, 2);
    take_tokens(&s->woken, 2);
    assert_woken(s, 2);
    notify(s, 4);
    take_tokens(&s->woken, 4);
    assert_woken(s, 6);
    notify(s, 3); /* nobody waits any more */
    end_crowd(&crowd, true);
    assert_woken(s, 6);
}
END_TEST

START_TEST(notify_all_wakes_all_after_others_have_timed_out)
{
    struct stage *s = make_stage();
    struct crowd crowd;
    pid_t child[3];
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(wait_for_a_moment, s);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(s->n_timed_out, 3);
    take_tokens(&s->asleep, 3);
    start_crowd(&crowd, s, true);
    notify(s, UINT32_MAX);
    end_crowd(&crowd, true);
    assert_woken(s, 6);
    ck_assert_int_eq(s->n_waiting, 0);
}
END_TEST

static int
count_with_parent(void *arg)
{
    struct stage *s = arg;

    for (int i = 0; i < 200; i++) {
        if (par_lock_acquire(&s->lock, par_in(20)) != 0)
            return 1;
        while (s->counter % 2 == 0)
            if (par_condition_wait(&s->change, &s->lock, par_in(20)) != 0)
                return 2;
        s->counter++;
        if (par_condition_notify(&s->change, 1) != 0 || par_lock_release(&s->lock) != 0)
            return 3;
    }
    return 0;
}

START_TEST(two_processes_hand_a_counter_to_and_fro)
{
    struct stage *s = make_stage();
    pid_t child = fixture_fork(count_with_parent, s);
    for (int i = 0; i < 200; i++) {
        ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
        s->counter++;
        ck_assert_int_eq(par_condition_notify(&s->change, 1), 0);
        while (s->counter % 2 == 1)
            ck_assert_int_eq(par_condition_wait(&s->change, &s->lock, par_in(20)), 0);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
    }
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert_int_eq(s->counter, 400);
}
END_TEST

/* ---- deaths */

START_TEST(killed_waiters_never_hang_a_notify_nor_cost_a_wake_up)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage();
    for (int kills = 0; kills < 150 && par_since(start_time) < 10; kills++) {
        pid_t victim = fixture_fork(wait_for_notify, s), waiter;
        fixture_kill_after_us(victim, fixture_random_below(1500));
        ck_assert_int_eq(fixture_wait(victim), -SIGKILL);
        while (par_semaphore_acquire(&s->asleep, PAR_NOWAIT) == 0)
            ;
        waiter = fixture_fork(wait_for_notify, s);
        take_tokens(&s->asleep, 1);
        notify(s, kills % 2 ? 1 : UINT32_MAX);
        ck_assert_int_eq(fixture_wait(waiter), 0);
        take_tokens(&s->woken, 1);
    }
    ck_assert_int_gt(s->n_woken, 0);
}
END_TEST

static int
notify_for_ever(void *arg)
{
    struct stage *s = arg;

    for (;;)
        if (par_lock_acquire(&s->lock, par_in(20)) != 0 || par_condition_notify(&s->change, 1) != 0 ||
            par_lock_release(&s->lock) != 0)
            return 1;
}

START_TEST(killed_notifiers_never_hang_the_waiters)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage();
    for (int kills = 0; kills < 150 && par_since(start_time) < 10; kills++) {
        pid_t notifier = fixture_fork(notify_for_ever, s);
        ck_assert_int_eq(par_lock_acquire(&s->lock, par_in(20)), 0);
        ck_assert_int_eq(par_condition_wait(&s->change, &s->lock, par_in(20)), 0);
        ck_assert_int_eq(par_lock_release(&s->lock), 0);
        fixture_kill_after_us(notifier, fixture_random_below(300));
        ck_assert_int_eq(fixture_wait(notifier), -SIGKILL);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("condition");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, wait_without_the_lock_is_eperm);
    tcase_add_test(one, what_is_no_condition_is_einval);
    tcase_add_test(one, timed_out_wait_holds_the_lock_again);
    tcase_add_test(one, interrupted_wait_holds_the_lock_again);
    tcase_add_test(one, what_is_true_is_not_waited_for);
    tcase_add_test(one, what_does_not_become_true_times_out);
    tcase_add_test(several, what_another_process_makes_true_ends_the_wait);
    tcase_add_test(one, threads_are_woken_as_told);
    tcase_add_test(several, each_notify_wakes_exactly_one);
    tcase_add_test(several, notify_n_wakes_n_and_no_more_than_wait);
    tcase_add_test(several, notify_all_wakes_all_after_others_have_timed_out);
    tcase_add_test(several, two_processes_hand_a_counter_to_and_fro);
    tcase_add_test(several, killed_waiters_never_hang_a_notify_nor_cost_a_wake_up);
    tcase_add_test(several, killed_notifiers_never_hang_the_waiters);
    return fixture_run(suite);
}
