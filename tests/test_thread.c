/* SPDX-License-Identifier: MIT
 *
 * test_thread.c: par_thread. The first case never forks, so that the thread sanitizer can run it.
 */
#include "fixture.h"

#include <limits.h>
#include <par/process.h>
#include <par/thread.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#include "../libpar/shm/shm.h"

/* ---- functions that run in threads */

static sem_t gate; /* threads wait for a post */

static int
pass_gate(void *arg)
{
    (void)arg;
    while (sem_wait(&gate) != 0)
        ;
    return 0;
}

static int
return_number(void *arg)
{
    return *(int *)arg;
}

static int
add_after_gate(void *arg)
{
    int *number = arg;

    pass_gate(NULL);
    (*number)++;
    return *number;
}

static int
leave_by_pthread_exit(void *arg)
{
    (void)arg;
    pthread_exit(NULL);
}

static int
cancel_itself(void *arg)
{
    (void)arg;
    (void)pthread_cancel(pthread_self());
    pthread_testcancel();
    return 0;
}

/* ---- help */

static void
make_gate(void)
{
    ck_assert_int_eq(sem_init(&gate, 0, 0), 0);
}

static void
open_gate(int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(sem_post(&gate), 0);
}

static par_thread *
start(int (*fn)(void *arg), const void *arg, size_t size)
{
    par_thread *thread = par_thread_start(fn, arg, size, NULL);

    ck_assert_msg(thread != NULL, "par_thread_start: %s", strerror(errno));
    return thread;
}

static int
finish(par_thread *thread)
{
    int code;

    ck_assert_int_eq(par_thread_join(thread, par_in(20)), 0);
    code = par_thread_exitcode(thread);
    par_thread_free(thread);
    return code;
}

/* ---- start */

START_TEST(start_refuses_bad_arguments)
{
    par_thread_opts small = { .stack_size = 1 }, huge = { .stack_size = SIZE_MAX / 4 };
    int number = 0;

    ck_fails_null(par_thread_start(NULL, NULL, 0, NULL), EINVAL);
    ck_fails_null(par_thread_start(pass_gate, NULL, 4, NULL), EINVAL);
    ck_fails_null(par_thread_start(pass_gate, "", SIZE_MAX - 8, NULL), EOVERFLOW);
    ck_fails_null(par_thread_start(return_number, &number, 0, &small), EINVAL);
    ck_fails_null(par_thread_start(return_number, &number, 0, &huge), EAGAIN);
}
END_TEST

START_TEST(exit_code_is_the_whole_result)
{
    static const int codes[] = { 0, 7, 256, -1, INT_MAX };

    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
        ck_assert_int_eq(finish(start(return_number, &codes[i], 0)), codes[i]);
}
END_TEST

START_TEST(sized_argument_is_copied)
{
    par_thread *thread;
    int number = 5;

    make_gate();
    thread = start(add_after_gate, &number, sizeof number);
    number = 50;
    open_gate(1);
    ck_assert_int_eq(finish(thread), 6);
    ck_assert_int_eq(number, 50);
}
END_TEST

START_TEST(argument_without_size_is_the_pointer_itself)
{
    par_thread *thread;
    int number = 5;

    make_gate();
    thread = start(add_after_gate, &number, 0);
    open_gate(1);
    ck_assert_int_eq(finish(thread), 6);
    ck_assert_int_eq(number, 6);
}
END_TEST

static int
check_argument(void *arg)
{
    const int *pair = arg;

    return pair[0] * 2 == pair[1];
}

START_TEST(hundred_threads_get_their_own_arguments)
{
    par_thread *thread[100];

    for (int i = 0; i < 100; i++) {
        int pair[2] = { i, 2 * i };
        thread[i] = start(check_argument, pair, sizeof pair);
    }
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(finish(thread[i]), 1);
}
END_TEST

static _Atomic int n_running;

static int
count_and_pass_gate(void *arg)
{
    atomic_fetch_add(&n_running, 1);
    return pass_gate(arg);
}

static int
return_its_stack(void *arg)
{
    volatile char big[1 << 20];

    (void)arg;
    big[0] = 1;
    big[sizeof big - 1] = 1;
    return big[0] + big[sizeof big - 1];
}

START_TEST(stack_is_as_large_as_asked)
{
    par_thread *thread = par_thread_start(return_its_stack, NULL, 0, &(par_thread_opts){ .stack_size = 4 << 20 });

    ck_assert_ptr_nonnull(thread);
    ck_assert_int_eq(finish(thread), 2);
}
END_TEST

START_TEST(thread_is_alive_from_its_start_to_its_end)
{
    par_thread *thread;

    make_gate();
    thread = start(count_and_pass_gate, NULL, 0);
    ck_assert(par_thread_is_alive(thread));
    ck_assert_int_eq(par_thread_exitcode(thread), PAR_EXIT_RUNNING);
    ck_fails(par_thread_join(thread, PAR_NOWAIT), ETIMEDOUT);
    ck_fails(par_thread_join(thread, par_in(-1)), ETIMEDOUT);
    ck_fails(par_thread_join(thread, par_in(0.02)), ETIMEDOUT);
    open_gate(1);
    ck_assert_int_eq(par_thread_join(thread, par_in(20)), 0);
    ck_assert_int_eq(par_thread_join(thread, PAR_NOWAIT), 0);
    ck_assert(!par_thread_is_alive(thread));
    ck_assert_int_eq(atomic_load(&n_running), 1);
    ck_assert_int_eq(finish(thread), 0);
}
END_TEST

/* ---- names, current */

static int
name_is_my_argument(void *arg)
{
    par_thread *me = par_thread_current();

    if (me == NULL || strcmp(par_thread_name(me), arg) != 0 || !par_thread_is_alive(me))
        return 1;
    return par_thread_join(me, PAR_FOREVER) == -1 && errno == EDEADLK ? 0 : 2;
}

START_TEST(names_count_from_one)
{
    char name[] = "counter";
    par_thread *given;

    ck_assert_int_eq(finish(start(name_is_my_argument, "Thread-1", 0)), 0);
    ck_assert_int_eq(finish(start(name_is_my_argument, "Thread-2", 0)), 0);
    given = par_thread_start(name_is_my_argument, "counter", 0, &(par_thread_opts){ .name = name });
    ck_assert_ptr_nonnull(given);
    name[0] = 'X';
    ck_assert_str_eq(par_thread_name(given), "counter");
    ck_assert_int_eq(finish(given), 0);
}
END_TEST

START_TEST(main_thread_has_no_handle)
{
    ck_fails_null(par_thread_current(), ENOENT);
}
END_TEST

static int
post(void *arg)
{
    return sem_post(arg);
}

static int
free_itself(void *arg)
{
    par_thread_free(par_thread_current());
    if (par_thread_current() != NULL || errno != ENOENT)
        return 1;
    return sem_post(arg);
}

/* ---- the end */

START_TEST(freed_thread_runs_on)
{
    sem_t done;

    ck_assert_int_eq(sem_init(&done, 0, 0), 0);
    par_thread_free(start(post, &done, 0));
    while (sem_wait(&done) != 0)
        ;
}
END_TEST

START_TEST(thread_may_free_its_own_handle)
{
    sem_t done;

    ck_assert_int_eq(sem_init(&done, 0, 0), 0);
    (void)start(free_itself, &done, 0);
    while (sem_wait(&done) != 0)
        ;
}
END_TEST

START_TEST(thread_that_leaves_otherwise_has_no_code)
{
    ck_assert_int_eq(finish(start(leave_by_pthread_exit, NULL, 0)), PAR_EXIT_UNKNOWN);
    ck_assert_int_eq(finish(start(cancel_itself, NULL, 0)), PAR_EXIT_UNKNOWN);
}
END_TEST

static void *
join_it(void *thread)
{
    return par_thread_join(thread, par_in(20)) == 0 && par_thread_exitcode(thread) == 0 ? thread : NULL;
}

START_TEST(several_threads_join_one_thread)
{
    pthread_t joiner[4];
    par_thread *thread;
    void *result;

    make_gate();
    thread = start(pass_gate, NULL, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&joiner[i], NULL, join_it, thread), 0);
    open_gate(1);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(joiner[i], &result), 0);
        ck_assert_ptr_eq(result, thread);
    }
    ck_assert_int_eq(finish(thread), 0);
}
END_TEST

static sem_t destructor_gate;

static void
wait_in_destructor(void *value)
{
    (void)value;
    while (sem_wait(&destructor_gate) != 0)
        ;
}

static int
leave_a_slow_destructor(void *arg)
{
    return pthread_setspecific(*(pthread_key_t *)arg, arg) == 0 ? 3 : 1;
}

START_TEST(join_does_not_wait_for_a_slow_destructor)
{
    pthread_key_t key;
    par_thread *thread;

    ck_assert_int_eq(sem_init(&destructor_gate, 0, 0), 0);
    ck_assert_int_eq(pthread_key_create(&key, wait_in_destructor), 0);
    thread = start(leave_a_slow_destructor, &key, 0);
    ck_assert_int_eq(par_thread_join(thread, par_in(20)), 0);
    ck_assert_int_eq(par_thread_exitcode(thread), 3);
    ck_assert_int_eq(sem_post(&destructor_gate), 0);
    ck_assert_int_eq(finish(thread), 3);
}
END_TEST

static void
interrupt_libpar(int signal)
{
    (void)signal;
    par_interrupt(true);
}

START_TEST(join_ends_when_interrupted)
{
    par_thread *thread;

    make_gate();
    thread = start(pass_gate, NULL, 0);
    ck_assert(signal(SIGUSR1, interrupt_libpar) != SIG_ERR);
    ck_assert_int_eq(raise(SIGUSR1), 0);
    ck_fails(par_thread_join(thread, par_in(20)), EINTR);
    par_interrupt(false);
    open_gate(1);
    ck_assert_int_eq(finish(thread), 0);
}
END_TEST

START_TEST(start_is_not_interrupted)
{
    int seven = 7;
    par_thread *thread;

    par_interrupt(true);
    thread = par_thread_start(return_number, &seven, 0, NULL);
    par_interrupt(false);
    ck_assert_ptr_nonnull(thread);
    ck_assert_int_eq(finish(thread), 7);
}
END_TEST

static int
start_and_join_many(void *arg)
{
    for (int i = 0; i < 50; i++) {
        par_thread *thread = par_thread_start(return_number, &i, sizeof i, NULL);
        if (thread == NULL || par_thread_join(thread, par_in(20)) != 0 || par_thread_exitcode(thread) != i)
            return 1;
        par_thread_free(thread);
    }
    (void)arg;
    return 0;
}

START_TEST(threads_start_threads)
{
    par_thread *thread[4];

    for (int i = 0; i < 4; i++)
        thread[i] = start(start_and_join_many, NULL, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(finish(thread[i]), 0);
}
END_TEST

/* ---- failures */

static enum pari_call failing_call;
static int countdown;

static int
fail_nth(enum pari_call call)
{
    return call == failing_call && --countdown == 0 ? call == PARI_CALL_MALLOC ? ENOMEM : EAGAIN : 0;
}

START_TEST(failed_start_leaves_nothing)
{
    static const enum pari_call call[] = { PARI_CALL_MALLOC, PARI_CALL_THREAD };
    static const int error[] = { ENOMEM, EAGAIN };
    int seven = 7;
    size_t in_use;

    ck_assert_int_eq(finish(start(return_number, &seven, 0)), 7);
    in_use = pari_heap_in_use();
    for (int i = 0; i < 2; i++) {
        failing_call = call[i];
        countdown = 1;
        pari_fault_hook = fail_nth;
        ck_fails_null(par_thread_start(return_number, &seven, sizeof seven, NULL), error[i]);
        pari_fault_hook = NULL;
        ck_assert_uint_eq(pari_heap_in_use(), in_use);
    }
    ck_assert_int_eq(finish(start(return_number, &seven, 0)), 7);
}
END_TEST

START_TEST(no_handle_is_einval)
{
    char garbage[256] = "";
    int seven = 7;
    par_thread *wrong[] = { NULL, (par_thread *)(void *)garbage, start(return_number, &seven, 0) };

    ck_assert_int_eq(finish(wrong[2]), 7); /* a freed one */
    for (int i = 0; i < 3; i++) {
        ck_fails(par_thread_join(wrong[i], PAR_NOWAIT), EINVAL);
        ck_fails_null(par_thread_name(wrong[i]), EINVAL);
        errno = 0;
        ck_assert_int_eq(par_thread_exitcode(wrong[i]), PAR_EXIT_UNKNOWN);
        ck_assert_int_eq(errno, EINVAL);
        errno = 0;
        ck_assert(!par_thread_is_alive(wrong[i]));
        ck_assert_int_eq(errno, EINVAL);
        errno = 17;
        par_thread_free(wrong[i]);
        ck_assert_int_eq(errno, 17);
    }
}
END_TEST

/* ---- threads and forks */

static par_thread *parents_thread;

#define REFUSED(call, failed) ((call) == (failed) && errno == EPERM)

static int
try_parents_handle(void *arg)
{
    (void)arg;
    if (!REFUSED(par_thread_join(parents_thread, PAR_NOWAIT), -1) || !REFUSED(par_thread_name(parents_thread), NULL))
        return 1;
    if (!REFUSED(par_thread_exitcode(parents_thread), PAR_EXIT_UNKNOWN))
        return 2;
    if (!REFUSED(par_thread_is_alive(parents_thread), false))
        return 3;
    par_thread_free(parents_thread);
    return 0;
}

START_TEST(another_processes_handle_is_eperm)
{
    par_process *process;

    make_gate();
    parents_thread = start(pass_gate, NULL, 0);
    ck_assert_int_eq(fixture_in_child(try_parents_handle, NULL), 0);
    process = par_process_start(try_parents_handle, NULL, 0, NULL);
    ck_assert_ptr_nonnull(process);
    ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
    ck_assert_int_eq(par_process_exitcode(process), 0);
    par_process_free(process);
    ck_assert(par_thread_is_alive(parents_thread));
    open_gate(1);
    ck_assert_int_eq(finish(parents_thread), 0);
}
END_TEST

static int
use_threads_in_child(void *arg)
{
    int number = 40;
    par_thread *thread;

    (void)arg;
    if (par_thread_current() != NULL || errno != ENOENT)
        return 1;
    thread = par_thread_start(return_number, &number, sizeof number, NULL);
    if (thread == NULL || par_thread_join(thread, par_in(20)) != 0)
        return 2;
    return par_thread_exitcode(thread) + 2;
}

/* No thread begins or ends while another one forks: the address sanitizer keeps a lock then, which the child never gets. */
static int
fork_in_thread(void *arg)
{
    pthread_barrier_t *all = arg;
    par_process *process;
    int code = 1;

    (void)pthread_barrier_wait(all);
    process = par_process_start(use_threads_in_child, NULL, 0, NULL);
    if (process != NULL && par_process_join(process, par_in(20)) == 0)
        code = par_process_exitcode(process);
    par_process_free(process);
    (void)pthread_barrier_wait(all);
    return code;
}

START_TEST(threads_fork_and_forks_have_threads)
{
    pthread_barrier_t all;
    par_thread *thread[4];

    ck_assert_int_eq(pthread_barrier_init(&all, NULL, 4), 0);
    for (int i = 0; i < 4; i++)
        thread[i] = start(fork_in_thread, &all, 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(finish(thread[i]), 42);
}
END_TEST

static int
return_twice(void *arg)
{
    pid_t *child = arg;

    *child = fork();
    return 5; /* in the child its only thread ends so, and with it the process */
}

START_TEST(function_may_return_in_a_forked_child_too)
{
    pid_t child = -1;

    ck_assert_int_eq(finish(start(return_twice, &child, 0)), 5);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(fixture_wait(child), 0);
}
END_TEST

static int
churn_threads(void *arg)
{
    for (;;)
        if (start_and_join_many(arg) != 0)
            return 1;
}

START_TEST(process_killed_among_its_threads_leaves_nothing)
{
    size_t in_use;

    ck_assert_ptr_nonnull(par_process_current());
    in_use = pari_heap_in_use();
    for (int i = 0; i < 200; i++) {
        par_process *process = par_process_start(churn_threads, NULL, 0, NULL);
        ck_assert_ptr_nonnull(process);
        fixture_kill_after_us(par_process_pid(process), fixture_random_below(2000));
        ck_assert_int_eq(par_process_join(process, par_in(20)), 0);
        ck_assert_int_eq(par_process_exitcode(process), -SIGKILL);
        par_process_free(process);
        ck_assert_uint_eq(pari_heap_in_use(), in_use);
    }
}
END_TEST

static void
add_thread_tests(Suite *suite)
{
    TCase *tcase = fixture_thread_case(suite, "thread");

    tcase_add_test(tcase, start_refuses_bad_arguments);
    tcase_add_test(tcase, exit_code_is_the_whole_result);
    tcase_add_test(tcase, sized_argument_is_copied);
    tcase_add_test(tcase, argument_without_size_is_the_pointer_itself);
    tcase_add_test(tcase, hundred_threads_get_their_own_arguments);
    tcase_add_test(tcase, stack_is_as_large_as_asked);
    tcase_add_test(tcase, thread_is_alive_from_its_start_to_its_end);
    tcase_add_test(tcase, names_count_from_one);
    tcase_add_test(tcase, main_thread_has_no_handle);
    tcase_add_test(tcase, freed_thread_runs_on);
    tcase_add_test(tcase, thread_may_free_its_own_handle);
    tcase_add_test(tcase, thread_that_leaves_otherwise_has_no_code);
    tcase_add_test(tcase, several_threads_join_one_thread);
    tcase_add_test(tcase, join_does_not_wait_for_a_slow_destructor);
    tcase_add_test(tcase, join_ends_when_interrupted);
    tcase_add_test(tcase, start_is_not_interrupted);
    tcase_add_test(tcase, threads_start_threads);
    tcase_add_test(tcase, failed_start_leaves_nothing);
    tcase_add_test(tcase, no_handle_is_einval);
}

static void
add_fork_tests(Suite *suite)
{
    TCase *tcase = fixture_case(suite, "thread and fork");

    tcase_add_test(tcase, another_processes_handle_is_eperm);
    tcase_add_test(tcase, threads_fork_and_forks_have_threads);
    tcase_add_test(tcase, function_may_return_in_a_forked_child_too);
    tcase_add_test(tcase, process_killed_among_its_threads_leaves_nothing);
}

int
main(void)
{
    Suite *suite = fixture_suite("thread");

    add_thread_tests(suite);
    add_fork_tests(suite);
    return fixture_run(suite);
}
