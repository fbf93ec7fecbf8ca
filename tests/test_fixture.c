/* SPDX-License-Identifier: MIT
 *
 * test_fixture.c: the harness itself. A fixture that stopped seeing leaks would make every other suite worthless.
 *
 * The program runs itself: with the argument "bad" it is a suite of tests of which each but the last leaves something behind.
 */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static char program[4096];

/* ---- the suite of leaks */

static int
return_seven(void *unused)
{
    (void)unused;
    return 7;
}

static int
sleep_for_ever(void *unused)
{
    (void)unused;
    while (pause() == -1)
        ;
    return 0;
}

static void *
thread_for_ever(void *unused)
{
    while (pause() == -1)
        ;
    return unused;
}

START_TEST(leaks_child)
{
    (void)fixture_fork(sleep_for_ever, NULL);
}
END_TEST

START_TEST(leaks_zombie)
{
    siginfo_t ended;
    pid_t child = fixture_fork(return_seven, NULL);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0);
}
END_TEST

START_TEST(leaks_thread)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, thread_for_ever, NULL), 0);
}
END_TEST

START_TEST(leaks_descriptor)
{
    ck_assert_int_ge(open("/dev/null", O_RDONLY), 0);
}
END_TEST

START_TEST(closes_foreign_descriptor)
{
    close(0);
}
END_TEST

START_TEST(leaks_mapping)
{
    ck_assert_ptr_ne(mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
}
END_TEST

START_TEST(leaks_shm_name)
{
    int fd = shm_open(getenv("FIXTURE_SHM"), O_CREAT | O_RDWR, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

START_TEST(leaks_nothing)
{
    int *shared = fixture_shared(sizeof *shared);
    ck_assert_int_eq(*shared, 0);
    *shared = fixture_in_child(return_seven, NULL);
    ck_assert_int_eq(*shared, 7);
    ck_assert_int_ge(memfd_create("libpar", MFD_CLOEXEC), 0); /* the arena stays for life */
}
END_TEST

START_TEST(leaves_orphans_that_end)
{
    fixture_expect_orphans();
    pid_t child = fork();
    if (child == 0)
        _exit(fixture_fork(return_seven, NULL) > 0 ? 0 : 1);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

static const struct {
    const char *name;
    const TTest *const *test;
    const char *says; /* NULL: passes */
} leak[] = {
    { "child", &leaks_child, "a child is left: it runs" },
    { "zombie", &leaks_zombie, "a child is left: it ended, but nobody has reaped it" },
    { "thread", &leaks_thread, "a thread is left" },
    { "descriptor", &leaks_descriptor, "left behind: fd" },
    { "foreign", &closes_foreign_descriptor, "gone, though the test did not make it: fd 0" },
    { "mapping", &leaks_mapping, "left behind: map" },
    { "shm", &leaks_shm_name, "left behind: shm" },
    { "nothing", &leaks_nothing, NULL },
    { "orphans", &leaves_orphans_that_end, NULL },
};
#define N_LEAKS (sizeof leak / sizeof *leak)

static int
run_leaks(void)
{
    Suite *suite = fixture_suite("leaks");
    for (size_t i = 0; i < N_LEAKS; i++)
        tcase_add_test(fixture_case(suite, leak[i].name), *leak[i].test);
    return fixture_run(suite);
}

/* ---- what the harness must say */

static void
run_one_leak(const char *name, char *output, size_t size, int *status)
{
    char command[sizeof program + 200];
    snprintf(command, sizeof command, "env -u CK_INCLUDE_TAGS CK_RUN_CASE=%s %s bad 2>&1", name, program);
    FILE *pipe = popen(command, "re");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, size - 1, pipe)] = '\0';
    *status = pclose(pipe);
}

START_TEST(leak_fails_its_test)
{
    char output[8192], name[64];
    int status;
    snprintf(name, sizeof name, "/par-fixture-%d", (int)getpid());
    setenv("FIXTURE_SHM", name, 1);
    fixture_expect_orphans(); /* what the inner suite leaves */

    run_one_leak(leak[_i].name, output, sizeof output, &status);
    (void)shm_unlink(name); /* made by one of the leaks only */
    ck_assert_ptr_nonnull(strstr(output, leak[_i].says != NULL ? "Failures: 1, Errors: 0" : "100%: Checks: 1"));
    ck_assert_msg(leak[_i].says == NULL || strstr(output, leak[_i].says) != NULL, "said: %s", output);
    ck_assert_int_eq(status != 0, leak[_i].says != NULL);
}
END_TEST

START_TEST(wait_tells_the_signal)
{
    pid_t child = fixture_fork(sleep_for_ever, NULL);
    fixture_kill_after_us(child, 100);

    ck_assert_int_eq(fixture_wait(child), -SIGKILL);
}
END_TEST

START_TEST(random_is_below_its_bound_and_reaches_all)
{
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t n = fixture_random_below(8);
        ck_assert_uint_lt(n, 8);
        seen |= 1u << n;
    }
    ck_assert_uint_eq(seen, 0xff);
}
END_TEST

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "bad") == 0)
        return run_leaks();
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return EXIT_FAILURE;
    Suite *suite = fixture_suite("fixture");
    TCase *tcase = fixture_case(suite, "harness");
    tcase_add_loop_test(tcase, leak_fails_its_test, 0, N_LEAKS);
    tcase_add_test(tcase, wait_tells_the_signal);
    tcase_add_test(tcase, random_is_below_its_bound_and_reaches_all);
    return fixture_run(suite);
}
