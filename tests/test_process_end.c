/* SPDX-License-Identifier: MIT
 *
 * test_process_end.c: how processes end by force, what is left then, and starts that fail.
 */
#include "fixture.h"

#include <par/pipe.h>
#include <par/process.h>
#include <poll.h>
#include <signal.h>

#include <sys/wait.h>

#include "../libpar/shm/shm.h"

/* ---- functions that run in children */

static int gate[2]; /* children wait for a byte */

static int
pass_gate(void *arg)
{
    char byte;

    (void)arg;
    return read(gate[0], &byte, 1) == 1 ? 0 : 99;
}

static int
spin_for_ever(void *arg)
{
    volatile unsigned n = 1;

    (void)arg;
    while (n != 0)
        n |= 1;
    return 0;
}

static int
return_number(void *arg)
{
    return *(int *)arg;
}

static int
leave_with_nine(void *arg)
{
    (void)arg;
    _exit(9);
}

static int
do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- help for the parents */

static void
make_gate(void)
{
    ck_assert_int_eq(pipe(gate), 0);
}

static void
open_gate(int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(write(gate[1], "x", 1), 1);
}

static void
remove_gate(void)
{
    close(gate[0]);
    close(gate[1]);
}

static par_process *
start(int (*fn)(void *arg), const void *arg, size_t size)
{
    par_process *process = par_process_start(fn, arg, size, NULL);

    ck_assert_msg(process != NULL, "par_process_start: %s", strerror(errno));
    return process;
}

static int
finish(par_process *process)
{
    int code;

    ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
    code = par_process_exitcode(process);
    par_process_free(process);
    return code;
}

/* Every process that holds the writing end of a pipe has ended. */
static bool
all_writers_end(int reader)
{
    struct pollfd one = { .fd = reader, .events = POLLIN };

    return poll(&one, 1, 20000) == 1 && (one.revents & POLLIN) == 0 && (one.revents & POLLHUP) != 0;
}

/* ---- signals */

/* Check's own handlers, which a child inherits, would end the whole test. */
static void
set_default_signals(void)
{
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
}

START_TEST(terminate_kill_and_interrupt_show_as_negative_codes)
{
    make_gate();
    int (*send[])(par_process *) = { par_process_terminate, par_process_kill, par_process_interrupt };
    static const int signal[] = { SIGTERM, SIGKILL, SIGINT };

    for (int i = 0; i < 3; i++) {
        par_process *process = start(pass_gate, NULL, 0);
        ck_assert_int_eq(send[i](process), 0);
        ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
        ck_assert_int_eq(send[i](process), 0); /* ended: no error, and nobody else is hit */
        ck_assert_int_eq(finish(process), -signal[i]);
    }
    remove_gate();
}
END_TEST

static void
leave_with_one(int signal)
{
    (void)signal;
    _exit(1);
}

static int
handle_interrupt(void *arg)
{
    if (signal(SIGINT, leave_with_one) == SIG_ERR || write(*(int *)arg, "r", 1) != 1)
        return 2;
    return pass_gate(NULL);
}

START_TEST(child_may_handle_an_interrupt)
{
    int ready[2];
    char byte;
    par_process *process;

    make_gate();
    ck_assert_int_eq(pipe(ready), 0);
    process = start(handle_interrupt, &ready[1], sizeof ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(par_process_interrupt(process), 0);
    ck_assert_int_eq(finish(process), 1);
    close(ready[0]);
    close(ready[1]);
    remove_gate();
}
END_TEST

START_TEST(process_may_signal_itself)
{
    ck_assert(signal(SIGTERM, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(par_process_terminate(par_process_current()), 0);
}
END_TEST

START_TEST(hundred_sleepers_are_terminated)
{
    par_process *process[100];

    make_gate();
    for (int i = 0; i < 100; i++)
        process[i] = start(pass_gate, NULL, 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(par_process_terminate(process[i]), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(finish(process[i]), -SIGTERM);
    remove_gate();
}
END_TEST

/* ---- exit codes that others take */

START_TEST(ignored_sigchld_leaves_the_codes_of_those_that_returned)
{
    int seven = 7;
    par_process *process;

    make_gate();
    ck_assert(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(finish(start(return_number, &seven, sizeof seven)), 7);
    ck_assert_int_eq(finish(start(leave_with_nine, NULL, 0)), PAR_EXIT_UNKNOWN);
    process = start(pass_gate, NULL, 0);
    ck_assert(par_process_is_alive(process));
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
    ck_assert(!par_process_is_alive(process));
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), PAR_EXIT_UNKNOWN);
    remove_gate();
}
END_TEST

START_TEST(stolen_wait_leaves_the_codes_of_those_that_returned)
{
    int seven = 7;
    par_process *returned = start(return_number, &seven, sizeof seven), *left;
    pid_t pid = par_process_pid(returned);

    ck_assert_int_eq(waitpid(-1, NULL, 0), pid);
    ck_assert_int_eq(finish(returned), 7);
    left = start(leave_with_nine, NULL, 0);
    ck_assert_int_eq(waitpid(-1, NULL, 0), par_process_pid(left));
    ck_assert(!par_process_is_alive(left));
    ck_assert_int_eq(finish(left), PAR_EXIT_UNKNOWN);
}
END_TEST

/* ---- freed while it runs */

START_TEST(freed_child_is_reaped_by_a_later_call)
{
    siginfo_t info;
    par_process *process;
    pid_t pid;

    make_gate();
    process = start(pass_gate, NULL, 0);
    pid = par_process_pid(process);
    par_process_free(process);
    ck_assert_uint_eq(par_process_active_children(NULL, 0), 0);
    open_gate(1);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* a zombie now */
    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    remove_gate();
}
END_TEST

START_TEST(freed_daemon_runs_on_while_its_parent_lives)
{
    par_process *daemon;
    pid_t pid;
    int status;

    make_gate();
    daemon = par_process_start(pass_gate, NULL, 0, &(par_process_opts){ .daemon = true });
    ck_assert_ptr_nonnull(daemon);
    pid = par_process_pid(daemon);
    par_process_free(daemon);
    open_gate(1);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid); /* the program may take it, too */
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_uint_eq(par_process_active_children(NULL, 0), 0);
    remove_gate();
}
END_TEST

/* ---- the parent dies */

struct family {
    int ready; /* where it is said that the children run */
    bool is_daemon;
    bool is_freed;
    char word[16];
};

static int
start_child_and_wait(void *arg)
{
    struct family *family = arg;
    par_process *child = par_process_start(spin_for_ever, NULL, 0, &(par_process_opts){ .daemon = family->is_daemon });

    if (child == NULL)
        return 1;
    if (family->is_freed)
        par_process_free(child);
    if (write(family->ready, "r", 1) != 1)
        return 2;
    return pass_gate(NULL);
}

/* A middle process starts a daemon, and is killed: the reading end of the pipe that all inherited sees the end. */
static void
expect_daemon_to_end(bool is_freed)
{
    struct family family = { .is_daemon = true, .is_freed = is_freed };
    int ready[2];
    char byte;
    par_process *middle;

    fixture_expect_orphans();
    make_gate();
    ck_assert_int_eq(pipe(ready), 0);
    family.ready = ready[1];
    middle = start(start_child_and_wait, &family, sizeof family);
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(par_process_kill(middle), 0);
    ck_assert_int_eq(finish(middle), -SIGKILL);
    ck_assert(all_writers_end(ready[0]));
    close(ready[0]);
    remove_gate();
}

START_TEST(spinning_daemon_ends_with_its_killed_parent)
{
    expect_daemon_to_end(false);
}
END_TEST

START_TEST(freed_daemon_ends_with_its_killed_parent)
{
    expect_daemon_to_end(true);
}
END_TEST

static int
start_daemon_and_return(void *arg)
{
    par_process *daemon = par_process_start(spin_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });

    (void)arg;
    return daemon ? 0 : 1;
}

START_TEST(daemon_ends_with_its_parent_that_returns)
{
    int ready[2];
    par_process *middle;

    fixture_expect_orphans();
    ck_assert_int_eq(pipe(ready), 0);
    middle = start(start_daemon_and_return, NULL, 0);
    close(ready[1]);
    ck_assert_int_eq(finish(middle), 0);
    ck_assert(all_writers_end(ready[0]));
    close(ready[0]);
}
END_TEST

START_TEST(daemon_may_have_children)
{
    par_process *daemon = par_process_start(start_daemon_and_return, NULL, 0, &(par_process_opts){ .daemon = true });

    fixture_expect_orphans();
    ck_assert_ptr_nonnull(daemon);
    ck_assert_int_eq(finish(daemon), 0);
}
END_TEST

/* Tells whether its parent lives before and after that one's death. */
static int
watch_parent(void *arg)
{
    struct family *family = arg;
    par_process *parent = par_process_parent();
    bool was_alive = par_process_is_alive(parent);

    if (write(family->ready, "r", 1) != 1 || par_process_join(parent, par_in(20)) != 0)
        return 1;
    (void)snprintf(family->word, sizeof family->word, "%d %d %d", was_alive, par_process_is_alive(parent),
                   par_process_exitcode(parent) == PAR_EXIT_UNKNOWN);
    return write(family->ready, "e", 1) == 1 ? 0 : 1;
}

static int
start_watcher_and_wait(void *arg)
{
    par_process *watcher = par_process_start(watch_parent, arg, 0, NULL);

    return watcher ? pass_gate(NULL) : 1;
}

START_TEST(plain_child_outlives_its_parent_and_is_told)
{
    struct family *family = fixture_shared(sizeof *family);
    par_process *middle;
    int ready[2];
    char byte;

    fixture_expect_orphans();
    make_gate();
    ck_assert_int_eq(pipe(ready), 0);
    family->ready = ready[1];
    middle = start(start_watcher_and_wait, family, 0);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(par_process_terminate(middle), 0);
    ck_assert_int_eq(finish(middle), -SIGTERM);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'e');
    ck_assert_str_eq(family->word, "1 0 1");
    close(ready[0]);
    close(ready[1]);
    remove_gate();
}
END_TEST

/* ---- kills at any moment */

/* Children that are killed between their fork and their end, then one that is left alone. */
START_TEST(child_killed_at_any_moment_leaves_nothing)
{
    int seven = 7;
    size_t in_use;

    ck_assert_int_eq(finish(start(return_number, &seven, sizeof seven)), 7);
    in_use = pari_heap_in_use();
    for (int i = 0; i < 300; i++) {
        par_process *process = start(return_number, &seven, sizeof seven);
        int code;
        fixture_kill_after_us(par_process_pid(process), fixture_random_below(400));
        code = finish(process);
        ck_assert_msg(code == 7 || code == -SIGKILL, "exit code %d", code);
    }
    ck_assert_int_eq(finish(start(return_number, &seven, sizeof seven)), 7);
    ck_assert_uint_eq(pari_heap_in_use(), in_use);
}
END_TEST

static int
start_daemons(void *arg)
{
    int number = 0;

    (void)arg;
    for (;;) {
        par_process *a = par_process_start(spin_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });
        par_process *b = par_process_start(return_number, &number, sizeof number, NULL);
        if (a == NULL || b == NULL || par_process_current() == NULL)
            return 1;
        if (par_process_kill(a) != 0 || par_process_join(a, par_in(20)) != 0 || par_process_join(b, par_in(20)) != 0)
            return 2;
        par_process_free(a);
        par_process_free(b);
    }
}

START_TEST(parent_killed_at_any_moment_leaves_nothing)
{
    size_t in_use;

    fixture_expect_orphans();
    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
    in_use = pari_heap_in_use();
    for (int i = 0; i < 200; i++) {
        par_process *middle;
        int life[2];
        ck_assert_int_eq(pipe(life), 0);
        middle = start(start_daemons, NULL, 0);
        close(life[1]);
        fixture_kill_after_us(par_process_pid(middle), fixture_random_below(3000));
        ck_assert_int_eq(finish(middle), -SIGKILL);
        ck_assert_msg(all_writers_end(life[0]), "round %d: a child of the dead runs on", i);
        close(life[0]);
    }
    for (int i = 0; i < 2 * PARI_MAX_MEMBERS; i++) /* every slot is reserved once and swept */
        pari_member_release(pari_member_reserve());
    ck_assert_uint_eq(pari_heap_in_use(), in_use);
}
END_TEST

/* ---- what fails */

static enum pari_call failing_call;
static int failing_errno;

static int
fail_one_call(enum pari_call call)
{
    return call == failing_call ? failing_errno : 0;
}

static void
let_fail(enum pari_call call, int error)
{
    failing_call = call;
    failing_errno = error;
    pari_fault_hook = fail_one_call;
}

START_TEST(failed_start_leaves_nothing)
{
    static const enum pari_call call[] = { PARI_CALL_FORK, PARI_CALL_FORK, PARI_CALL_SOCKETPAIR, PARI_CALL_MALLOC };
    static const int error[] = { EAGAIN, ENOMEM, EMFILE, ENOMEM };
    size_t in_use;

    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
    in_use = pari_heap_in_use();
    for (int i = 0; i < 4; i++) {
        let_fail(call[i], error[i]);
        ck_fails_null(par_process_start(do_nothing, "x", 2, &(par_process_opts){ .daemon = true }), error[i]);
        pari_fault_hook = NULL;
        ck_assert_uint_eq(par_process_active_children(NULL, 0), 0);
        ck_assert_uint_eq(pari_heap_in_use(), in_use);
    }
    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
}
END_TEST

static int countdown;

static int
fail_nth_malloc(enum pari_call call)
{
    return call == PARI_CALL_MALLOC && --countdown == 0 ? ENOMEM : 0;
}

START_TEST(start_survives_every_failed_malloc)
{
    size_t in_use;
    par_process *process = NULL;

    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
    in_use = pari_heap_in_use();
    for (int nth = 1; process == NULL; nth++) {
        ck_assert_int_lt(nth, 20);
        countdown = nth;
        pari_fault_hook = fail_nth_malloc;
        errno = 0;
        process = par_process_start(do_nothing, "x", 2, NULL);
        ck_assert_msg(process != NULL || errno == ENOMEM, "malloc %d: %s", nth, strerror(errno));
        pari_fault_hook = NULL;
        ck_assert(process != NULL || pari_heap_in_use() == in_use);
    }
    ck_assert_int_eq(finish(process), 0);
}
END_TEST

START_TEST(failed_start_gives_the_ends_back)
{
    par_conn *end[2];
    int number = 5;

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    let_fail(PARI_CALL_FORK, EAGAIN);
    ck_fails_null(par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .give = { end[0], end[1] } }), EAGAIN);
    pari_fault_hook = NULL;
    ck_assert_int_eq(par_conn_send(end[1], &number, sizeof number, PAR_NOWAIT), 0);
    number = 0;
    ck_assert_int_eq(par_conn_recv(end[0], &number, sizeof number, PAR_NOWAIT), sizeof number);
    ck_assert_int_eq(number, 5);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}
END_TEST

START_TEST(child_that_cannot_begin_says_why)
{
    static const enum pari_call call[] = { PARI_CALL_SETLK, PARI_CALL_SIGIO };

    ck_assert_int_eq(finish(start(do_nothing, NULL, 0)), 0);
    for (int i = 0; i < 2; i++) {
        par_process *process;
        let_fail(call[i], ENOLCK);
        process = par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .name = "Anna", .daemon = true });
        ck_assert_ptr_nonnull(process);
        ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
        ck_assert_int_eq(par_process_exitcode(process), PAR_EXIT_UNKNOWN);
        ck_assert_ptr_nonnull(strstr(par_error(), "Anna could not begin"));
        par_process_free(process);
        pari_fault_hook = NULL;
    }
}
END_TEST

START_TEST(all_works_without_pidfds)
{
    par_process *process;
    int seven = 7;

    make_gate();
    let_fail(PARI_CALL_PIDFD_OPEN, ENOSYS);
    process = start(pass_gate, NULL, 0);
    ck_fails(par_process_fileno(process), ENOTSUP);
    ck_fails(par_process_join(process, par_in(0.02)), ETIMEDOUT);
    open_gate(1);
    ck_assert_int_eq(finish(process), 0);
    ck_assert_int_eq(finish(start(return_number, &seven, sizeof seven)), 7);
    process = start(pass_gate, NULL, 0);
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    pari_fault_hook = NULL;
    remove_gate();
}
END_TEST

START_TEST(join_works_when_poll_fails_or_lies)
{
    par_process *process;
    int fd;

    make_gate();
    let_fail(PARI_CALL_POLL, ENOMEM);
    process = start(pass_gate, NULL, 0);
    ck_fails(par_process_join(process, par_in(0.02)), ETIMEDOUT);
    open_gate(1);
    ck_assert_int_eq(finish(process), 0);
    pari_fault_hook = NULL;
    process = start(pass_gate, NULL, 0);
    fd = par_process_fileno(process);
    close(fd); /* a program that closes what it did not open */
    ck_fails(par_process_join(process, par_in(0.02)), ETIMEDOUT);
    open_gate(1);
    ck_assert_int_eq(finish(process), 0);
    remove_gate();
}
END_TEST

static void
add_end_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "end");

    tcase_add_checked_fixture(tcase, set_default_signals, NULL);
    tcase_add_test(tcase, terminate_kill_and_interrupt_show_as_negative_codes);
    tcase_add_test(tcase, child_may_handle_an_interrupt);
    tcase_add_test(tcase, process_may_signal_itself);
    tcase_add_test(tcase, hundred_sleepers_are_terminated);
    tcase_add_test(tcase, ignored_sigchld_leaves_the_codes_of_those_that_returned);
    tcase_add_test(tcase, stolen_wait_leaves_the_codes_of_those_that_returned);
    tcase_add_test(tcase, freed_child_is_reaped_by_a_later_call);
    tcase_add_test(tcase, freed_daemon_runs_on_while_its_parent_lives);
}

static void
add_death_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "death");

    tcase_add_checked_fixture(tcase, set_default_signals, NULL);
    tcase_add_test(tcase, spinning_daemon_ends_with_its_killed_parent);
    tcase_add_test(tcase, freed_daemon_ends_with_its_killed_parent);
    tcase_add_test(tcase, daemon_ends_with_its_parent_that_returns);
    tcase_add_test(tcase, daemon_may_have_children);
    tcase_add_test(tcase, plain_child_outlives_its_parent_and_is_told);
    tcase_add_test(tcase, child_killed_at_any_moment_leaves_nothing);
    tcase_add_test(tcase, parent_killed_at_any_moment_leaves_nothing);
}

static void
add_failure_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "failure");

    tcase_add_test(tcase, failed_start_leaves_nothing);
    tcase_add_test(tcase, start_survives_every_failed_malloc);
    tcase_add_test(tcase, failed_start_gives_the_ends_back);
    tcase_add_test(tcase, child_that_cannot_begin_says_why);
    tcase_add_test(tcase, all_works_without_pidfds);
    tcase_add_test(tcase, join_works_when_poll_fails_or_lies);
}

int
main(void)
{
    Suite *suite = fixture_suite("process_end");

    add_end_tests(suite);
    add_death_tests(suite);
    add_failure_tests(suite);
    return fixture_run(suite);
}
