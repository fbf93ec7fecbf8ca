/* SPDX-License-Identifier: MIT
 *
 * test_log.c: lines on standard error, and what is done when a process ends by itself.
 */
#include "start.h"

#include <fcntl.h>
#include <sys/wait.h>

/* ---- lines: each test in a child whose standard error is a file */

static char text[4000]; /* of that file */

/* Run body(arg) with stderr in a file and take its lines. */
static void
capture(int (*body)(void *arg), void *arg)
{
    char name[] = "/tmp/par-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    ssize_t n;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(name), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(dup2(fd, STDERR_FILENO) < 0 ? 99 : body(arg));
    ck_assert_int_eq(fixture_wait(child), 0);
    n = pread(fd, text, sizeof text - 1, 0);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(fd);
}

static int
say_each(void *level)
{
    if (level != NULL)
        par_log_to_stderr(*(int *)level);
    errno = 77;
    par_log(PAR_LOG_DEBUG, "one %d", 1);
    par_log(PAR_LOG_INFO, "two");
    par_log(PAR_LOG_WARNING, "three");
    par_log(PAR_LOG_ERROR, "four");
    par_log(PAR_LOG_ERROR + 5, "five");
    return errno == 77 ? 0 : 1;
}

START_TEST(lines_of_the_level_and_above_are_written)
{
    int level = PAR_LOG_INFO;
    capture(say_each, &level);
    ck_assert_str_eq(text, "[INFO/MainProcess] two\n[WARNING/MainProcess] three\n[ERROR/MainProcess] four\n"
                           "[ERROR/MainProcess] five\n");
    level = PAR_LOG_ERROR + 1;
    capture(say_each, &level);
    ck_assert_str_eq(text, "[ERROR/MainProcess] five\n");
    level = PAR_LOG_OFF;
    capture(say_each, &level);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(environment_sets_the_level)
{
    capture(say_each, NULL);
    ck_assert_str_eq(text, "");
    setenv("PAR_LOG", "warning", 1);
    capture(say_each, NULL);
    ck_assert_str_eq(text, "[WARNING/MainProcess] three\n[ERROR/MainProcess] four\n[ERROR/MainProcess] five\n");
    setenv("PAR_LOG", "nonsense", 1);
    capture(say_each, NULL);
    ck_assert_str_eq(text, "");
    unsetenv("PAR_LOG");
}
END_TEST

static int
say_much(void *arg)
{
    char much[2000];

    (void)arg;
    memset(much, 'x', sizeof much);
    much[sizeof much - 1] = '\0';
    par_log_to_stderr(PAR_LOG_DEBUG);
    par_log(PAR_LOG_INFO, "%s", much);
    return 0;
}

START_TEST(long_line_is_cut)
{
    capture(say_much, NULL);
    ck_assert_uint_gt(strlen(text), 500);
    ck_assert_uint_lt(strlen(text), 600);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

static int
say_hello(void *arg)
{
    (void)arg;
    par_log(PAR_LOG_INFO, "hello");
    return 0;
}

static int
start_child(void *method)
{
    par_process *process;
    int result;

    par_log_to_stderr(PAR_LOG_INFO);
    process = par_process_start(say_hello, NULL, 0, &(par_process_opts){ .start_method = *(int *)method, .name = "child" });
    result = process != NULL && par_process_join(process, SOON) == 0 ? par_process_exitcode(process) : 1;
    par_process_free(process);
    par_forkserver_stop();
    return result;
}

START_TEST(children_write_as_their_parent_does)
{
    int method = _i;
    capture(start_child, &method);
    ck_assert_str_eq(text, "[INFO/child] hello\n");
}
END_TEST

static int
die(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return raise(SIGKILL);
}

static int
lose_a_worker(void *level)
{
    int in = 1, out;
    par_pool *pool;

    par_log_to_stderr(*(int *)level);
    pool = par_pool_new(&(par_pool_opts){ .workers = 1 });
    if (pool == NULL || par_pool_apply(pool, die, &in, &out) != 1)
        return 1;
    par_pool_free(pool);
    return 0;
}

START_TEST(what_happens_to_workers_is_told)
{
    int level = PAR_LOG_WARNING;
    capture(lose_a_worker, &level);
    ck_assert_ptr_nonnull(strstr(text, "[WARNING/MainProcess] "));
    ck_assert_ptr_nonnull(strstr(text, "killed by SIGKILL\n"));
    ck_assert_ptr_null(strstr(text, "started"));
    level = PAR_LOG_DEBUG;
    capture(lose_a_worker, &level);
    ck_assert_ptr_nonnull(strstr(text, "started, pid "));
    ck_assert_ptr_nonnull(strstr(text, "ended with -9\n"));
}
END_TEST

/* ---- finalizers */

struct slot {
    int *notes;
    int value;
};

static void
note_value(void *arg)
{
    struct slot *slot = arg;

    slot->notes[++slot->notes[0]] = slot->value;
}

static void
note_and_register(void *arg)
{
    static struct slot late;
    struct slot *slot = arg;

    note_value(arg);
    late = (struct slot){ slot->notes, 9 };
    if (par_at_exit(note_value, &late) != 0)
        _exit(50);
}

static int
register_three(void *arg)
{
    static struct slot slot[3];

    for (int i = 0; i < 3; i++) {
        slot[i] = (struct slot){ arg, i + 1 };
        if (par_at_exit(i == 1 ? note_and_register : note_value, &slot[i]) != 0)
            return 1;
    }
    return 7;
}

START_TEST(last_finalizer_comes_first)
{
    int *notes = par_array(int, 10);
    ck_assert_int_eq(code_of(_i, register_three, notes, 0), 7);
    ck_assert_int_eq(notes[0], 4);
    ck_assert_int_eq(notes[1] * 1000 + notes[2] * 100 + notes[3] * 10 + notes[4], 3291);
    par_shared_free(notes);
    par_forkserver_stop();
}
END_TEST

static int
register_and_exit(void *arg)
{
    (void)register_three(arg);
    exit(5);
}

static int
register_and_die(void *arg)
{
    (void)register_three(arg);
    return raise(SIGKILL);
}

START_TEST(exit_calls_them_and_a_signal_does_not)
{
    int *notes = par_array(int, 10);
    ck_assert_int_eq(code_of(PAR_FORK, register_and_exit, notes, 0), 5);
    ck_assert_int_eq(notes[0], 4);
    notes[0] = 0;
    ck_assert_int_eq(code_of(PAR_FORK, register_and_die, notes, 0), -SIGKILL);
    ck_assert_int_eq(notes[0], 0);
    par_shared_free(notes);
}
END_TEST

START_TEST(child_has_none_of_its_parents)
{
    static struct slot mine;
    int *notes = par_array(int, 10), *other = par_array(int, 10);
    mine = (struct slot){ other, 1 };
    ck_assert_int_eq(par_at_exit(note_value, &mine), 0);
    ck_assert_int_eq(code_of(PAR_FORK, register_and_exit, notes, 0), 5);
    ck_assert_int_eq(notes[0], 4);
    ck_assert_int_eq(other[0], 0);
    ck_fails(par_at_exit(NULL, NULL), EINVAL);
    par_shared_free(notes); /* `other` is noted in when this process ends */
}
END_TEST

int
main(void)
{
    par_spawn_support();

    Suite *suite = fixture_suite("log");
    TCase *lines = fixture_case(suite, "lines"), *finalizers = fixture_case(suite, "finalizers");

    tcase_add_test(lines, lines_of_the_level_and_above_are_written);
    tcase_add_test(lines, environment_sets_the_level);
    tcase_add_test(lines, long_line_is_cut);
    tcase_add_loop_test(lines, children_write_as_their_parent_does, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_test(lines, what_happens_to_workers_is_told);
    tcase_add_loop_test(finalizers, last_finalizer_comes_first, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_test(finalizers, exit_calls_them_and_a_signal_does_not);
    tcase_add_test(finalizers, child_has_none_of_its_parents);
    return fixture_run(suite);
}
