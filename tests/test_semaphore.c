/* SPDX-License-Identifier: MIT
 *
 * test_semaphore.c: tokens: counting, bounds, waiting, and what becomes of the tokens of the dead.
 */
#include "fixture.h"

#include <limits.h>
#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

struct stage {
    par_semaphore tokens;
    par_event ready, go_on;
    _Atomic int n_inside, most_inside;
};

static struct stage *
make_stage(unsigned value, bool robust)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(par_semaphore_init(&s->tokens, value, &(par_semaphore_opts){ .robust = robust }), 0);
    return s;
}

/* ---- bodies of children: 0 is success */

static int
take_two_and_wait(void *arg)
{
    struct stage *s = arg;

    if (par_semaphore_acquire(&s->tokens, par_in(20)) != 0 || par_semaphore_acquire(&s->tokens, par_in(20)) != 0)
        return 1;
    par_event_set(&s->ready);
    return par_event_wait(&s->go_on, par_in(20)) == 0 ? 0 : 2;
}

static int
go_in_and_out(void *arg)
{
    struct stage *s = arg;

    for (int i = 0; i < 2000; i++) {
        int inside, most = atomic_load(&s->most_inside);
        if (par_semaphore_acquire(&s->tokens, par_in(20)) != 0)
            return 1;
        inside = atomic_fetch_add(&s->n_inside, 1) + 1;
        while (inside > most && !atomic_compare_exchange_weak(&s->most_inside, &most, inside))
            ;
        atomic_fetch_sub(&s->n_inside, 1);
        if (par_semaphore_release(&s->tokens, 1) != 0)
            return 2;
    }
    return 0;
}

static int
go_in_and_out_for_ever(void *arg)
{
    int result;

    while ((result = go_in_and_out(arg)) == 0)
        ;
    return result;
}

static int
release_one(void *arg)
{
    return par_semaphore_release(&((struct stage *)arg)->tokens, 1) == 0 ? 0 : 1;
}

static pid_t
start_holder_of_two(struct stage *s)
{
    pid_t child = fixture_fork(take_two_and_wait, s);

    ck_assert_int_eq(par_event_wait(&s->ready, par_in(20)), 0);
    return child;
}

static void
kill_and_reap(pid_t child)
{
    kill(child, SIGKILL);
    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
}

/* ---- one process; each as a plain and as a robust semaphore (_i) */

START_TEST(counts_down_and_up)
{
    struct stage *s = make_stage(2, _i);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 2);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 1);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, PAR_FOREVER), 0);
    ck_fails(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 0);
    ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0);
    ck_assert_int_eq(par_semaphore_release(&s->tokens, 3), 0);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 4);
    par_shared_free(s);
}
END_TEST

START_TEST(deadline_is_not_cut_short)
{
    struct stage *s = make_stage(0, _i);
    par_time start = par_now();
    ck_fails(par_semaphore_acquire(&s->tokens, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.1);
    ck_fails(par_semaphore_acquire(&s->tokens, par_in(-1)), ETIMEDOUT);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 0);
}
END_TEST

START_TEST(release_above_the_bound_is_erange_and_releases_nothing)
{
    par_semaphore *s = par_value(par_semaphore);
    ck_assert_int_eq(par_semaphore_init(s, 1, &(par_semaphore_opts){ .max = 2, .robust = _i }), 0);
    ck_fails(par_semaphore_release(s, 2), ERANGE);
    ck_fails(par_semaphore_release(s, UINT_MAX), ERANGE);
    ck_assert_int_eq(par_semaphore_value(s), 1);
    ck_assert_int_eq(par_semaphore_release(s, 1), 0);
    ck_fails(par_semaphore_release(s, 1), ERANGE);
    ck_assert_int_eq(par_semaphore_acquire(s, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_semaphore_release(s, 1), 0);
    ck_assert_int_eq(par_semaphore_value(s), 2);
}
END_TEST

START_TEST(unbounded_one_ends_at_int_max)
{
    struct stage *s = make_stage(INT_MAX - 1, _i);
    ck_fails(par_semaphore_release(&s->tokens, 2), ERANGE);
    ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0);
    ck_fails(par_semaphore_release(&s->tokens, 1), ERANGE);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), INT_MAX);
}
END_TEST

START_TEST(all_zero_semaphore_has_no_token)
{
    par_semaphore *s = par_value(par_semaphore);
    ck_assert_int_eq(par_semaphore_value(s), 0);
    ck_fails(par_semaphore_acquire(s, PAR_NOWAIT), ETIMEDOUT);
    ck_assert_int_eq(par_semaphore_release(s, 1), 0);
    ck_assert_int_eq(par_semaphore_acquire(s, PAR_NOWAIT), 0);
    ck_fails(par_semaphore_init(s, 1, NULL), EBUSY);
}
END_TEST

START_TEST(bad_arguments_are_einval)
{
    par_semaphore on_stack = { { 0 } }, *s = par_array(par_semaphore, 2);
    ck_fails(par_semaphore_init(NULL, 1, NULL), EINVAL);
    ck_fails(par_semaphore_init(&on_stack, 1, NULL), EINVAL);
    ck_fails(par_semaphore_init(s, 3, &(par_semaphore_opts){ .max = 2 }), EINVAL);
    ck_fails(par_semaphore_init(s, UINT_MAX, NULL), EINVAL);
    ck_fails(par_semaphore_init(s, 1, &(par_semaphore_opts){ .max = UINT_MAX }), EINVAL);
    ck_fails(par_semaphore_acquire(NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_semaphore_acquire(&on_stack, PAR_NOWAIT), EINVAL);
    ck_fails(par_semaphore_release(&on_stack, 1), EINVAL);
    ck_fails(par_semaphore_release(s, 0), EINVAL);
    ck_fails(par_semaphore_value(NULL), EINVAL);
    ck_assert_int_eq(par_semaphore_release(s, 1), 0);
    s[1] = s[0];
    ck_fails(par_semaphore_acquire(&s[1], PAR_NOWAIT), EINVAL);
}
END_TEST

/* ---- several */

static void *
go_in_and_out_in_thread(void *arg)
{
    return (void *)(intptr_t)go_in_and_out(arg);
}

START_TEST(threads_share_the_tokens)
{
    struct stage *s = make_stage(2, _i);
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, go_in_and_out_in_thread, s), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_le(s->most_inside, 2);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 2);
}
END_TEST

START_TEST(processes_share_the_tokens)
{
    struct stage *s = make_stage(2, _i);
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(go_in_and_out, s);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_le(s->most_inside, 2);
    ck_assert_int_eq(par_semaphore_value(&s->tokens), 2);
}
END_TEST

START_TEST(release_by_another_process_ends_the_wait)
{
    struct stage *s = make_stage(0, _i);
    pid_t child = fixture_fork(release_one, s);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

/* ---- deaths */

START_TEST(tokens_of_the_dead_stay_lost_with_a_plain_one)
{
    struct stage *s = make_stage(2, false);
    kill_and_reap(start_holder_of_two(s));
    ck_fails(par_semaphore_acquire(&s->tokens, par_in(0.05)), ETIMEDOUT);
}
END_TEST

START_TEST(tokens_of_the_dead_come_back_with_a_robust_one)
{
    struct stage *s = make_stage(2, true);
    pid_t holder = start_holder_of_two(s);
    ck_fails(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), ETIMEDOUT);
    kill_and_reap(holder);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), 0);
    ck_fails(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), ETIMEDOUT);
}
END_TEST

START_TEST(waiter_gets_the_token_of_a_holder_that_dies_meanwhile)
{
    struct stage *s = make_stage(2, true);
    pid_t holder = start_holder_of_two(s), killer = fork();
    if (killer == 0) {
        fixture_kill_after_us(holder, 30000);
        _exit(0);
    }
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_assert_int_eq(fixture_wait(killer), 0);
    ck_assert_int_eq(fixture_wait(holder), -SIGKILL);
}
END_TEST

START_TEST(token_given_back_by_another_is_not_given_back_again_by_death)
{
    struct stage *s = make_stage(2, true);
    pid_t holder = start_holder_of_two(s);
    ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0); /* new: this process took none */
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0);
    kill_and_reap(holder);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_fails(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), ETIMEDOUT);
}
END_TEST

START_TEST(no_token_is_lost_or_made_by_kills_with_a_robust_one)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage(2, true);
    pid_t child[3];
    for (int i = 0; i < 3; i++)
        child[i] = fixture_fork(go_in_and_out_for_ever, s);
    for (int kills = 0; kills < 300 && par_since(start_time) < 10; kills++) {
        fixture_kill_after_us(child[kills % 3], fixture_random_below(800));
        ck_assert_int_eq(fixture_wait(child[kills % 3]), -SIGKILL);
        ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
        ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0);
        child[kills % 3] = fixture_fork(go_in_and_out_for_ever, s);
    }
    for (int i = 0; i < 3; i++)
        kill_and_reap(child[i]);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    ck_fails(par_semaphore_acquire(&s->tokens, PAR_NOWAIT), ETIMEDOUT);
}
END_TEST

START_TEST(killed_waiters_of_a_plain_one_cost_nothing)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage(0, false);
    for (int kills = 0; kills < 100 && par_since(start_time) < 10; kills++) {
        pid_t waiter = fixture_fork(take_two_and_wait, s);
        fixture_kill_after_us(waiter, fixture_random_below(1000));
        ck_assert_int_eq(fixture_wait(waiter), -SIGKILL);
        ck_assert_int_eq(par_semaphore_release(&s->tokens, 1), 0);
        ck_assert_int_eq(par_semaphore_acquire(&s->tokens, par_in(20)), 0);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("semaphore");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_loop_test(one, counts_down_and_up, 0, 2);
    tcase_add_loop_test(one, deadline_is_not_cut_short, 0, 2);
    tcase_add_loop_test(one, release_above_the_bound_is_erange_and_releases_nothing, 0, 2);
    tcase_add_loop_test(one, unbounded_one_ends_at_int_max, 0, 2);
    tcase_add_test(one, all_zero_semaphore_has_no_token);
    tcase_add_test(one, bad_arguments_are_einval);
    tcase_add_loop_test(one, threads_share_the_tokens, 0, 2);
    tcase_add_loop_test(several, processes_share_the_tokens, 0, 2);
    tcase_add_loop_test(several, release_by_another_process_ends_the_wait, 0, 2);
    tcase_add_test(several, tokens_of_the_dead_stay_lost_with_a_plain_one);
    tcase_add_test(several, tokens_of_the_dead_come_back_with_a_robust_one);
    tcase_add_test(several, waiter_gets_the_token_of_a_holder_that_dies_meanwhile);
    tcase_add_test(several, token_given_back_by_another_is_not_given_back_again_by_death);
    tcase_add_test(several, no_token_is_lost_or_made_by_kills_with_a_robust_one);
    tcase_add_test(several, killed_waiters_of_a_plain_one_cost_nothing);
    return fixture_run(suite);
}
