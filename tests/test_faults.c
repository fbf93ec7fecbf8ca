/* SPDX-License-Identifier: MIT
 *
 * test_faults.c: a sample of the fault campaign (tests/faults; all of it is make check-faults): some calls of each operation,
 * the oldest kernel, and the limits that are quick to reach.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>

/* What the campaign prints is in the suite's log. */
static void
sample(const char *what)
{
    char line[512];
    int status;

    snprintf(line, sizeof line, "exec timeout -k 1 100 \"$PAR_BUILD\"/tests/faults/faults --sample %s </dev/null", what);
    status = system(line);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: it ended with %#x", line, (unsigned)status);
}

START_TEST(failing_calls_are_told_and_leave_nothing)
{
    sample("--ops");
}
END_TEST

START_TEST(all_holds_on_an_old_kernel)
{
    sample("--kernels");
}
END_TEST

START_TEST(limits_are_errors)
{
    sample("--limits");
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("faults");
    TCase *sampled = fixture_case(s, "sampled");

    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "run me by make check\n");
        return EXIT_FAILURE;
    }
    tcase_set_timeout(sampled, 110);
    tcase_add_test(sampled, failing_calls_are_told_and_leave_nothing);
    tcase_add_test(sampled, all_holds_on_an_old_kernel);
    tcase_add_test(sampled, limits_are_errors);
    return fixture_run(s);
}
