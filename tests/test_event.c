/* SPDX-License-Identifier: MIT
 *
 * test_event.c: a flag: set, cleared, waited for; a pulse is not missed by those that wait; a signal handler may set it.
 */
#include "fixture.h"

#include <par/shared.h>
#include <par/sync.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

struct stage {
    par_event flag, answer;
    par_semaphore at_door;
    _Atomic int n_passed;
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
set_flag(void *arg)
{
    return par_event_set(&((struct stage *)arg)->flag) == 0 ? 0 : 1;
}

static int
wait_for_flag(void *arg)
{
    struct stage *s = arg;

    par_semaphore_release(&s->at_door, 1);
    if (par_event_wait(&s->flag, par_in(20)) != 0)
        return 1;
    atomic_fetch_add(&s->n_passed, 1);
    return 0;
}

static int
answer_for_ever(void *arg)
{
    struct stage *s = arg;

    for (;;) {
        if (par_event_wait(&s->flag, par_in(20)) != 0)
            return 1;
        par_event_clear(&s->flag);
        par_event_set(&s->answer);
    }
}

static void *
wait_in_thread(void *arg)
{
    return (void *)(intptr_t)wait_for_flag(arg);
}

/* ---- one process */

START_TEST(starts_unset_and_follows_set_and_clear)
{
    struct stage *s = make_stage();
    ck_assert(!par_event_is_set(&s->flag));
    ck_fails(par_event_wait(&s->flag, PAR_NOWAIT), ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(par_event_set(&s->flag), 0);
        ck_assert_int_eq(par_event_set(&s->flag), 0);
        ck_assert(par_event_is_set(&s->flag));
        ck_assert_int_eq(par_event_wait(&s->flag, PAR_NOWAIT), 0);
        ck_assert_int_eq(par_event_wait(&s->flag, PAR_FOREVER), 0);
        ck_assert_int_eq(par_event_clear(&s->flag), 0);
        ck_assert_int_eq(par_event_clear(&s->flag), 0);
        ck_assert(!par_event_is_set(&s->flag));
    }
}
END_TEST

START_TEST(deadline_is_not_cut_short)
{
    struct stage *s = make_stage();
    par_time start = par_now();
    ck_fails(par_event_wait(&s->flag, par_in(0.1)), ETIMEDOUT);
    ck_assert(par_since(start) >= 0.1);
}
END_TEST

START_TEST(outside_shared_memory_is_einval)
{
    par_event on_stack = { { 0 } };
    struct stage *s = make_stage();
    par_event *odd = (par_event *)(void *)((char *)&s->flag + 4), *beyond = (par_event *)(void *)((char *)s + (1 << 30));
    par_event *bad[] = { NULL, &on_stack, odd, beyond };
    for (int i = 0; i < 4; i++) {
        ck_fails(par_event_set(bad[i]), EINVAL);
        ck_fails(par_event_clear(bad[i]), EINVAL);
        ck_fails(par_event_wait(bad[i], PAR_NOWAIT), EINVAL);
        errno = 0;
        ck_assert(!par_event_is_set(bad[i]));
        ck_assert_int_eq(errno, EINVAL);
    }
}
END_TEST

static par_event *handlers_event;

static void
set_in_handler(int number)
{
    (void)number;
    (void)par_event_set(handlers_event);
}

START_TEST(signal_handler_ends_the_wait_of_its_own_thread)
{
    struct stage *s = make_stage();
    handlers_event = &s->flag;
    signal(SIGALRM, set_in_handler);
    ualarm(20000, 0);
    ck_assert_int_eq(par_event_wait(&s->flag, par_in(20)), 0);
}
END_TEST

static void
interrupt_on_alarm(int number)
{
    (void)number;
    par_interrupt(true);
}

START_TEST(interrupt_is_eintr)
{
    struct stage *s = make_stage();
    signal(SIGALRM, interrupt_on_alarm);
    ualarm(20000, 0);
    ck_fails(par_event_wait(&s->flag, PAR_FOREVER), EINTR);
    par_interrupt(false);
}
END_TEST

/* Everybody is in its wait, or about to enter it: the pulse wakes who waits, and the flag stays set for the rest. */
static void
take_all_in(struct stage *s, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(par_semaphore_acquire(&s->at_door, par_in(20)), 0);
}

START_TEST(set_wakes_all_threads)
{
    struct stage *s = make_stage();
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, wait_in_thread, s), 0);
    take_all_in(s, 4);
    ck_assert_int_eq(par_event_set(&s->flag), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_null(result);
    }
    ck_assert_int_eq(s->n_passed, 4);
}
END_TEST

/* ---- several processes */

START_TEST(set_is_seen_by_another_process)
{
    struct stage *s = make_stage();
    pid_t child = fixture_fork(set_flag, s);
    ck_assert_int_eq(par_event_wait(&s->flag, par_in(20)), 0);
    ck_assert_int_eq(fixture_wait(child), 0);
    ck_assert_int_eq(par_event_wait(&s->flag, PAR_NOWAIT), 0);
}
END_TEST

/* Is the process asleep in the kernel? Then it is past its first look at the flag. */
static bool
is_asleep(pid_t pid)
{
    char path[64], state = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%*d %*s %c", &state), 1);
    fclose(file);
    return state == 'S';
}

START_TEST(pulse_wakes_all_that_wait)
{
    struct stage *s = make_stage();
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        child[i] = fixture_fork(wait_for_flag, s);
    take_all_in(s, 4);
    for (int i = 0; i < 4; i++)
        while (!is_asleep(child[i]))
            ck_assert_int_eq(par_event_wait(&s->answer, par_in(0.001)), -1);
    ck_assert_int_eq(par_event_set(&s->flag), 0);
    ck_assert_int_eq(par_event_clear(&s->flag), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(s->n_passed, 4);
}
END_TEST

START_TEST(ping_pong_survives_kills_of_the_other_side)
{
    par_time start_time = par_now(); /* a busy machine kills fewer */
    struct stage *s = make_stage();
    pid_t other = fixture_fork(answer_for_ever, s);
    for (int kills = 0; kills < 200 && par_since(start_time) < 10; kills++) {
        for (int i = 0; i < 5; i++) {
            par_event_set(&s->flag);
            ck_assert_int_eq(par_event_wait(&s->answer, par_in(20)), 0);
            par_event_clear(&s->answer);
        }
        fixture_kill_after_us(other, fixture_random_below(100));
        ck_assert_int_eq(fixture_wait(other), -SIGKILL);
        par_event_clear(&s->answer);
        other = fixture_fork(answer_for_ever, s);
    }
    kill(other, SIGKILL);
    ck_assert_int_eq(fixture_wait(other), -SIGKILL);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("event");
    TCase *one = fixture_thread_case(suite, "one process"), *several = fixture_case(suite, "several processes");

    tcase_add_test(one, starts_unset_and_follows_set_and_clear);
    tcase_add_test(one, deadline_is_not_cut_short);
    tcase_add_test(one, outside_shared_memory_is_einval);
    tcase_add_test(one, signal_handler_ends_the_wait_of_its_own_thread);
    tcase_add_test(one, interrupt_is_eintr);
    tcase_add_test(one, set_wakes_all_threads);
    tcase_add_test(several, set_is_seen_by_another_process);
    tcase_add_test(several, pulse_wakes_all_that_wait);
    tcase_add_test(several, ping_pong_survives_kills_of_the_other_side);
    return fixture_run(suite);
}
