/* SPDX-License-Identifier: MIT
 *
 * test_process.c: what a program sees of par_process as long as nobody dies by force (that is test_process_end.c).
 */
#include "fixture.h"

#include <fcntl.h>
#include <par/pipe.h>
#include <par/process.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
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
return_number(void *arg)
{
    return *(int *)arg;
}

static int
store_pid(void *arg)
{
    *(pid_t *)arg = getpid();
    return 0;
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
open_gate(int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(write(gate[1], "x", 1), 1);
}

static void
make_gate(void)
{
    ck_assert_int_eq(pipe(gate), 0);
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

static int
code_of(int (*fn)(void *arg), const void *arg, size_t size)
{
    return finish(start(fn, arg, size));
}

/* ---- start */

START_TEST(start_refuses_bad_arguments)
{
    ck_fails_null(par_process_start(NULL, NULL, 0, NULL), EINVAL);
    ck_fails_null(par_process_start(do_nothing, NULL, 4, NULL), EINVAL);
}
END_TEST

START_TEST(function_runs_in_another_process)
{
    pid_t *pid = fixture_shared(sizeof *pid);
    par_process *process = start(store_pid, pid, 0);

    ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
    ck_assert_int_ne(*pid, getpid());
    ck_assert_int_eq(*pid, par_process_pid(process));
    par_process_free(process);
}
END_TEST

START_TEST(exit_code_is_the_result_modulo_256)
{
    static const int given[] = { 0, 1, 7, 255, 256 + 3, -1 }, seen[] = { 0, 1, 7, 255, 3, 255 };

    for (unsigned i = 0; i < sizeof given / sizeof *given; i++)
        ck_assert_int_eq(code_of(return_number, &given[i], 0), seen[i]);
    ck_assert_int_eq(code_of(leave_with_nine, NULL, 0), 9);
}
END_TEST

static int
add_after_gate(void *arg)
{
    int *number = arg;

    if (pass_gate(NULL) != 0)
        return 99;
    (*number)++; /* its own, writable */
    return *number;
}

START_TEST(sized_argument_is_copied_at_start)
{
    int *number = fixture_shared(sizeof *number); /* shared, so that the fork alone copies nothing */
    par_process *process;

    make_gate();
    *number = 5;
    process = start(add_after_gate, number, sizeof *number);
    *number = 50;
    open_gate(1);
    ck_assert_int_eq(finish(process), 6);
    ck_assert_int_eq(*number, 50);
    remove_gate();
}
END_TEST

START_TEST(argument_without_size_is_the_pointer_itself)
{
    int *number = fixture_shared(sizeof *number);
    par_process *process;

    make_gate();
    *number = 5;
    process = start(add_after_gate, number, 0);
    *number = 50;
    open_gate(1);
    ck_assert_int_eq(finish(process), 51);
    ck_assert_int_eq(*number, 51);
    remove_gate();
}
END_TEST

/* ---- names and relatives */

static int
tell_name(void *arg)
{
    (void)snprintf(arg, 64, "%s", par_process_name(par_process_current()));
    return 0;
}

static int
tell_grandchildren_names(void *arg)
{
    char(*names)[64] = arg;

    for (int i = 1; i <= 2; i++) {
        par_process *process = par_process_start(tell_name, names[i], 0, NULL);
        if (process == NULL || par_process_join(process, par_in(20)) != 0)
            return 1;
        par_process_free(process);
    }
    return tell_name(names[0]);
}

START_TEST(default_names_count_as_in_python)
{
    char(*names)[64] = fixture_shared(3 * sizeof *names);
    par_process *first = start(do_nothing, NULL, 0), *second = start(tell_grandchildren_names, names, 0);

    ck_assert_str_eq(par_process_name(par_process_current()), "MainProcess");
    ck_assert_str_eq(par_process_name(first), "Process-1");
    ck_assert_str_eq(par_process_name(second), "Process-2");
    ck_assert_int_eq(finish(first), 0);
    ck_assert_int_eq(finish(second), 0);
    ck_assert_str_eq(names[0], "Process-2");
    ck_assert_str_eq(names[1], "Process-2:1");
    ck_assert_str_eq(names[2], "Process-2:2");
}
END_TEST

START_TEST(given_name_is_copied)
{
    char(*seen)[64] = fixture_shared(sizeof *seen);
    char name[] = "the reader";
    par_process *process = par_process_start(tell_name, seen, 0, &(par_process_opts){ .name = name });

    ck_assert_ptr_nonnull(process);
    name[0] = 'X';
    ck_assert_str_eq(par_process_name(process), "the reader");
    ck_assert_int_eq(finish(process), 0);
    ck_assert_str_eq(*seen, "the reader");
}
END_TEST

START_TEST(current_process_is_alive_and_not_joinable)
{
    par_process *me = par_process_current();

    ck_assert_ptr_nonnull(me);
    ck_assert_ptr_eq(me, par_process_current());
    ck_assert_int_eq(par_process_pid(me), getpid());
    ck_assert(par_process_is_alive(me));
    ck_assert_int_eq(par_process_exitcode(me), PAR_EXIT_RUNNING);
    ck_fails(par_process_join(me, PAR_FOREVER), EDEADLK);
    ck_fails(par_process_fileno(me), EPERM);
    par_process_free(me); /* borrowed: nothing happens */
    ck_assert(par_process_is_alive(par_process_current()));
    ck_fails_null(par_process_parent(), ENOENT);
}
END_TEST

struct seen_parent {
    pid_t pid;
    char name[64];
    int is_alive, refuses;
};

static int
look_at_parent(void *arg)
{
    struct seen_parent *seen = arg;
    par_process *parent = par_process_parent();

    if (parent == NULL || parent != par_process_parent())
        return 1;
    seen->pid = par_process_pid(parent);
    (void)snprintf(seen->name, sizeof seen->name, "%s", par_process_name(parent));
    seen->is_alive = par_process_is_alive(parent) && par_process_exitcode(parent) == PAR_EXIT_RUNNING;
    seen->refuses = par_process_kill(parent) == -1 && errno == EPERM && par_process_fileno(parent) == -1 && errno == EPERM &&
                    par_process_join(parent, PAR_NOWAIT) == -1 && errno == ETIMEDOUT;
    par_process_free(parent);
    return par_process_is_alive(par_process_parent()) ? 0 : 2;
}

START_TEST(child_knows_its_parent)
{
    struct seen_parent *seen = fixture_shared(sizeof *seen);

    ck_assert_int_eq(code_of(look_at_parent, seen, 0), 0);
    ck_assert_int_eq(seen->pid, getpid());
    ck_assert_str_eq(seen->name, "MainProcess");
    ck_assert_int_eq(seen->is_alive, 1);
    ck_assert_int_eq(seen->refuses, 1);
}
END_TEST

static int
be_a_guest(void *arg)
{
    const char *name = par_process_name(par_process_current());

    (void)arg;
    if (par_process_parent() != NULL || errno != ENOENT)
        return 1;
    if (par_process_pid(par_process_current()) != getpid())
        return 2;
    return strcmp(name, "MainProcess") == 0 ? 0 : 3;
}

START_TEST(child_of_plain_fork_has_no_libpar_parent)
{
    ck_assert_ptr_nonnull(par_process_current());
    ck_assert_int_eq(fixture_in_child(be_a_guest, NULL), 0);
}
END_TEST

static int
descend(void *arg)
{
    int depth = *(int *)arg, next = depth - 1;
    par_process *process;

    if (depth == 0)
        return 1;
    process = par_process_start(descend, &next, sizeof next, NULL);
    if (process == NULL || par_process_join(process, par_in(20)) != 0)
        return 99;
    return par_process_exitcode(process) + 1;
}

START_TEST(children_start_children)
{
    int depth = 6;

    ck_assert_int_eq(code_of(descend, &depth, sizeof depth), 7);
}
END_TEST

/* ---- join, life, children */

START_TEST(join_with_a_passed_deadline_does_not_wait)
{
    par_process *process;

    make_gate();
    process = start(pass_gate, NULL, 0);
    ck_fails(par_process_join(process, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_process_join(process, par_in(-1)), ETIMEDOUT);
    ck_fails(par_process_join(process, par_in(0.02)), ETIMEDOUT);
    ck_assert_int_eq(par_process_exitcode(process), PAR_EXIT_RUNNING);
    ck_assert(par_process_is_alive(process));
    open_gate(1);
    ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
    ck_assert_int_eq(par_process_join(process, PAR_NOWAIT), 0);
    ck_assert(!par_process_is_alive(process));
    ck_assert_int_eq(finish(process), 0);
    remove_gate();
}
END_TEST

static void *
join_it(void *process)
{
    return par_process_join(process, par_in(20)) == 0 && par_process_exitcode(process) == 0 ? process : NULL;
}

START_TEST(several_threads_join_one_process)
{
    pthread_t thread[4];
    par_process *process;
    void *result;

    make_gate();
    process = start(pass_gate, NULL, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, join_it, process), 0);
    open_gate(1);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_eq(result, process);
    }
    ck_assert_int_eq(finish(process), 0);
    remove_gate();
}
END_TEST

static void
interrupt_libpar(int signal)
{
    (void)signal;
    par_interrupt(true);
}

static int
signal_parent_then_pass_gate(void *arg)
{
    (void)kill(*(pid_t *)arg, SIGUSR1);
    return pass_gate(NULL);
}

START_TEST(join_ends_when_interrupted)
{
    pid_t me = getpid();
    par_process *process;

    make_gate();
    ck_assert(signal(SIGUSR1, interrupt_libpar) != SIG_ERR);
    process = start(signal_parent_then_pass_gate, &me, sizeof me);
    ck_fails(par_process_join(process, par_in(20)), EINTR);
    par_interrupt(false);
    open_gate(1);
    ck_assert_int_eq(finish(process), 0);
    remove_gate();
}
END_TEST

START_TEST(active_children_are_those_that_run)
{
    par_process *a, *b, *list[4] = { 0 };

    make_gate();
    ck_assert_uint_eq(par_process_active_children(NULL, 0), 0);
    a = start(pass_gate, NULL, 0);
    b = start(pass_gate, NULL, 0);
    ck_assert_ptr_nonnull(par_process_current()); /* is nobody's child here */
    ck_assert_uint_eq(par_process_active_children(list, 4), 2);
    ck_assert_ptr_eq(list[0], a);
    ck_assert_ptr_eq(list[1], b);
    list[1] = NULL;
    ck_assert_uint_eq(par_process_active_children(list, 1), 2);
    ck_assert_ptr_null(list[1]);
    open_gate(2);
    ck_assert_int_eq(finish(a), 0);
    ck_assert_int_eq(finish(b), 0);
    ck_assert_uint_eq(par_process_active_children(list, 4), 0);
    remove_gate();
}
END_TEST

static int
count_own_children(void *arg)
{
    (void)arg;
    return (int)par_process_active_children(NULL, 0);
}

START_TEST(child_has_none_of_its_parents_children)
{
    par_process *sibling;

    make_gate();
    sibling = start(pass_gate, NULL, 0);
    ck_assert_int_eq(code_of(count_own_children, NULL, 0), 0);
    open_gate(1);
    ck_assert_int_eq(finish(sibling), 0);
    remove_gate();
}
END_TEST

START_TEST(descriptor_is_readable_once_the_child_ended)
{
    struct pollfd one = { .events = POLLIN };
    par_process *process;

    make_gate();
    process = start(pass_gate, NULL, 0);
    one.fd = par_process_fileno(process);
    ck_assert_int_ge(one.fd, 0);
    ck_assert_int_eq(poll(&one, 1, 0), 0);
    open_gate(1);
    ck_assert_int_eq(poll(&one, 1, 20000), 1);
    ck_assert_int_eq(par_process_join(process, PAR_NOWAIT), 0);
    ck_assert_int_eq(par_process_fileno(process), one.fd);
    ck_assert_int_eq(poll(&one, 1, 0), 1);
    ck_assert_int_eq(finish(process), 0);
    remove_gate();
}
END_TEST

/* Walks over other threads' children while these free them and start new ones: how many it counts then is anyone's guess. */
static void *
start_and_join_many(void *result)
{
    par_process *list[64];

    for (int i = 0; i < 50; i++) {
        par_process *process = par_process_start(return_number, &i, sizeof i, NULL);
        if (process == NULL)
            return NULL;
        (void)par_process_active_children(list, 64);
        if (par_process_join(process, par_in(20)) != 0 || par_process_exitcode(process) != i)
            return NULL;
        par_process_free(process);
    }
    return result;
}

START_TEST(threads_start_processes_side_by_side)
{
    pthread_t thread[4];
    void *result;

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, start_and_join_many, thread), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_eq(result, thread);
    }
}
END_TEST

START_TEST(hundred_processes)
{
    par_process *process[100];

    for (int i = 0; i < 100; i++)
        process[i] = start(return_number, &i, sizeof i);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(finish(process[i]), i);
}
END_TEST

/* ---- what a child inherits */

static int
count_descriptors(void *arg)
{
    int n = 0;

    (void)arg;
    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(fifth_child_has_as_many_descriptors_as_the_first)
{
    par_process *sibling[4];
    int first;

    make_gate();
    first = code_of(count_descriptors, NULL, 0);
    for (int i = 0; i < 4; i++)
        sibling[i] = par_process_start(pass_gate, NULL, 0, &(par_process_opts){ .daemon = i % 2 == 0 });
    ck_assert_int_eq(code_of(count_descriptors, NULL, 0), first);
    open_gate(4);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(finish(sibling[i]), 0);
    remove_gate();
}
END_TEST

static int
write_to_descriptor(void *arg)
{
    return write(*(int *)arg, "hi", 2) == 2 ? 0 : 1;
}

START_TEST(child_keeps_the_programs_descriptors)
{
    char bytes[4];
    int end[2];

    ck_assert_int_eq(pipe(end), 0);
    ck_assert_int_eq(code_of(write_to_descriptor, &end[1], sizeof end[1]), 0);
    ck_assert_int_eq(read(end[0], bytes, sizeof bytes), 2);
    close(end[0]);
    close(end[1]);
}
END_TEST

static int
look_at_signals(void *arg)
{
    struct sigaction action;
    sigset_t mask;

    (void)arg;
    if (sigaction(SIGUSR2, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
        return 1;
    return sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM) ? 0 : 2;
}

START_TEST(child_keeps_dispositions_and_mask)
{
    sigset_t mask;

    ck_assert(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    ck_assert_int_eq(code_of(look_at_signals, NULL, 0), 0);
    ck_assert_int_eq(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);
}
END_TEST

static int
become_a_shell(void *arg)
{
    (void)arg;
    if (dup2(gate[0], STDIN_FILENO) < 0)
        return 98;
    (void)execl("/bin/sh", "sh", "-c", "read line; exit 5", (char *)NULL);
    return 99;
}

START_TEST(child_that_execs_is_still_the_child)
{
    par_process *process;

    make_gate();
    process = start(become_a_shell, NULL, 0);
    ck_fails(par_process_join(process, par_in(0.05)), ETIMEDOUT);
    ck_assert(par_process_is_alive(process));
    ck_assert_int_eq(write(gate[1], "\n", 1), 1);
    ck_assert_int_eq(finish(process), 5);
    remove_gate();
}
END_TEST

static int
print_unflushed(void *arg)
{
    printf("%s", (const char *)arg);
    return 0;
}

/* Runs in a child of the test, whose stdout is a file. */
static int
print_before_and_in_child(void *arg)
{
    par_process *process;

    if (dup2(*(int *)arg, STDOUT_FILENO) < 0)
        return 1;
    printf("parent;");
    process = par_process_start(print_unflushed, "child;", 0, NULL);
    if (process == NULL || par_process_join(process, par_in(20)) != 0)
        return 2;
    printf("end");
    fflush(stdout);
    return 0;
}

START_TEST(text_is_printed_once)
{
    char text[64] = "";
    FILE *file = tmpfile();
    int fd;

    ck_assert_ptr_nonnull(file);
    fd = fileno(file);
    ck_assert_int_eq(fixture_in_child(print_before_and_in_child, &fd), 0);
    ck_assert_int_ge((int)pread(fd, text, sizeof text - 1, 0), 0);
    ck_assert_str_eq(text, "parent;child;end");
    fclose(file);
}
END_TEST

static int
write_shared_number(void *arg)
{
    int **place = arg;

    *place = pari_heap_alloc(1, sizeof **place, 0); /* after the fork, and yet at one address in both */
    if (*place == NULL)
        return 1;
    **place = 42;
    return 0;
}

START_TEST(block_made_in_the_child_is_seen_by_the_parent)
{
    int **place = pari_heap_alloc(1, sizeof *place, 0);

    ck_assert_int_eq(code_of(write_shared_number, place, 0), 0);
    ck_assert_int_eq(**place, 42);
    ck_assert_int_eq(pari_heap_free(*place), 0);
    ck_assert_int_eq(pari_heap_free(place), 0);
}
END_TEST

/* ---- wrong handles */

START_TEST(no_handle_is_einval)
{
    char garbage[256] = "";
    par_process *wrong[] = { NULL, (par_process *)(void *)garbage, start(do_nothing, NULL, 0) };

    ck_assert_int_eq(finish(wrong[2]), 0); /* a freed one */
    for (int i = 0; i < 3; i++) {
        ck_fails(par_process_join(wrong[i], PAR_NOWAIT), EINVAL);
        ck_fails(par_process_terminate(wrong[i]), EINVAL);
        ck_fails(par_process_kill(wrong[i]), EINVAL);
        ck_fails(par_process_interrupt(wrong[i]), EINVAL);
        ck_fails(par_process_fileno(wrong[i]), EINVAL);
        ck_fails(par_process_pid(wrong[i]), EINVAL);
        ck_fails_null(par_process_name(wrong[i]), EINVAL);
        errno = 0;
        ck_assert_int_eq(par_process_exitcode(wrong[i]), PAR_EXIT_UNKNOWN);
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert(!par_process_is_alive(wrong[i]));
        ck_assert_int_eq(errno, EINVAL);
        errno = 17;
        par_process_free(wrong[i]);
        ck_assert_int_eq(errno, 17);
    }
}
END_TEST

static par_process *parents_child;

#define REFUSED(call, failed) ((call) == (failed) && errno == EPERM)

static int
try_parents_handle(void *arg)
{
    (void)arg;
    if (!REFUSED(par_process_join(parents_child, PAR_NOWAIT), -1) || !REFUSED(par_process_kill(parents_child), -1))
        return 1;
    if (!REFUSED(par_process_terminate(parents_child), -1) || !REFUSED(par_process_interrupt(parents_child), -1))
        return 2;
    if (!REFUSED(par_process_fileno(parents_child), -1) || !REFUSED(par_process_pid(parents_child), -1))
        return 3;
    if (!REFUSED(par_process_exitcode(parents_child), PAR_EXIT_UNKNOWN) || !REFUSED(par_process_name(parents_child), NULL))
        return 4;
    if (!REFUSED(par_process_is_alive(parents_child), false))
        return 5;
    par_process_free(parents_child);
    return 0;
}

START_TEST(another_processes_handle_is_eperm)
{
    make_gate();
    parents_child = start(pass_gate, NULL, 0);
    ck_assert_int_eq(code_of(try_parents_handle, NULL, 0), 0);
    ck_assert_int_eq(fixture_in_child(try_parents_handle, NULL), 0);
    ck_assert(par_process_is_alive(parents_child));
    open_gate(1);
    ck_assert_int_eq(finish(parents_child), 0);
    remove_gate();
}
END_TEST

/* ---- ends that move to the child */

static int
sum_until_end(void *arg)
{
    par_conn *end = arg;
    int number, sum = 0;

    while (par_conn_recv(end, &number, sizeof number, par_in(20)) == sizeof number)
        sum += number;
    return errno == EPIPE ? sum : 99;
}

START_TEST(given_end_belongs_to_the_child)
{
    par_conn *end[2];
    par_process *process;
    int number;

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    process = par_process_start(sum_until_end, end[0], 0, &(par_process_opts){ .give = { end[0] } });
    ck_assert_ptr_nonnull(process);
    ck_fails(par_conn_recv(end[0], &number, sizeof number, PAR_NOWAIT), EPERM);
    for (number = 1; number <= 4; number++)
        ck_assert_int_eq(par_conn_send(end[1], &number, sizeof number, par_in(20)), 0);
    par_conn_free(end[1]);
    ck_assert_int_eq(finish(process), 10);
    par_conn_free(end[0]);
}
END_TEST

START_TEST(start_refuses_ends_it_cannot_give)
{
    par_conn *end[2];

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    ck_fails_null(par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .give = { end[0], end[1], end[0] } }), EINVAL);
    ck_fails_null(par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .give = { (par_conn *)(void *)end } }), EINVAL);
    par_conn_close(end[1]);
    ck_fails_null(par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .give = { end[0], end[1] } }), EBADF);
    ck_assert_int_eq(par_conn_poll(end[0], PAR_NOWAIT), 0); /* still ours: it sees the end of the stream */
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}
END_TEST

static int
give_parents_end(void *arg)
{
    return par_process_start(do_nothing, NULL, 0, &(par_process_opts){ .give = { arg } }) == NULL && errno == EPERM ? 0 : 1;
}

START_TEST(giving_a_foreign_end_is_eperm)
{
    par_conn *end[2];

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    ck_assert_int_eq(code_of(give_parents_end, end[0], 0), 0);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}
END_TEST

/* ---- processors */

START_TEST(cpu_count_respects_affinity)
{
    cpu_set_t before, one;
    int cpu = 0;

    ck_assert_int_ge(par_cpu_count(), 1);
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
    ck_assert_int_le(par_cpu_count(), CPU_COUNT(&before));
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(par_cpu_count(), 1);
}
END_TEST

static void
add_start_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "start");

    tcase_add_test(tcase, start_refuses_bad_arguments);
    tcase_add_test(tcase, function_runs_in_another_process);
    tcase_add_test(tcase, exit_code_is_the_result_modulo_256);
    tcase_add_test(tcase, sized_argument_is_copied_at_start);
    tcase_add_test(tcase, argument_without_size_is_the_pointer_itself);
    tcase_add_test(tcase, fifth_child_has_as_many_descriptors_as_the_first);
    tcase_add_test(tcase, child_keeps_the_programs_descriptors);
    tcase_add_test(tcase, child_keeps_dispositions_and_mask);
    tcase_add_test(tcase, child_that_execs_is_still_the_child);
    tcase_add_test(tcase, text_is_printed_once);
    tcase_add_test(tcase, block_made_in_the_child_is_seen_by_the_parent);
    tcase_add_test(tcase, given_end_belongs_to_the_child);
    tcase_add_test(tcase, start_refuses_ends_it_cannot_give);
    tcase_add_test(tcase, giving_a_foreign_end_is_eperm);
}

static void
add_relative_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "relatives");

    tcase_add_test(tcase, default_names_count_as_in_python);
    tcase_add_test(tcase, given_name_is_copied);
    tcase_add_test(tcase, current_process_is_alive_and_not_joinable);
    tcase_add_test(tcase, child_knows_its_parent);
    tcase_add_test(tcase, child_of_plain_fork_has_no_libpar_parent);
    tcase_add_test(tcase, children_start_children);
    tcase_add_test(tcase, active_children_are_those_that_run);
    tcase_add_test(tcase, child_has_none_of_its_parents_children);
    tcase_add_test(tcase, cpu_count_respects_affinity);
}

static void
add_handle_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "handle");

    tcase_add_test(tcase, join_with_a_passed_deadline_does_not_wait);
    tcase_add_test(tcase, several_threads_join_one_process);
    tcase_add_test(tcase, join_ends_when_interrupted);
    tcase_add_test(tcase, descriptor_is_readable_once_the_child_ended);
    tcase_add_test(tcase, hundred_processes);
    tcase_add_test(tcase, threads_start_processes_side_by_side);
    tcase_add_test(tcase, no_handle_is_einval);
    tcase_add_test(tcase, another_processes_handle_is_eperm);
}

int
main(void)
{
    Suite *suite = fixture_suite("process");

    add_start_tests(suite);
    add_relative_tests(suite);
    add_handle_tests(suite);
    return fixture_run(suite);
}
