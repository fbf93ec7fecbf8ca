/* SPDX-License-Identifier: MIT
 *
 * test_barrier.c: parties meet in lock-step; who breaks the barrier, by deadline, abort, action or death, breaks it for all.
 */
#include "fixture.h"

#include <limits.h>
#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

#define N_PARTIES 5
#define SUCCESS 100 /* children end with it, so that other results can be an errno */

struct stage {
    par_barrier barrier;
    par_event go_on;
    int n_rounds;
    _Atomic int n_first, n_actions;
    _Atomic int place[N_PARTIES]; /* how far each party is */
    _Atomic int next_party;
};

static struct stage *
make_stage(int (*action)(void *arg), int n_rounds)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(par_barrier_init(&s->barrier, N_PARTIES, action, s), 0);
    s->n_rounds = n_rounds;
    return s;
}

/* ---- parties */

/* After the barrier nobody may be behind, before it nobody may be ahead. */
static int
march(void *arg)
{
    struct stage *s = arg;
    int me = atomic_fetch_add(&s->next_party, 1);

    for (int round = 0; round < s->n_rounds; round++) {
        int index;
        atomic_store(&s->place[me], round + 1);
        index = par_barrier_wait(&s->barrier, par_in(20));
        if (index < 0 || index >= N_PARTIES)
            return errno;
        atomic_fetch_add(&s->n_first, index == 0);
        for (int i = 0; i < N_PARTIES; i++)
            if (atomic_load(&s->place[i]) < round + 1 || atomic_load(&s->place[i]) > round + 2)
                return SUCCESS + 1;
    }
    return SUCCESS;
}

static int
wait_once(void *arg)
{
    return par_barrier_wait(&((struct stage *)arg)->barrier, par_in(20)) >= 0 ? SUCCESS : errno;
}

static int
pass_once(void *arg)
{
    return par_barrier_wait(arg, par_in(20)) >= 0 ? SUCCESS : errno;
}

static int
wait_a_moment(void *arg)
{
    return par_barrier_wait(&((struct stage *)arg)->barrier, par_in(0.05)) >= 0 ? SUCCESS : errno;
}

static int
wait_for_ever(void *arg)
{
    int result;

    while ((result = wait_once(arg)) == SUCCESS)
        ;
    return result;
}

static void
start(pid_t *child, int n, int (*body)(void *arg), struct stage *s)
{
    for (int i = 0; i < n; i++)
        child[i] = fixture_fork(body, s);
}

static void
assert_all_end_with(const pid_t *child, int n, int code)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(fixture_wait(child[i]), code);
}

static void
until_waiting(struct stage *s, int n)
{
    par_time end = par_in(20);

    while (par_barrier_n_waiting(&s->barrier) != n) {
        ck_assert(par_since(end) < 0);
        ck_fails(par_event_wait(&s->go_on, par_in(0.001)), ETIMEDOUT);
    }
}

static int
count_action(void *arg)
{
    struct stage *s = arg;

    atomic_fetch_add(&s->n_actions, 1);
    return 0;
}

static int
fail_action(void *arg)
{
    (void)count_action(arg);
    return 7;
}

/* ---- one process */

START_TEST(single_party_passes_at_once)
{
    par_barrier *b = par_value(par_barrier);
    ck_assert_int_eq(par_barrier_init(b, 1, NULL, NULL), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(par_barrier_wait(b, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_barrier_n_waiting(b), 0);
    ck_assert(!par_barrier_broken(b));
}
END_TEST

START_TEST(bad_arguments_are_einval)
{
    par_barrier on_stack = { { 0 } }, *b = par_array(par_barrier, 2);
    ck_fails(par_barrier_init(NULL, 1, NULL, NULL), EINVAL);
    ck_fails(par_barrier_init(&on_stack, 1, NULL, NULL), EINVAL);
    ck_fails(par_barrier_init(b, 0, NULL, NULL), EINVAL);
    ck_fails(par_barrier_init(b, 65536, NULL, NULL), EINVAL);
    ck_fails(par_barrier_wait(b, PAR_NOWAIT), EINVAL); /* not initialised */
    ck_fails(par_barrier_wait(NULL, PAR_NOWAIT), EINVAL);
    ck_fails(par_barrier_abort(b), EINVAL);
    ck_fails(par_barrier_reset(&on_stack), EINVAL);
    ck_fails(par_barrier_n_waiting(NULL), EINVAL);
    errno = 0;
    ck_assert(!par_barrier_broken(b));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(par_barrier_init(b, 2, NULL, NULL), 0);
    ck_fails(par_barrier_init(b, 2, NULL, NULL), EBUSY);
    b[1] = b[0];
    ck_fails(par_barrier_wait(&b[1], PAR_NOWAIT), EINVAL);
}
END_TEST

START_TEST(deadline_breaks_the_barrier_and_reset_mends_it)
{
    par_barrier *b = par_value(par_barrier);
    par_time start_time = par_now();
    ck_assert_int_eq(par_barrier_init(b, 2, NULL, NULL), 0);
    ck_fails(par_barrier_wait(b, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start_time) >= 0.1);
    ck_assert(par_barrier_broken(b));
    ck_fails(par_barrier_wait(b, PAR_FOREVER), ECANCELED);
    ck_assert_int_eq(par_barrier_reset(b), 0);
    ck_assert(!par_barrier_broken(b));
    ck_fails(par_barrier_wait(b, PAR_NOWAIT), ETIMEDOUT);
}
END_TEST

static void *
march_in_thread(void *arg)
{
    return (void *)(intptr_t)march(arg);
}

static void
assert_threads_march(struct stage *s)
{
    pthread_t thread[N_PARTIES];
    void *result;

    for (int i = 0; i < N_PARTIES; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, march_in_thread, s), 0);
    for (int i = 0; i < N_PARTIES; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_int_eq((int)(intptr_t)result, SUCCESS);
    }
}

START_TEST(threads_march_in_step)
{
    struct stage *s = make_stage(count_action, 300);
    assert_threads_march(s);
    ck_assert_int_eq(s->n_first, 300);
    ck_assert_int_eq(s->n_actions, 300);
}
END_TEST

static int
fail_at_2000(void *arg)
{
    return atomic_fetch_add(&((struct stage *)arg)->n_actions, 1) + 1 == 2000;
}

static void *
wait_until_broken(void *arg)
{
    struct stage *s = arg;
    int index;

    while ((index = par_barrier_wait(&s->barrier, par_in(20))) >= 0)
        if (index >= N_PARTIES)
            return (void *)(intptr_t)-1;
    return (void *)(intptr_t)errno;
}

START_TEST(more_threads_than_parties_take_turns)
{
    struct stage *s = make_stage(fail_at_2000, 0);
    pthread_t thread[2 * N_PARTIES];
    void *result;
    for (int i = 0; i < 2 * N_PARTIES; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, wait_until_broken, s), 0);
    for (int i = 0; i < 2 * N_PARTIES; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_int_eq((int)(intptr_t)result, ECANCELED);
    }
    ck_assert_int_eq(s->n_actions, 2000);
}
END_TEST

/* ---- several processes */

START_TEST(processes_march_in_step_a_thousand_times)
{
    struct stage *s = make_stage(NULL, 1000);
    pid_t child[N_PARTIES];
    start(child, N_PARTIES, march, s);
    assert_all_end_with(child, N_PARTIES, SUCCESS);
    ck_assert_int_eq(s->n_first, 1000);
    ck_assert_int_eq(par_barrier_n_waiting(&s->barrier), 0);
}
END_TEST

START_TEST(action_runs_once_per_round)
{
    struct stage *s = make_stage(count_action, 10);
    pid_t child[N_PARTIES];
    start(child, N_PARTIES, march, s);
    assert_all_end_with(child, N_PARTIES, SUCCESS);
    ck_assert_int_eq(s->n_actions, 10);
}
END_TEST

START_TEST(failing_action_breaks_the_barrier_for_all)
{
    struct stage *s = make_stage(fail_action, 1);
    pid_t child[N_PARTIES];
    start(child, N_PARTIES, wait_once, s);
    assert_all_end_with(child, N_PARTIES, ECANCELED);
    ck_assert_int_eq(s->n_actions, 1);
    ck_assert(par_barrier_broken(&s->barrier));
}
END_TEST

START_TEST(abort_breaks_and_reset_lets_another_set_of_parties_meet)
{
    struct stage *s = make_stage(NULL, 10);
    pid_t child[N_PARTIES];
    for (int i = 0; i < 3; i++) {
        start(child, 4, wait_once, s);
        until_waiting(s, 4);
        ck_assert_int_eq(par_barrier_abort(&s->barrier), 0);
        assert_all_end_with(child, 4, ECANCELED);
        ck_assert_int_eq(wait_once(s), ECANCELED);
        ck_assert_int_eq(par_barrier_reset(&s->barrier), 0);
    }
    start(child, N_PARTIES, march, s);
    assert_all_end_with(child, N_PARTIES, SUCCESS);
}
END_TEST

START_TEST(reset_cancels_those_that_wait)
{
    struct stage *s = make_stage(NULL, 10);
    pid_t child[N_PARTIES];
    start(child, 4, wait_once, s);
    until_waiting(s, 4);
    ck_assert_int_eq(par_barrier_reset(&s->barrier), 0);
    assert_all_end_with(child, 4, ECANCELED);
    ck_assert(!par_barrier_broken(&s->barrier));
    start(child, N_PARTIES, march, s);
    assert_all_end_with(child, N_PARTIES, SUCCESS);
}
END_TEST

START_TEST(one_deadline_breaks_the_barrier_for_all)
{
    struct stage *s = make_stage(NULL, 0);
    pid_t child[3], impatient;
    start(child, 3, wait_once, s);
    until_waiting(s, 3);
    impatient = fixture_fork(wait_a_moment, s);
    ck_assert_int_eq(fixture_wait(impatient), ETIMEDOUT);
    assert_all_end_with(child, 3, ECANCELED);
}
END_TEST

/* ---- deaths */

START_TEST(death_of_a_waiting_party_is_told_to_all)
{
    struct stage *s = make_stage(NULL, 10);
    pid_t child[N_PARTIES];
    start(child, 4, wait_once, s);
    until_waiting(s, 4);
    kill(child[3], SIGKILL);
    ck_assert_int_eq(fixture_wait(child[3]), -SIGKILL);
    assert_all_end_with(child, 3, EOWNERDEAD);
    ck_assert_int_eq(wait_once(s), EOWNERDEAD);
    ck_assert(par_barrier_broken(&s->barrier));
    ck_assert_int_eq(par_barrier_reset(&s->barrier), 0);
    start(child, N_PARTIES, march, s);
    assert_all_end_with(child, N_PARTIES, SUCCESS);
}
END_TEST

START_TEST(death_between_two_rounds_is_told_to_the_only_partner)
{
    par_barrier *b = par_value(par_barrier);
    pid_t partner;

    ck_assert_int_eq(par_barrier_init(b, 2, NULL, NULL), 0);
    partner = fixture_fork(pass_once, b);
    ck_assert_int_ge(par_barrier_wait(b, par_in(20)), 0);
    ck_assert_int_eq(fixture_wait(partner), SUCCESS);
    ck_fails(par_barrier_wait(b, par_in(20)), EOWNERDEAD);
    par_shared_free(b);
}
END_TEST

START_TEST(killed_at_any_moment_never_hangs_the_others)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage(count_action, 0);
    for (int kills = 0; kills < 60 && par_since(start_time) < 10; kills++) {
        pid_t child[N_PARTIES];
        int victim = kills % N_PARTIES;
        start(child, N_PARTIES, wait_for_ever, s);
        while (atomic_load(&s->n_actions) == 0)
            ck_fails(par_event_wait(&s->go_on, par_in(0.001)), ETIMEDOUT);
        fixture_kill_after_us(child[victim], fixture_random_below(1000));
        for (int i = 0; i < N_PARTIES; i++)
            ck_assert_int_eq(fixture_wait(child[i]), i == victim ? -SIGKILL : EOWNERDEAD);
        ck_assert_int_eq(par_barrier_reset(&s->barrier), 0);
        atomic_store(&s->n_actions, 0);
    }
}
END_TEST

static int
die_in_action(void *arg)
{
    (void)arg;
    kill(getpid(), SIGKILL);
    return 0;
}

START_TEST(death_in_the_action_is_told)
{
    struct stage *s = make_stage(die_in_action, 0);
    pid_t child[N_PARTIES];
    start(child, 4, wait_once, s);
    until_waiting(s, 4);
    start(&child[4], 1, wait_once, s);
    ck_assert_int_eq(fixture_wait(child[4]), -SIGKILL);
    assert_all_end_with(child, 4, EOWNERDEAD);
}
END_TEST

static int
meet_once_then_wait(void *arg)
{
    struct stage *s = arg;
    par_barrier *pair = (par_barrier *)(s + 1);

    if (par_barrier_wait(pair, par_in(20)) < 0)
        return errno;
    atomic_fetch_add(&s->n_first, 1);
    return par_event_wait(&s->go_on, par_in(20)) == 0 ? SUCCESS : errno;
}

START_TEST(stranger_that_dies_while_it_waits_is_no_ghost)
{
    struct stage *s = par_shared_alloc(1, sizeof *s + sizeof(par_barrier));
    par_barrier *pair = (par_barrier *)(s + 1);
    pid_t child[2], stranger;
    ck_assert_int_eq(par_barrier_init(pair, 2, NULL, NULL), 0);
    start(child, 2, meet_once_then_wait, s); /* these two are known, and live on */
    while (atomic_load(&s->n_first) != 2)
        ck_fails(par_event_wait(&s->go_on, par_in(0.001)), ETIMEDOUT);
    stranger = fixture_fork(meet_once_then_wait, s);
    while (par_barrier_n_waiting(pair) != 1)
        ck_fails(par_event_wait(&s->go_on, par_in(0.001)), ETIMEDOUT);
    kill(stranger, SIGKILL);
    ck_assert_int_eq(fixture_wait(stranger), -SIGKILL);
    ck_fails(par_barrier_wait(pair, par_in(20)), EOWNERDEAD);
    par_event_set(&s->go_on);
    assert_all_end_with(child, 2, SUCCESS);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("barrier");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, single_party_passes_at_once);
    tcase_add_test(one, bad_arguments_are_einval);
    tcase_add_test(one, deadline_breaks_the_barrier_and_reset_mends_it);
    tcase_add_test(one, threads_march_in_step);
    tcase_add_test(one, more_threads_than_parties_take_turns);
    tcase_add_test(several, processes_march_in_step_a_thousand_times);
    tcase_add_test(several, action_runs_once_per_round);
    tcase_add_test(several, failing_action_breaks_the_barrier_for_all);
    tcase_add_test(several, abort_breaks_and_reset_lets_another_set_of_parties_meet);
    tcase_add_test(several, reset_cancels_those_that_wait);
    tcase_add_test(several, one_deadline_breaks_the_barrier_for_all);
    tcase_add_test(several, death_of_a_waiting_party_is_told_to_all);
    tcase_add_test(several, death_between_two_rounds_is_told_to_the_only_partner);
    tcase_add_test(several, killed_at_any_moment_never_hangs_the_others);
    tcase_add_test(several, death_in_the_action_is_told);
    tcase_add_test(several, stranger_that_dies_while_it_waits_is_no_ghost);
    return fixture_run(suite);
}
