/* SPDX-License-Identifier: MIT
 *
 * test_host.c: the habits of programs that use libpar: they fork, exec, exit, close descriptors and reap children as they like.
 */
#include "fixture.h"

#include <par.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define LONG 20 /* seconds */
#define N 100

static int in[N], out[N];

static int
return_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int
sleep_for_ever(void *arg)
{
    (void)arg;
    while (pause() != 0)
        ;
    return 0;
}

static int
copy_int(const void *from, void *to, void *ctx)
{
    (void)ctx;
    *(int *)to = *(const int *)from;
    return 0;
}

/* ---- a bit of everything; 0, or the number of the line that failed (at most 255 are told apart by an exit code) */

static int
try_memory(void)
{
    par_lock *lock = par_value(par_lock);
    int result = par_lock_acquire(lock, par_in(LONG)) != 0 || par_lock_release(lock) != 0;

    par_shared_free(lock);
    return result;
}

static int
try_pipe(void)
{
    par_conn *end[2];
    int n = 5, got = 0, result;

    if (par_pipe(end, NULL) != 0)
        return 1;
    result = par_conn_fileno(end[0]) < 0 || par_conn_send(end[1], &n, sizeof n, par_in(LONG)) != 0 ||
             par_conn_recv(end[0], &got, sizeof got, par_in(LONG)) != (ssize_t)sizeof got || got != n;
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    return result;
}

static int
try_process(void)
{
    par_process *process = par_process_start(return_seven, NULL, 0, &(par_process_opts){ .daemon = true });
    int result = par_process_join(process, par_in(LONG)) != 0 || par_process_exitcode(process) != 7;

    par_process_free(process);
    return result;
}

static int
try_pool(void)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    ssize_t bad;

    for (int i = 0; i < N; i++)
        in[i] = i;
    bad = par_pool_map(pool, copy_int, in, out, N);
    par_pool_free(pool);
    return bad != 0 || memcmp(in, out, sizeof in) != 0;
}

static int
try_manager(void)
{
    par_manager *manager = par_manager_start(NULL);
    par_list *list = par_manager_list(manager, par_in(LONG));
    int result = par_list_append(list, par_int(1), par_in(LONG)) != 0 || par_list_len(list, par_in(LONG)) != 1;

    par_list_free(list);
    par_manager_free(manager);
    return result;
}

static int
try_everything(void)
{
    return try_memory() ? 11 : try_pipe() ? 12 : try_process() ? 13 : try_pool() ? 14 : try_manager() ? 15 : 0;
}

/* ---- descriptors */

static int
use_without_standard_descriptors(void *arg)
{
    int result;

    (void)arg;
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
    result = try_everything();
    for (int round = 0; result == 0 && round < 3; round++) {
        (void)!write(round, "this goes to nobody", 19);
        result = try_everything();
    }
    return result;
}

START_TEST(standard_descriptors_may_be_closed)
{
    ck_assert_int_eq(fixture_in_child(use_without_standard_descriptors, NULL), 0);
}
END_TEST

/* What libpar opens are memfds, sockets, pidfds and epoll sets. */
static const char list_foreign[] =
    "for fd in /proc/self/fd/*; do case $(readlink $fd) in *memfd*|socket:*|anon_inode:*) exit 9;; esac; done; exit 0";

START_TEST(an_executed_program_has_no_descriptor_of_libpar)
{
    par_conn *end[2];
    par_process *process = par_process_start(sleep_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    par_manager *manager = par_manager_start(NULL);
    par_list *list = par_manager_list(manager, par_in(LONG));
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)(uintptr_t)list_foreign, NULL }, *envp[] = { NULL };
    int status;
    pid_t pid;

    ck_assert_int_eq(par_pipe(end, NULL), 0);
    ck_assert_int_ge(par_conn_fileno(end[0]), 0);
    ck_assert_int_ge(par_process_fileno(process), 0);
    ck_assert_int_eq(system(list_foreign), 0);
    ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, envp), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(par_process_join(process, par_in(LONG)), 0);
    par_process_free(process);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    par_pool_free(pool);
    par_list_free(list);
    par_manager_free(manager);
}
END_TEST

/* ---- children that somebody else reaps */

START_TEST(children_may_be_reaped_by_the_kernel)
{
    struct sigaction action = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };

    ck_assert_int_eq(sigaction(SIGCHLD, &action, NULL), 0);
    ck_assert_int_eq(try_everything(), 0);
}
END_TEST

static atomic_bool is_over;

static void *
reap_all(void *arg)
{
    while (!atomic_load(&is_over))
        (void)waitpid(-1, NULL, WNOHANG);
    return arg;
}

START_TEST(children_may_be_reaped_by_another_thread)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, reap_all, NULL), 0);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(try_everything(), 0);
    atomic_store(&is_over, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* ---- fork() while threads are in calls */

#define N_BUSY 5

static struct {
    par_lock *lock;
    par_queue *queue;
    par_list *list;
    par_pool *pool;
    _Atomic int n_errors;
} busy;

static int
busy_once(int kind)
{
    char byte;
    void *block;

    switch (kind) {
    case 0:
        block = par_shared_alloc(1, 5000);
        par_shared_free(block);
        return block == NULL;
    case 1: return par_lock_acquire(busy.lock, par_in(LONG)) != 0 || par_lock_release(busy.lock) != 0;
    case 2:
        return par_queue_put(busy.queue, "x", 1, par_in(LONG)) != 0 || par_queue_get(busy.queue, &byte, 1, par_in(LONG)) != 1;
    case 3: return par_list_len(busy.list, par_in(LONG)) != 0;
    default: return par_pool_map(busy.pool, copy_int, in, out, N) != 0;
    }
}

static void *
stay_busy(void *arg)
{
    while (!atomic_load(&is_over))
        if (busy_once((int)(intptr_t)arg) != 0)
            atomic_fetch_add(&busy.n_errors, 1);
    return NULL;
}

/* A pool is its creator's alone. */
static int
busy_in_child(void *arg)
{
    (void)arg;
    for (int kind = 0; kind < 4; kind++)
        if (busy_once(kind) != 0)
            return kind + 1;
    return busy_once(4) != 0 && errno == EPERM ? 0 : 5;
}

START_TEST(the_program_forks_while_its_threads_are_in_calls)
{
    par_manager *manager = par_manager_start(NULL);
    pthread_t thread[N_BUSY];

    busy.lock = par_value(par_lock);
    busy.queue = par_queue_new(NULL);
    busy.list = par_manager_list(manager, par_in(LONG));
    busy.pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    for (intptr_t i = 0; i < N_BUSY; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, stay_busy, (void *)i), 0);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(fixture_in_child(busy_in_child, NULL), 0);
    atomic_store(&is_over, true);
    for (int i = 0; i < N_BUSY; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_int_eq(busy.n_errors, 0);
    par_pool_free(busy.pool);
    par_list_free(busy.list);
    par_queue_free(busy.queue);
    par_shared_free(busy.lock);
    par_manager_free(manager);
}
END_TEST

/* ---- exit() */

static int *n_exits; /* shared, until the test has ended */

static void
use_at_exit(void)
{
    if (n_exits != NULL)
        *n_exits += try_everything() == 0;
}

static int
leave_by_exit(void *arg)
{
    (void)arg;
    if (try_memory() != 0)
        return 1;
    exit(3);
}

START_TEST(an_exit_handler_uses_everything)
{
    n_exits = fixture_shared(sizeof *n_exits);
    ck_assert_int_eq(try_memory(), 0);
    ck_assert_int_eq(atexit(use_at_exit), 0);
    ck_assert_int_eq(fixture_in_child(leave_by_exit, NULL), 3);
    ck_assert_int_eq(*n_exits, 1);
    n_exits = NULL; /* the test's own exit is another matter */
}
END_TEST

static void *
sleep_in_call(void *arg)
{
    par_event *never = par_value(par_event);
    par_conn *end[2];
    char byte;

    if (arg == NULL)
        (void)!par_event_wait(never, PAR_FOREVER);
    else if (par_pipe(end, NULL) == 0)
        (void)!par_conn_recv(end[0], &byte, 1, PAR_FOREVER);
    return NULL;
}

static void *
map_for_ever(void *arg)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });

    while (par_pool_map(pool, copy_int, in, out, N) == 0)
        ;
    return arg;
}

static int
exit_beside_sleepers(void *arg)
{
    pthread_t thread;

    if (try_everything() != 0 || pthread_create(&thread, NULL, sleep_in_call, NULL) != 0 ||
        pthread_create(&thread, NULL, sleep_in_call, arg) != 0 || pthread_create(&thread, NULL, map_for_ever, NULL) != 0)
        return 1;
    exit(try_everything() == 0 ? 4 : 5);
}

START_TEST(exit_does_not_wait_for_threads_in_calls)
{
    fixture_expect_orphans();
    ck_assert_int_eq(fixture_in_child(exit_beside_sleepers, (void *)""), 4);
}
END_TEST

/* ---- dead peers and SIGPIPE, one processor */

START_TEST(a_dead_peer_never_raises_sigpipe)
{
    par_conn *end[2];
    par_process *process;
    par_manager *manager = par_manager_start(NULL);
    par_list *list = par_manager_list(manager, par_in(LONG));

    ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    ck_assert_int_eq(par_pipe(end, NULL), 0);
    process = par_process_start(return_seven, NULL, 0, &(par_process_opts){ .give = { end[0] } });
    ck_assert_int_eq(par_process_join(process, par_in(LONG)), 0);
    ck_fails(par_conn_send(end[1], "x", 1, par_in(LONG)), EPIPE);
    par_manager_free(manager);
    ck_fails(par_list_append(list, par_int(1), par_in(LONG)), EPIPE);
    par_list_free(list);
    par_process_free(process);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}
END_TEST

START_TEST(one_processor_is_enough)
{
    cpu_set_t all, one;

    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(par_cpu_count(), 1);
    ck_assert_int_eq(try_everything(), 0);
}
END_TEST

/* ---- a fully buffered stdout */

static int
print_a_line(void *arg)
{
    printf("child\n");
    (void)arg;
    return 0;
}

static int
print_into_pipe(void *arg)
{
    par_process *process;

    if (dup2(*(int *)arg, STDOUT_FILENO) < 0 || setvbuf(stdout, NULL, _IOFBF, 1 << 16) != 0)
        return 1;
    printf("before\n");
    process = par_process_start(print_a_line, NULL, 0, NULL);
    printf("between\n");
    if (par_process_join(process, par_in(LONG)) != 0 || try_pool() != 0 || try_manager() != 0)
        return 2;
    printf("after\n");
    par_process_free(process);
    fflush(stdout);
    return 0;
}

START_TEST(text_in_a_full_buffer_comes_once_and_in_order)
{
    char text[200] = "";
    int end[2];

    ck_assert_int_eq(pipe(end), 0);
    ck_assert_int_eq(fixture_in_child(print_into_pipe, &end[1]), 0);
    close(end[1]);
    ck_assert_int_gt(read(end[0], text, sizeof text - 1), 0);
    close(end[0]);
    ck_assert_str_eq(text, "before\nchild\nbetween\nafter\n");
}
END_TEST

/* ---- the end of the program, by Ctrl-C or by a signal to it alone */

static par_event *is_ready; /* in the family of the test */
static int *plain_pid;      /* shared */

/* A program with a daemon, a manager, a pool that maps for ever, and a plain child. */
static int
run_for_ever(void *arg)
{
    /* Check's handlers of these are inherited. */
    bool is_default = signal(SIGINT, SIG_DFL) != SIG_ERR && signal(SIGTERM, SIG_DFL) != SIG_ERR;
    par_process *daemon = par_process_start(sleep_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });
    par_process *plain = par_process_start(sleep_for_ever, NULL, 0, NULL);
    par_manager *manager = par_manager_start(NULL);

    if (!is_default || daemon == NULL || plain == NULL || manager == NULL || try_pool() != 0)
        return 1;
    *plain_pid = par_process_pid(plain);
    (void)par_event_set(is_ready);
    (void)map_for_ever(arg);
    return 2;
}

static pid_t
start_program(int (*body)(void *arg), void *arg)
{
    pid_t pid;

    fixture_expect_orphans();
    plain_pid = fixture_shared(sizeof *plain_pid);
    ck_assert_ptr_nonnull(is_ready = par_value(par_event));
    pid = fixture_fork(body, arg);
    ck_assert_int_eq(par_event_wait(is_ready, par_in(LONG)), 0);
    par_shared_free(is_ready);
    return pid;
}

START_TEST(what_belongs_to_a_killed_program_ends_and_a_plain_child_lives)
{
    int how = _i == 0 ? SIGTERM : SIGKILL;
    pid_t pid = start_program(run_for_ever, NULL);

    ck_assert_int_eq(kill(pid, how), 0);
    ck_assert_int_eq(fixture_wait(pid), -how);
    ck_assert_int_eq(kill(*plain_pid, 0), 0);
    ck_assert_int_eq(waitpid(*plain_pid, NULL, WNOHANG), 0); /* this process is its subreaper */
    ck_assert_int_eq(kill(*plain_pid, SIGKILL), 0);
}
END_TEST

static int
run_in_terminal(void *slave)
{
    int fd;

    if (setsid() < 0 || (fd = open(slave, O_RDWR)) < 0 || ioctl(fd, TIOCSCTTY, 0) != 0 || tcsetpgrp(fd, getpid()) != 0)
        return 1;
    return run_for_ever(NULL);
}

START_TEST(ctrl_c_ends_all_at_once)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    pid_t pid;

    ck_assert_int_ge(terminal, 0);
    ck_assert_int_eq(grantpt(terminal) + unlockpt(terminal), 0);
    pid = start_program(run_in_terminal, ptsname(terminal));
    ck_assert_int_eq(write(terminal, "\x03", 1), 1);
    ck_assert_int_eq(fixture_wait(pid), -SIGINT);
    close(terminal); /* the teardown waits for all to be gone, the plain child, which Ctrl-C has hit, too */
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("host");
    TCase *inside = fixture_case(s, "inside a program"), *end = fixture_case(s, "its end");

    tcase_add_test(inside, standard_descriptors_may_be_closed);
    tcase_add_test(inside, an_executed_program_has_no_descriptor_of_libpar);
    tcase_add_test(inside, children_may_be_reaped_by_the_kernel);
    tcase_add_test(inside, children_may_be_reaped_by_another_thread);
#ifndef __SANITIZE_ADDRESS__ /* its allocator's own locks are copied as other threads hold them: some children hang in malloc */
    tcase_add_test(inside, the_program_forks_while_its_threads_are_in_calls);
#else
    (void)the_program_forks_while_its_threads_are_in_calls;
#endif
    tcase_add_test(inside, a_dead_peer_never_raises_sigpipe);
    tcase_add_test(inside, one_processor_is_enough);
    tcase_add_test(inside, text_in_a_full_buffer_comes_once_and_in_order);
    tcase_add_test(end, an_exit_handler_uses_everything);
    tcase_add_test(end, exit_does_not_wait_for_threads_in_calls);
    tcase_add_loop_test(end, what_belongs_to_a_killed_program_ends_and_a_plain_child_lives, 0, 2);
    tcase_add_test(end, ctrl_c_ends_all_at_once);
    return fixture_run(s);
}
