/* SPDX-License-Identifier: MIT
 *
 * test_leaks.c: a small run of tests/leaks; all of it is make check-leaks.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>

/* What the program prints is in the suite's log. */
START_TEST(nothing_grows_when_objects_come_and_go)
{
    int status = system("exec timeout -k 1 25 \"$PAR_BUILD\"/tests/leaks/leaks --memory 1000 --processes 20 </dev/null");

    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with %#x", (unsigned)status);
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("leaks");
    TCase *small = fixture_case(s, "small");

    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "run me by make check\n");
        return EXIT_FAILURE;
    }
    tcase_add_test(small, nothing_grows_when_objects_come_and_go);
    return fixture_run(s);
}
