/* SPDX-License-Identifier: MIT
 *
 * test_nap.c: sleeping: no wake-up is lost, the deadline is honoured, a death or par_interrupt ends the sleep.
 */
#include "fixture.h"

#include <par/base.h>
#include <par/shared.h>
#include <pthread.h>
#include <signal.h>

#include "../libpar/shm/shm.h"

struct stage {
    struct pari_eventcount turn, work;
    _Atomic unsigned ball;     /* even: the first player's, odd: the second's */
    _Atomic unsigned n_tokens; /* for several takers */
    _Atomic unsigned n_taken;
    _Atomic int is_over;
    _Atomic pari_member sleeper;
    _Atomic uint32_t word;
};

#define N_SHOTS 4000u
#define N_TAKERS 3

static struct stage *
make_stage(void)
{
    struct stage *s = par_value(struct stage);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* ---- players: 0 is success */

static bool is_light; /* the sleeper makes the fence for both */

static int
play(struct stage *s, unsigned side)
{
    for (unsigned shot = side; shot < N_SHOTS; shot += 2) {
        struct pari_nap nap = { 0 };
        for (;;) {
            uint32_t key = pari_eventcount_prepare(&s->turn);
            if (is_light)
                pari_eventcount_fence(&s->turn);
            if (atomic_load(&s->ball) == shot)
                break;
            if (pari_eventcount_wait(&s->turn, key, &nap, NULL, 0, par_in(20)) != 0)
                return 1;
        }
        atomic_store_explicit(&s->ball, shot + 1, is_light ? memory_order_release : memory_order_seq_cst);
        if (is_light)
            (void)pari_eventcount_notify_light(&s->turn, 1);
        else
            pari_eventcount_notify(&s->turn, 1);
    }
    return 0;
}

static int
play_odd(void *arg)
{
    return play(arg, 1);
}

static bool
take_token(struct stage *s)
{
    unsigned n = atomic_load(&s->n_tokens);

    do
        if (n == 0)
            return false;
    while (!atomic_compare_exchange_weak(&s->n_tokens, &n, n - 1));
    atomic_fetch_add(&s->n_taken, 1);
    pari_eventcount_notify(&s->turn, INT32_MAX);
    return true;
}

static int
until_taken(struct stage *s, unsigned n)
{
    struct pari_nap nap = { 0 };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&s->turn);
        if (atomic_load(&s->n_taken) >= n)
            return 0;
        if (pari_eventcount_wait(&s->turn, key, &nap, NULL, 0, par_in(20)) != 0)
            return 1;
    }
}

/* One token per round: who has taken one waits until the others, who must be woken for it, have taken theirs. */
static int
take_tokens(void *arg)
{
    struct stage *s = arg;
    struct pari_nap nap = { 0 };
    unsigned round = 0;

    while (!atomic_load(&s->is_over)) {
        uint32_t key = pari_eventcount_prepare(&s->work);
        if (take_token(s)) {
            if (until_taken(s, N_TAKERS * ++round) != 0)
                return 1;
            nap = (struct pari_nap){ 0 };
        } else if (!atomic_load(&s->is_over) && pari_eventcount_wait(&s->work, key, &nap, NULL, 0, par_in(20)) != 0)
            return 1;
    }
    return 0;
}

/* One notify per token, back to back: each must wake one more while anybody sleeps. A lost one costs up to half a second. */
static int
deal_tokens(struct stage *s, unsigned n_rounds)
{
    for (unsigned round = 1; round <= n_rounds; round++) {
        for (int i = 0; i < N_TAKERS; i++) {
            atomic_fetch_add(&s->n_tokens, 1);
            pari_eventcount_notify(&s->work, 1);
        }
        if (until_taken(s, N_TAKERS * round) != 0)
            return 1;
    }
    atomic_store(&s->is_over, 1);
    pari_eventcount_notify(&s->work, INT32_MAX);
    return 0;
}

/* ---- between processes, and between threads */

START_TEST(no_wake_up_is_lost_between_two_processes)
{
    struct stage *s = make_stage();
    pid_t child = fixture_fork(play_odd, s);
    ck_assert_int_eq(play(s, 0), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert_uint_eq(s->ball, N_SHOTS);
}
END_TEST

START_TEST(each_notify_wakes_one_of_several_processes)
{
    struct stage *s = make_stage();
    pid_t child[N_TAKERS];
    for (int i = 0; i < N_TAKERS; i++)
        child[i] = fixture_fork(take_tokens, s);
    ck_assert_int_eq(deal_tokens(s, 6000), 0);
    for (int i = 0; i < N_TAKERS; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
}
END_TEST

static void *
play_odd_in_thread(void *arg)
{
    return (void *)(intptr_t)play_odd(arg);
}

static void *
take_tokens_in_thread(void *arg)
{
    return (void *)(intptr_t)take_tokens(arg);
}

START_TEST(no_wake_up_is_lost_between_two_threads)
{
    struct stage *s = make_stage();
    pthread_t other;
    void *result;
    ck_assert_int_eq(pthread_create(&other, NULL, play_odd_in_thread, s), 0);
    ck_assert_int_eq(play(s, 0), 0);
    ck_assert_int_eq(pthread_join(other, &result), 0);
    ck_assert_ptr_null(result);
}
END_TEST

START_TEST(each_notify_wakes_one_of_several_threads)
{
    struct stage *s = make_stage();
    pthread_t thread[N_TAKERS];
    void *result;
    for (int i = 0; i < N_TAKERS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, take_tokens_in_thread, s), 0);
    ck_assert_int_eq(deal_tokens(s, 6000), 0);
    for (int i = 0; i < N_TAKERS; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
}
END_TEST

/* ---- deadline */

static int
nap_until(struct stage *s, const pari_member *peers, unsigned n_peers, par_time deadline)
{
    struct pari_nap nap = { 0 };

    while (n_peers == 0 || !pari_member_is_dead(peers[0]))
        if (pari_nap(&nap, &s->word, 0, peers, n_peers, deadline) != 0)
            return -1;
    return 0;
}

START_TEST(deadline_ends_the_sleep_and_not_before)
{
    struct stage *s = make_stage();
    par_time start = par_now();
    ck_fails(nap_until(s, NULL, 0, par_in(0.15)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.15);
    ck_fails(nap_until(s, NULL, 0, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(nap_until(s, NULL, 0, start), ETIMEDOUT);
}
END_TEST

START_TEST(changed_word_does_not_sleep)
{
    struct stage *s = make_stage();
    struct pari_nap nap = { 0 };
    atomic_store(&s->word, 7);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(pari_nap(&nap, &s->word, 0, NULL, 0, PAR_FOREVER), 0);
}
END_TEST

/* ---- interruption */

static void
interrupt_on_alarm(int number)
{
    (void)number;
    par_interrupt(true);
}

START_TEST(interrupt_is_eintr_until_it_is_switched_off)
{
    struct stage *s = make_stage();
    signal(SIGALRM, interrupt_on_alarm);
    ualarm(50000, 0);
    ck_fails(nap_until(s, NULL, 0, par_in(20)), EINTR);
    ck_fails(nap_until(s, NULL, 0, PAR_FOREVER), EINTR);
    par_interrupt(false);
    ck_fails(nap_until(s, NULL, 0, par_in(0.01)), ETIMEDOUT);
}
END_TEST

static void
do_nothing(int number)
{
    (void)number;
}

START_TEST(other_signals_do_not_end_the_wait)
{
    struct stage *s = make_stage();
    par_time start = par_now();
    signal(SIGALRM, do_nothing);
    ualarm(1000, 1000);
    ck_fails(nap_until(s, NULL, 0, par_in(0.1)), ETIMEDOUT);
    ualarm(0, 0);
    ck_assert(par_since(start) >= 0.1);
}
END_TEST

/* ---- death of a peer */

static enum pari_call failing_call = PARI_N_CALLS;
static int failing_errno;

static int
fail_one_call(enum pari_call call)
{
    return call == failing_call ? failing_errno : 0;
}

static int
join_and_sleep(void *arg)
{
    struct stage *s = arg;

    atomic_store(&s->sleeper, pari_self());
    pari_eventcount_notify(&s->turn, INT32_MAX);
    return nap_until(s, NULL, 0, par_in(20)) == 0 ? 0 : 1;
}

static int
await_death(void *arg)
{
    struct stage *s = arg;
    pari_member peer = atomic_load(&s->sleeper);

    return nap_until(s, &peer, 1, par_in(20)) == 0 ? 0 : 1;
}

static pid_t
start_sleeper(struct stage *s)
{
    struct pari_nap nap = { 0 };
    pid_t child;

    atomic_store(&s->sleeper, 0);
    child = fixture_fork(join_and_sleep, s);
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&s->turn);
        if (atomic_load(&s->sleeper) != 0)
            return child;
        ck_assert_int_eq(pari_eventcount_wait(&s->turn, key, &nap, NULL, 0, par_in(20)), 0);
    }
}

static void
assert_deaths_are_noticed(int rounds)
{
    struct stage *s = make_stage();

    for (int i = 0; i < rounds; i++) {
        pid_t sleeper = start_sleeper(s), watcher[2];
        for (int k = 0; k < 2; k++)
            watcher[k] = fixture_fork(await_death, s);
        fixture_kill_after_us(sleeper, fixture_random_below(2000));
        ck_assert_int_eq(await_death(s), 0);
        ck_assert_int_eq(fixture_wait(watcher[0]), 0);
        ck_assert_int_eq(fixture_wait(watcher[1]), 0);
        ck_assert_int_eq(fixture_wait(sleeper), -SIGKILL);
    }
}

START_TEST(death_of_a_peer_wakes_all_that_watch_it)
{
    assert_deaths_are_noticed(40);
}
END_TEST

START_TEST(death_of_a_peer_is_found_without_futex_waitv)
{
    static const int refusal[] = { ENOSYS, EPERM };
    failing_call = PARI_CALL_FUTEX_WAITV;
    failing_errno = refusal[_i];
    pari_fault_hook = fail_one_call;
    assert_deaths_are_noticed(5);
}
END_TEST

/* ---- the fence that the sleeper makes for both sides */

static void
assert_light_play(void)
{
    struct stage *s = make_stage();
    pid_t child;
    is_light = true;
    pari_fence_register();
    child = fixture_fork(play_odd, s);
    ck_assert_int_eq(play(s, 0), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert_uint_eq(s->ball, N_SHOTS);
}

START_TEST(no_wake_up_is_lost_without_a_fence_of_the_waker)
{
    assert_light_play();
}
END_TEST

START_TEST(wakers_fence_where_the_sleepers_cannot)
{
    static const int refusal[] = { ENOSYS, EPERM };
    struct pari_eventcount ec = { 0 };
    failing_call = PARI_CALL_MEMBARRIER;
    failing_errno = refusal[_i];
    pari_fault_hook = fail_one_call;
    errno = 7;
    ck_assert(!pari_fence_heavy());
    pari_eventcount_fence(&ec);
    ck_assert_uint_eq(ec.flags, PARI_MUST_FENCE);
    ck_assert_uint_eq(ec.word, 0);
    ck_assert_int_eq(errno, 7);
    assert_light_play();
    ck_assert(!pari_fence_is_light);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("nap");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, deadline_ends_the_sleep_and_not_before);
    tcase_add_test(one, changed_word_does_not_sleep);
    tcase_add_test(one, interrupt_is_eintr_until_it_is_switched_off);
    tcase_add_test(one, other_signals_do_not_end_the_wait);
    tcase_add_test(one, no_wake_up_is_lost_between_two_threads);
    tcase_add_test(one, each_notify_wakes_one_of_several_threads);
    tcase_add_test(several, no_wake_up_is_lost_between_two_processes);
    tcase_add_test(several, each_notify_wakes_one_of_several_processes);
    tcase_add_test(several, no_wake_up_is_lost_without_a_fence_of_the_waker);
    tcase_add_loop_test(several, wakers_fence_where_the_sleepers_cannot, 0, 2);
    tcase_add_test(several, death_of_a_peer_wakes_all_that_watch_it);
    tcase_add_loop_test(several, death_of_a_peer_is_found_without_futex_waitv, 0, 2);
    return fixture_run(suite);
}
