/* SPDX-License-Identifier: MIT
 *
 * test_storm.c: a small storm of kills (tests/storm; all of it is make check-storm). Its seed, in the suite's log, is the time.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>

START_TEST(nothing_is_lost_and_nobody_hangs_in_a_small_storm)
{
    int status = system("exec timeout -k 1 100 \"$PAR_BUILD\"/tests/storm/storm --kills 3000 </dev/null");

    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with %#x", (unsigned)status);
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("storm");
    TCase *small = fixture_case(s, "small");

    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "run me by make check\n");
        return EXIT_FAILURE;
    }
    tcase_set_timeout(small, 110);
    tcase_add_test(small, nothing_is_lost_and_nobody_hangs_in_a_small_storm);
    return fixture_run(s);
}
