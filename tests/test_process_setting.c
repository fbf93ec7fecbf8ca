/* SPDX-License-Identifier: MIT
 *
 * test_process_setting.c: what a child has otherwise than its parent: environment, standard descriptors, a process group of its own.
 * The tests get the start method as _i.
 */
#include "start.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libpar/os/os.h"

static int
finish_with(int (*fn)(void *arg), const void *arg, size_t size, const par_process_opts *opts)
{
    par_process *process = par_process_start(fn, arg, size, opts);

    ck_assert_msg(process != NULL, "par_process_start: %s", par_error());
    return finish(process);
}

/* ---- environment */

static int
check_environment(void *arg)
{
    const char *colour = getenv("PAR_TEST_COLOUR"), *path = getenv("PATH");

    (void)arg;
    if (colour == NULL || strcmp(colour, "blue=green") != 0)
        return 1;
    if (getenv("PAR_TEST_OLD") != NULL || path == NULL || getenv("PAR_SPAWN") != NULL)
        return 2;
    if (setenv("PAR_TEST_COLOUR", "red", 1) != 0 || strcmp(getenv("PAR_TEST_COLOUR"), "red") != 0)
        return 3;
    return getenv("PAR_TEST_EMPTY") != NULL && *getenv("PAR_TEST_EMPTY") == '\0' ? 0 : 4;
}

START_TEST(environment_is_changed_in_the_child_alone)
{
    const char *line[] = { "PAR_TEST_COLOUR=blue=green", "PAR_TEST_OLD", "PAR_TEST_EMPTY=", NULL };
    setenv("PAR_TEST_OLD", "1", 1);
    setenv("PAR_TEST_COLOUR", "white", 1);
    ck_assert_int_eq(finish_with(check_environment, NULL, 0, &(par_process_opts){ .start_method = _i, .env = line }), 0);
    ck_assert_str_eq(getenv("PAR_TEST_COLOUR"), "white");
    ck_assert_str_eq(getenv("PAR_TEST_OLD"), "1");
    par_forkserver_stop();
}
END_TEST

/* ---- standard descriptors */

static int
copy_line(void *arg)
{
    char line[100];

    (void)arg;
    if (fgets(line, sizeof line, stdin) == NULL)
        return 1;
    printf("out %s", line);
    fprintf(stderr, "err %s", line);
    return 0;
}

static void
read_all(int fd, char text[200])
{
    ssize_t n = pread(fd, text, 199, 0);

    ck_assert_int_ge(n, 0);
    text[n] = '\0';
}

static void
must_hold(int fd, const char *expected)
{
    char text[200];

    read_all(fd, text);
    ck_assert_str_eq(text, expected);
}

static int
temporary(const char *content)
{
    char name[] = "/tmp/par-test-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(name), 0);
    ck_assert_int_eq(pwrite(fd, content, strlen(content), 0), (ssize_t)strlen(content));
    return fd;
}

START_TEST(standard_descriptors_are_redirected)
{
    int in = temporary("hello\n"), out = temporary(""), err = temporary("");
    par_process_opts opts = { .start_method = _i, .in = in, .out = out, .err = err };
    ck_assert_int_eq(finish_with(copy_line, NULL, 0, &opts), 0);
    must_hold(out, "out hello\n");
    must_hold(err, "err hello\n");
    ck_assert_int_eq(lseek(in, 0, SEEK_SET), 0);
    ck_assert_int_eq(lseek(out, 0, SEEK_SET), 0);
    ck_assert_int_eq(ftruncate(out, 0), 0);
    opts.err = out; /* both in one */
    ck_assert_int_eq(finish_with(copy_line, NULL, 0, &opts), 0);
    char text[200];
    read_all(out, text); /* when stdout is flushed, at the end or before, is the libc's affair */
    ck_assert(strcmp(text, "err hello\nout hello\n") == 0 || strcmp(text, "out hello\nerr hello\n") == 0);
    close(in);
    close(out);
    close(err);
    par_forkserver_stop();
}
END_TEST

static int
say_where(void *arg)
{
    (void)arg;
    return write(STDOUT_FILENO, "1", 1) != 1 || write(STDERR_FILENO, "2", 1) != 1;
}

/* Output to where the error goes, and the other way round, in a child of its own since the suite's are not for this. */
static int
swap(void *arg)
{
    int out = temporary(""), err = temporary("");
    char byte[2] = { 0 };
    par_process *process;

    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        return 1;
    close(out);
    close(err);
    process = par_process_start(say_where, NULL, 0,
                                &(par_process_opts){ .start_method = *(int *)arg, .out = STDERR_FILENO, .err = STDOUT_FILENO });
    if (process == NULL || par_process_join(process, SOON) != 0 || par_process_exitcode(process) != 0)
        return 2;
    par_process_free(process);
    par_forkserver_stop();
    if (pread(STDOUT_FILENO, &byte[0], 1, 0) != 1 || pread(STDERR_FILENO, &byte[1], 1, 0) != 1)
        return 3;
    return byte[0] == '2' && byte[1] == '1' ? 0 : 4;
}

START_TEST(output_and_error_change_places)
{
    int method = _i;
    ck_assert_int_eq(fixture_in_child(swap, &method), 0);
}
END_TEST

static int
is_there(void *arg)
{
    return fcntl(*(int *)arg, F_GETFD) >= 0;
}

START_TEST(source_of_a_redirection_does_not_stay_open)
{
    int out = temporary("");
    par_process_opts opts = { .start_method = _i, .out = out };
    ck_assert_int_eq(finish_with(is_there, &out, sizeof out, &opts), _i == PAR_FORK); /* a fork has all that its parent has */
    close(out);
    par_forkserver_stop();
}
END_TEST

START_TEST(wrong_settings_are_refused)
{
    const char *empty[] = { "", NULL }, *nameless[] = { "=1", NULL };
    ck_fails_null(par_process_start(increment, NULL, 0, &(par_process_opts){ .start_method = _i, .out = 999 }), EBADF);
    ck_fails_null(par_process_start(increment, NULL, 0, &(par_process_opts){ .start_method = _i, .in = -1 }), EBADF);
    ck_fails_null(par_process_start(increment, NULL, 0, &(par_process_opts){ .start_method = _i, .env = empty }), EINVAL);
    ck_fails_null(par_process_start(increment, NULL, 0, &(par_process_opts){ .start_method = _i, .env = nameless }), EINVAL);
    par_forkserver_stop();
}
END_TEST

/* ---- a group */

struct tree {
    _Atomic int leader, twig, group;
    _Atomic int may_end;
};

/* A child of the child, by a plain fork, of which the library knows nothing. */
static int
grow(void *arg)
{
    struct tree *tree = arg;
    pid_t twig;

    (void)signal(SIGTERM, SIG_DFL); /* a fork has the test program's handlers */
    twig = fork();
    if (twig == 0) {
        atomic_store(&tree->twig, getpid());
        (void)stay(NULL);
    }
    atomic_store(&tree->group, getpgid(0));
    atomic_store(&tree->leader, getpid());
    while (atomic_load(&tree->may_end) == 0)
        nap();
    return 9;
}

static par_process *
grow_tree(int method, struct tree *tree)
{
    par_process *process = par_process_start(grow, tree, 0, &(par_process_opts){ .start_method = method, .group = true });

    ck_assert_msg(process != NULL, "%s", par_error());
    while (atomic_load(&tree->leader) == 0 || atomic_load(&tree->twig) == 0)
        nap();
    ck_assert_int_eq(atomic_load(&tree->group), atomic_load(&tree->leader));
    return process;
}

START_TEST(group_ends_with_its_leader)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    par_process *process = grow_tree(_i, tree);
    atomic_store(&tree->may_end, 1);
    ck_assert_int_eq(finish(process), 9);
    while (!pari_pid_has_ended(atomic_load(&tree->twig)))
        nap();
    par_shared_free(tree);
    par_forkserver_stop();
}
END_TEST

START_TEST(signals_go_to_the_whole_group)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    par_process *process = grow_tree(_i, tree);
    ck_assert_int_eq(par_process_terminate(process), 0);
    ck_assert_int_eq(finish(process), -SIGTERM);
    while (!pari_pid_has_ended(atomic_load(&tree->twig)))
        nap();
    par_shared_free(tree);
    par_forkserver_stop();
}
END_TEST

START_TEST(killed_leader_takes_its_group_along)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    par_process *process = grow_tree(_i, tree);
    ck_assert_int_eq(kill(atomic_load(&tree->leader), SIGKILL), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    while (!pari_pid_has_ended(atomic_load(&tree->twig)))
        nap();
    par_shared_free(tree);
    par_forkserver_stop();
}
END_TEST

/* With SIGCHLD ignored nobody reaps the leader, and its number is anybody's at once. */
START_TEST(group_ends_although_its_leader_is_not_reaped)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    signal(SIGCHLD, SIG_IGN);
    par_process *process = grow_tree(PAR_FORK, tree);
    ck_assert_int_eq(kill(atomic_load(&tree->leader), SIGKILL), 0);
    ck_assert_int_eq(par_process_join(process, SOON), 0);
    par_process_free(process);
    if (kill(atomic_load(&tree->twig), 0) == 0 && !pari_pid_has_ended(atomic_load(&tree->twig)))
        kill(atomic_load(&tree->twig), SIGKILL); /* kernels before 6.9 */
    par_shared_free(tree);
}
END_TEST

START_TEST(group_lives_though_its_descriptor_was_closed)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    par_process *process = grow_tree(PAR_FORK, tree);
    int fd = par_process_fileno(process), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup3(null, fd, O_CLOEXEC), fd); /* it is something else now, and always readable */
    for (int i = 0; i < 3; i++)
        ck_assert(par_process_is_alive(process));
    ck_assert(!pari_pid_has_ended(atomic_load(&tree->twig)));
    atomic_store(&tree->may_end, 1);
    ck_assert_int_eq(finish(process), 9);
    while (!pari_pid_has_ended(atomic_load(&tree->twig)))
        nap();
    close(null);
    par_shared_free(tree);
}
END_TEST

struct household {
    struct tree *tree;
    int method;
};

static int
have_a_group(void *arg)
{
    struct household *household = arg;

    return par_process_start(grow, household->tree, 0,
                             &(par_process_opts){ .start_method = household->method, .group = true, .daemon = true }) != NULL
               ? stay(NULL)
               : 1;
}

START_TEST(group_of_a_daemon_ends_with_its_parent)
{
    struct household household = { par_value(struct tree), _i };
    fixture_expect_orphans();
    par_process *parent = start(_i, have_a_group, &household, sizeof household);
    while (atomic_load(&household.tree->leader) == 0 || atomic_load(&household.tree->twig) == 0)
        nap();
    ck_assert_int_eq(par_process_kill(parent), 0);
    ck_assert_int_eq(finish(parent), -SIGKILL);
    while (!pari_pid_has_ended(atomic_load(&household.tree->leader)) || !pari_pid_has_ended(atomic_load(&household.tree->twig)))
        nap();
    par_shared_free(household.tree);
    par_forkserver_stop();
}
END_TEST

static int
leave_group(void *arg)
{
    struct tree *tree = arg;
    pid_t twig = fork();

    if (twig == 0) {
        atomic_store(&tree->twig, getpid());
        (void)stay(NULL);
    }
    if (setpgid(0, getpgid(getppid())) != 0) /* a leader may: it is not that of a session */
        return 1;
    atomic_store(&tree->leader, getpid());
    return stay(NULL);
}

START_TEST(leader_that_has_left_its_group_is_signalled)
{
    struct tree *tree = par_value(struct tree);
    fixture_expect_orphans();
    par_process *process = par_process_start(leave_group, tree, 0, &(par_process_opts){ .start_method = _i, .group = true });
    while (atomic_load(&tree->leader) == 0 || atomic_load(&tree->twig) == 0)
        nap();
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    while (!pari_pid_has_ended(atomic_load(&tree->twig)))
        nap();
    par_shared_free(tree);
}
END_TEST

int
main(void)
{
    par_spawn_support();

    Suite *suite = fixture_suite("process_setting");
    TCase *every = fixture_case(suite, "every method");

    tcase_add_loop_test(every, environment_is_changed_in_the_child_alone, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, standard_descriptors_are_redirected, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, output_and_error_change_places, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, source_of_a_redirection_does_not_stay_open, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, wrong_settings_are_refused, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, group_ends_with_its_leader, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, signals_go_to_the_whole_group, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, killed_leader_takes_its_group_along, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, group_of_a_daemon_ends_with_its_parent, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, leader_that_has_left_its_group_is_signalled, PAR_FORK, PAR_SPAWN + 1);
    tcase_add_test(every, group_ends_although_its_leader_is_not_reaped);
    tcase_add_test(every, group_lives_though_its_descriptor_was_closed);
    return fixture_run(suite);
}
