/* SPDX-License-Identifier: MIT
 *
 * test_time.c: deadlines, the version, errors in words, and the way out of an endless wait.
 */
#include "fixture.h"

#include "../libpar/os/os.h"

#include <math.h>
#include <par/base.h>
#include <signal.h>
#include <time.h>

#define SECOND 1000000000ll

/* ---- par_time */

START_TEST(all_zero_is_for_ever)
{
    par_time zero = { 0 };

    ck_assert(zero.ns == PAR_FOREVER.ns);
    ck_assert(!pari_is_over(zero));
}
END_TEST

START_TEST(nowait_is_over_at_once)
{
    ck_assert(pari_is_over(PAR_NOWAIT));
}
END_TEST

START_TEST(now_is_the_monotonic_clock_and_never_goes_back)
{
    struct timespec clock;
    par_time first = par_now();
    clock_gettime(CLOCK_MONOTONIC, &clock);
    par_time second = par_now();
    int64_t between = (int64_t)clock.tv_sec * SECOND + clock.tv_nsec;

    ck_assert(first.ns > 0);
    ck_assert(first.ns <= between);
    ck_assert(between <= second.ns);
}
END_TEST

START_TEST(in_counts_from_now)
{
    par_time earlier = par_now();
    par_time deadline = par_in(1.5);
    par_time later = par_now();

    ck_assert(deadline.ns - earlier.ns >= 3 * SECOND / 2);
    ck_assert(deadline.ns - later.ns <= 3 * SECOND / 2);
    ck_assert(!pari_is_over(deadline));
}
END_TEST

START_TEST(in_a_nanosecond_is_a_moment_that_passes)
{
    par_time deadline = par_in(1e-9);

    ck_assert(deadline.ns > 0);
    while (par_now().ns < deadline.ns)
        ;
    ck_assert(pari_is_over(deadline));
}
END_TEST

START_TEST(in_less_than_a_nanosecond_is_not_for_ever)
{
    ck_assert(par_in(1e-300).ns > 0);
    ck_assert(par_in(5e-324).ns > 0);
}
END_TEST

START_TEST(in_infinity_is_for_ever)
{
    ck_assert(par_in(INFINITY).ns == PAR_FOREVER.ns);
}
END_TEST

START_TEST(in_zero_negative_and_nan_is_now)
{
    const double now[] = { 0.0, -0.0, -1e-9, -1.0, -1e300, -INFINITY, NAN, -NAN };

    for (size_t i = 0; i < sizeof now / sizeof *now; i++)
        ck_assert_msg(par_in(now[i]).ns == PAR_NOWAIT.ns, "par_in(%g)", now[i]);
}
END_TEST

START_TEST(in_too_far_for_the_clock_saturates)
{
    const double far[] = { 9.3e9, 1e18, 1e300, 1.7e308 };

    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        par_time deadline = par_in(far[i]);
        ck_assert_msg(deadline.ns > INT64_MAX / 2, "par_in(%g)", far[i]);
        ck_assert(!pari_is_over(deadline));
    }
}
END_TEST

START_TEST(in_around_the_last_moment_never_overflows)
{
    /* INT64_MAX ns are about 9223372036.85 s; step across it closely. */
    double edge = (double)(INT64_MAX - par_now().ns) / 1e9;

    for (int step = -1000; step <= 1000; step++)
        ck_assert(par_in(edge + step * 1e-5).ns > INT64_MAX / 2);
}
END_TEST

START_TEST(since_grows_from_zero)
{
    par_time start = par_now();
    double first = par_since(start);
    double second = par_since(start);

    ck_assert_double_ge(first, 0.0);
    ck_assert_double_ge(second, first);
    ck_assert_double_lt(second, 30.0);
}
END_TEST

START_TEST(since_counts_seconds)
{
    par_time start = { .ns = par_now().ns - 5 * SECOND };

    ck_assert_double_ge(par_since(start), 5.0);
    ck_assert_double_lt(par_since(start), 35.0);
}
END_TEST

START_TEST(since_a_later_moment_is_negative)
{
    ck_assert_double_lt(par_since(par_in(100)), 0.0);
}
END_TEST

START_TEST(since_any_moment_is_finite)
{
    const int64_t odd[] = { 0, -1, INT64_MAX, INT64_MIN };

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        ck_assert(isfinite(par_since(PAR_TIME(odd[i]))));
}
END_TEST

START_TEST(a_slice_ends_at_the_deadline_or_before)
{
    par_time soon = par_in(0.001);

    ck_assert(pari_slice_end(soon, SECOND) == soon.ns);
    ck_assert(pari_slice_end(PAR_FOREVER, SECOND) <= par_now().ns + SECOND);
    ck_assert(pari_slice_end(par_in(100), SECOND) <= par_now().ns + SECOND);
}
END_TEST

/* ---- version and errors */

START_TEST(version_is_that_of_the_header)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", PAR_VERSION_MAJOR, PAR_VERSION_MINOR, PAR_VERSION_PATCH);

    ck_assert_str_eq(par_version(), expected);
}
END_TEST

START_TEST(error_is_empty_at_first)
{
    ck_assert_str_eq(par_error(), "");
}
END_TEST

START_TEST(error_says_the_last_failure_and_keeps_errno)
{
    errno = ENOSPC;
    pari_say("item %d: worker %d killed by %s", 37, 4711, "SIGKILL");

    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_str_eq(par_error(), "item 37: worker 4711 killed by SIGKILL");
}
END_TEST

START_TEST(error_too_long_to_keep_is_cut_short)
{
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    pari_say("%s", text);

    size_t length = strlen(par_error());
    ck_assert_uint_gt(length, 50);
    ck_assert_uint_lt(length, sizeof text);
}
END_TEST

static void *
empty_error_in_new_thread(void *unused)
{
    (void)unused;
    return strcmp(par_error(), "") == 0 ? "yes" : NULL;
}

START_TEST(error_is_each_threads_own)
{
    pthread_t thread;
    void *was_empty = NULL;
    pari_say("of the main thread");
    ck_assert_int_eq(pthread_create(&thread, NULL, empty_error_in_new_thread, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &was_empty), 0);

    ck_assert_ptr_nonnull(was_empty);
    ck_assert_str_eq(par_error(), "of the main thread");
}
END_TEST

/* ---- par_interrupt */

START_TEST(interrupt_is_a_switch)
{
    ck_assert(!pari_is_interrupted());
    par_interrupt(true);
    par_interrupt(true);
    ck_assert(pari_is_interrupted());
    par_interrupt(false);
    ck_assert(!pari_is_interrupted());
}
END_TEST

static void
interrupt_on_signal(int signal_number)
{
    (void)signal_number;
    par_interrupt(true);
}

START_TEST(interrupt_from_a_signal_handler_ends_a_wait)
{
    static _Atomic uint32_t never_changes;
    struct pari_word word = { &never_changes, 0 };
    struct sigaction action = { .sa_handler = interrupt_on_signal };
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    timer_t timer;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
    ck_assert_int_eq(timer_settime(timer, 0, &soon, NULL), 0);

    int result = 0;
    while (result == 0) /* 0: look again */
        result = pari_futex_wait(&word, 1, par_in(20).ns);
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(errno, EINTR);
    ck_assert(pari_is_interrupted());
    timer_delete(timer);
}
END_TEST

static int
is_interrupted(void *unused)
{
    (void)unused;
    return pari_is_interrupted();
}

START_TEST(interrupt_does_not_reach_other_processes)
{
    pid_t child = fixture_fork(is_interrupted, NULL);
    par_interrupt(true);

    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("time");

    TCase *deadlines = fixture_case(suite, "deadlines");
    tcase_add_test(deadlines, all_zero_is_for_ever);
    tcase_add_test(deadlines, nowait_is_over_at_once);
    tcase_add_test(deadlines, now_is_the_monotonic_clock_and_never_goes_back);
    tcase_add_test(deadlines, in_counts_from_now);
    tcase_add_test(deadlines, in_a_nanosecond_is_a_moment_that_passes);
    tcase_add_test(deadlines, in_less_than_a_nanosecond_is_not_for_ever);
    tcase_add_test(deadlines, in_infinity_is_for_ever);
    tcase_add_test(deadlines, in_zero_negative_and_nan_is_now);
    tcase_add_test(deadlines, in_too_far_for_the_clock_saturates);
    tcase_add_test(deadlines, in_around_the_last_moment_never_overflows);
    tcase_add_test(deadlines, since_grows_from_zero);
    tcase_add_test(deadlines, since_counts_seconds);
    tcase_add_test(deadlines, since_a_later_moment_is_negative);
    tcase_add_test(deadlines, since_any_moment_is_finite);
    tcase_add_test(deadlines, a_slice_ends_at_the_deadline_or_before);

    TCase *words = fixture_thread_case(suite, "words");
    tcase_add_test(words, version_is_that_of_the_header);
    tcase_add_test(words, error_is_empty_at_first);
    tcase_add_test(words, error_says_the_last_failure_and_keeps_errno);
    tcase_add_test(words, error_too_long_to_keep_is_cut_short);
    tcase_add_test(words, error_is_each_threads_own);

    TCase *interruption = fixture_case(suite, "interruption");
    tcase_add_test(interruption, interrupt_is_a_switch);
    tcase_add_test(interruption, interrupt_from_a_signal_handler_ends_a_wait);
    tcase_add_test(interruption, interrupt_does_not_reach_other_processes);
    return fixture_run(suite);
}
