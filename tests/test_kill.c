/* SPDX-License-Identifier: MIT
 *
 * test_kill.c: a sample of the step-kill campaign (tests/kill; all of it is make check-kill): a few points of each operation and
 * of each race, drawn from one seed, so that a run can be repeated; KILL_SEED=n draws others.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>

/* What the campaign prints is in the suite's log. */
static void
sample(const char *group)
{
    char line[512];
    int status;

    snprintf(line, sizeof line,
             "exec timeout -k 1 100 \"$PAR_BUILD\"/tests/kill/kill --sample ${KILL_SEED:-1} --group %s </dev/null", group);
    status = system(line);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: it ended with %#x", line, (unsigned)status);
}

START_TEST(killed_in_the_heap)
{
    sample("heap");
}
END_TEST

START_TEST(killed_in_a_lock)
{
    sample("lock");
}
END_TEST

START_TEST(killed_in_semaphore_condition_event_barrier)
{
    sample("sync");
}
END_TEST

START_TEST(killed_in_a_pipe)
{
    sample("pipe");
}
END_TEST

START_TEST(killed_in_a_queue)
{
    sample("queue");
}
END_TEST

START_TEST(killed_in_start_and_join)
{
    sample("process");
}
END_TEST

START_TEST(killed_in_a_pool)
{
    sample("pool");
}
END_TEST

START_TEST(killed_in_a_manager)
{
    sample("manager");
}
END_TEST

START_TEST(sleeper_and_waker_killed_in_forced_orders)
{
    sample("race");
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("kill");
    TCase *sampled = fixture_case(s, "sampled");

    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "run me by make check\n");
        return EXIT_FAILURE;
    }
    tcase_add_test(sampled, killed_in_the_heap);
    tcase_add_test(sampled, killed_in_a_lock);
    tcase_add_test(sampled, killed_in_semaphore_condition_event_barrier);
    tcase_add_test(sampled, killed_in_a_pipe);
    tcase_add_test(sampled, killed_in_a_queue);
    tcase_add_test(sampled, killed_in_start_and_join);
    tcase_add_test(sampled, killed_in_a_pool);
    tcase_add_test(sampled, killed_in_a_manager);
    tcase_add_test(sampled, sleeper_and_waker_killed_in_forced_orders);
    return fixture_run(s);
}
