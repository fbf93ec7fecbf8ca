/* SPDX-License-Identifier: MIT
 *
 * test_conformance.c: the behaviours of Python's multiprocessing (tests/conformance), but for the message of more than 2 GiB,
 * which takes longer than all the others together: make check-conformance.
 */
#include "fixture.h"

#include <stdlib.h>
#include <sys/wait.h>

START_TEST(what_is_claimed_of_python_s_behaviours_is_so)
{
    int status = system("exec timeout -k 1 100 \"$PAR_BUILD\"/tests/conformance/conformance --without huge_message </dev/null");

    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with %#x", (unsigned)status);
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("conformance");
    TCase *all = fixture_case(s, "all");

    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "run me by make check\n");
        return EXIT_FAILURE;
    }
    tcase_set_timeout(all, 110);
    tcase_add_test(all, what_is_claimed_of_python_s_behaviours_is_so);
    return fixture_run(s);
}
