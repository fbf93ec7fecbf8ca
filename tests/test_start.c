/* SPDX-License-Identifier: MIT
 *
 * test_start.c: the start methods: what a child has of its parent, and what travels.
 */
#include "start.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/wait.h>

#include "../libpar/shm/shm.h"

static int number = 1; /* of this process */

/* ---- what a child gets */

struct letter {
    int first;
    char text[5000];
    int last;
};

static int
read_letter(void *arg)
{
    struct letter *letter = arg;

    if ((uintptr_t)arg % _Alignof(max_align_t) != 0 || letter->first != 1 || letter->last != 2)
        return 1;
    letter->first = 3; /* it is the child's own */
    return strcmp(letter->text, "dear child") == 0 ? 42 : 2;
}

START_TEST(argument_is_copied)
{
    struct letter letter = { 1, "dear child", 2 };
    ck_assert_int_eq(code_of(_i, read_letter, &letter, sizeof letter), 42);
    ck_assert_int_eq(letter.first, 1);
    par_forkserver_stop();
}
END_TEST

START_TEST(pointer_into_shared_memory_is_the_same)
{
    int *shared = par_value(int);
    ck_assert_int_eq(code_of(_i, increment, shared, 0), 1);
    ck_assert_int_eq(*shared, 1);
    ck_assert_int_eq(code_of(_i, increment, NULL, 0), 5);
    par_shared_free(shared);
    par_forkserver_stop();
}
END_TEST

static int
know_who_you_are(void *arg)
{
    int method = *(int *)arg;
    par_process *me = par_process_current(), *parent = par_process_parent();

    if (strcmp(par_process_name(me), "given") != 0 || par_process_pid(me) != getpid())
        return 1;
    if (strcmp(par_process_name(parent), "MainProcess") != 0 || !par_process_is_alive(parent))
        return 2;
    return getenv("PAR_SPAWN") == NULL && par_start_method() == method ? 0 : 3;
}

static int
has_given_name(void *arg)
{
    char name[20] = "";
    FILE *file = fopen("/proc/self/comm", "re");

    (void)arg;
    return file == NULL || fgets(name, sizeof name, file) == NULL || fclose(file) != 0 ||
           strcmp(name, "given, and long\n") != 0;
}

START_TEST(name_is_seen_from_outside)
{
    par_process *process = par_process_start(has_given_name, NULL, 0,
                                             &(par_process_opts){ .start_method = _i, .name = "given, and longer than that" });
    ck_assert_ptr_nonnull(process);
    ck_assert_int_eq(finish(process), 0);
    par_forkserver_stop();
}
END_TEST

START_TEST(child_knows_its_name_its_parent_and_the_method)
{
    ck_assert_int_eq(par_set_start_method(_i), 0);
    ck_assert_int_eq(par_start_method(), _i);
    par_process *process = par_process_start(know_who_you_are, &_i, sizeof _i, &(par_process_opts){ .name = "given" });
    ck_assert_ptr_nonnull(process);
    ck_assert_int_eq(finish(process), 0);
    par_forkserver_stop();
}
END_TEST

static int
return_number(void *arg)
{
    (void)arg;
    return number;
}

START_TEST(memory_is_a_forks_alone)
{
    number = 7;
    ck_assert_int_eq(code_of(_i, return_number, NULL, 0), _i == PAR_FORK ? 7 : 1);
    number = 1;
    par_forkserver_stop();
}
END_TEST

static int
is_open(void *arg)
{
    return fcntl(*(int *)arg, F_GETFD) >= 0;
}

START_TEST(descriptors_of_the_program_are_a_forks_alone)
{
    int fd = dup(STDOUT_FILENO);
    ck_assert_int_eq(code_of(_i, is_open, &fd, sizeof fd), _i == PAR_FORK);
    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    close(fd);
    fd = STDERR_FILENO;
    ck_assert_int_eq(code_of(_i, is_open, &fd, sizeof fd), 1);
    par_forkserver_stop();
}
END_TEST

static int
echo(void *arg)
{
    par_conn *c = *(par_conn **)arg;
    char word[10];
    ssize_t n;

    while ((n = par_conn_recv(c, word, sizeof word, SOON)) >= 0)
        if (par_conn_send(c, word, (size_t)n, SOON) != 0)
            return 1;
    return errno == EPIPE ? 0 : 2;
}

START_TEST(ends_of_pipes_move)
{
    par_conn *end[2];
    char word[10];
    ck_assert_int_eq(par_pipe(end, &(par_pipe_opts){ .duplex = true }), 0);
    par_process *process =
        par_process_start(echo, &end[1], sizeof end[1], &(par_process_opts){ .start_method = _i, .give = { end[1] } });
    ck_assert_ptr_nonnull(process);
    ck_fails(par_conn_send(end[1], "x", 1, PAR_NOWAIT), EPERM);
    int fd = par_conn_fileno(end[0]);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(par_conn_send(end[0], "hello", 6, SOON), 0);
        while (par_conn_poll(end[0], PAR_NOWAIT) != 0) /* by the bell */
            ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 20000), 1);
        ck_assert_int_eq(par_conn_recv(end[0], word, sizeof word, SOON), 6);
        ck_assert_str_eq(word, "hello");
    }
    par_conn_free(end[0]);
    ck_assert_int_eq(finish(process), 0);
    par_conn_free(end[1]);
    par_forkserver_stop();
}
END_TEST

struct shared {
    par_lock lock;
    par_queue *queue;
    int n;
    int depth;
};

static int
work_together(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 100; i++) {
        if (par_lock_acquire(&s->lock, SOON) != 0)
            return 1;
        s->n++;
        if (par_lock_release(&s->lock) != 0)
            return 2;
    }
    return par_queue_put(s->queue, "done", 5, SOON) == 0 ? 0 : 3;
}

START_TEST(locks_and_queues_are_used_by_children_of_all_methods)
{
    struct shared *s = par_value(struct shared);
    par_process *process[9];
    char word[5];
    s->queue = par_queue_new(NULL);
    for (int i = 0; i < 9; i++)
        process[i] = start(PAR_FORK + i % 3, work_together, s, 0);
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(par_queue_get(s->queue, word, sizeof word, SOON), 5);
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(finish(process[i]), 0);
    ck_assert_int_eq(s->n, 900);
    par_queue_free(s->queue);
    par_shared_free(s);
    par_forkserver_stop();
}
END_TEST

/* Each generation by another method than the one before. */
static int
descend(void *arg)
{
    struct shared *s = arg;
    int method = PAR_FORK + s->depth % 3;
    par_process *process;
    int code;

    if (++s->depth > 4)
        return par_queue_put(s->queue, "deep", 5, SOON) == 0 ? 9 : 1;
    process = par_process_start(descend, s, 0, &(par_process_opts){ .start_method = method });
    if (process == NULL || par_process_join(process, SOON) != 0)
        return 2;
    code = par_process_exitcode(process);
    par_process_free(process);
    return code;
}

START_TEST(children_have_children_of_any_method)
{
    struct shared *s = par_value(struct shared);
    char word[5];
    fixture_expect_orphans(); /* their servers */
    s->queue = par_queue_new(NULL);
    ck_assert_int_eq(code_of(_i, descend, s, 0), 9);
    ck_assert_int_eq(par_queue_get(s->queue, word, sizeof word, SOON), 5);
    par_queue_free(s->queue);
    par_shared_free(s);
    par_forkserver_stop();
}
END_TEST

/* ---- how a child ends */

START_TEST(signal_that_ends_a_child_is_told)
{
    int signals[] = { SIGKILL, SIGTERM, SIGINT };
    for (int i = 0; i < 3; i++) {
        _Atomic int *pid = par_value(_Atomic int);
        par_process *process = start(_i, stay, (void *)pid, 0);
        while (atomic_load(pid) == 0)
            nap();
        ck_assert_int_eq(par_process_pid(process), atomic_load(pid));
        ck_assert_int_eq(par_process_exitcode(process), PAR_EXIT_RUNNING);
        ck_fails(par_process_join(process, par_in(0.01)), ETIMEDOUT);
        ck_assert_int_eq(kill(atomic_load(pid), signals[i]), 0);
        ck_assert_int_eq(poll(&(struct pollfd){ .fd = par_process_fileno(process), .events = POLLIN }, 1, 20000), 1);
        ck_assert_int_eq(finish(process), -signals[i]);
        par_shared_free((void *)pid);
    }
    par_forkserver_stop();
}
END_TEST

START_TEST(child_can_be_ended)
{
    par_process *process = start(_i, stay, NULL, 0);
    ck_assert(par_process_is_alive(process));
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    par_forkserver_stop();
}
END_TEST

static int
leave_with_nine(void *arg)
{
    (void)arg;
    _exit(9);
}

START_TEST(exit_code_of_an_exit_is_told)
{
    ck_assert_int_eq(code_of(_i, leave_with_nine, NULL, 0), 9);
    par_forkserver_stop();
}
END_TEST

static void *
start_many(void *arg)
{
    int method = (int)(intptr_t)arg, n_wrong = 0;

    for (int i = 0; i < 10; i++) {
        par_process *process = par_process_start(increment, &i, sizeof i, &(par_process_opts){ .start_method = method });
        n_wrong += process == NULL || par_process_join(process, SOON) != 0 || par_process_exitcode(process) != i + 1;
        par_process_free(process);
    }
    return (void *)(intptr_t)n_wrong;
}

START_TEST(threads_start_children_side_by_side)
{
    pthread_t thread[4];
    void *n_wrong;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, start_many, (void *)(intptr_t)_i), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &n_wrong), 0);
        ck_assert_ptr_null(n_wrong);
    }
    par_forkserver_stop();
}
END_TEST

START_TEST(nothing_of_a_child_stays)
{
    struct letter letter = { 1, "dear child", 2 };
    ck_assert_int_eq(code_of(_i, read_letter, &letter, sizeof letter), 42);
    size_t before = pari_heap_in_use();
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(code_of(_i, read_letter, &letter, sizeof letter), 42);
        par_process *process = start(_i, stay, NULL, 0);
        ck_assert_int_eq(par_process_kill(process), 0);
        ck_assert_int_eq(finish(process), -SIGKILL);
    }
    ck_assert_uint_eq(pari_heap_in_use(), before);
    par_forkserver_stop();
}
END_TEST

/* ---- what cannot travel, what cannot start */

START_TEST(private_pointer_is_refused)
{
    int n = 0;
    ck_fails_null(par_process_start(increment, &n, 0, &(par_process_opts){ .start_method = _i }), EINVAL);
    ck_assert_ptr_nonnull(strstr(par_error(), "shared memory"));
    par_forkserver_stop();
}
END_TEST

START_TEST(what_is_no_function_is_refused)
{
    int (*fn)(void *) = (int (*)(void *))(uintptr_t)&number;
    ck_fails_null(par_process_start(fn, NULL, 0, &(par_process_opts){ .start_method = _i }), EINVAL);
    ck_assert_ptr_nonnull(strstr(par_error(), "function"));
}
END_TEST

START_TEST(unknown_method_is_refused)
{
    ck_fails_null(par_process_start(increment, NULL, 0, &(par_process_opts){ .start_method = 4 }), EINVAL);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .start_method = -1 }), EINVAL);
    ck_fails(par_set_start_method(4), EINVAL);
    ck_assert_int_eq(par_start_method(), PAR_FORK);
}
END_TEST

static enum pari_call failing_call;

static int
fail_call(enum pari_call call)
{
    return call == failing_call ? ENOSYS : 0;
}

START_TEST(program_that_cannot_be_executed_is_told)
{
    failing_call = PARI_CALL_EXEC;
    pari_fault_hook = fail_call;
    par_process *process = start(PAR_SPAWN, increment, NULL, 0);
    pari_fault_hook = NULL;
    ck_assert_int_eq(finish(process), PAR_EXIT_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(par_error(), strerror(ENOSYS)));
}
END_TEST

START_TEST(kernel_without_close_range_closes_one_by_one)
{
    int fd = dup(STDOUT_FILENO);
    failing_call = PARI_CALL_CLOSE_RANGE;
    pari_fault_hook = fail_call;
    ck_assert_int_eq(code_of(PAR_SPAWN, is_open, &fd, sizeof fd), 0);
    pari_fault_hook = NULL;
    close(fd);
}
END_TEST

START_TEST(parent_without_pidfd_sees_the_end_by_the_slot)
{
    failing_call = PARI_CALL_PIDFD_OPEN;
    pari_fault_hook = fail_call;
    ck_assert_int_eq(code_of(_i, increment, NULL, 0), 5);
    par_process *process = start(_i, stay, NULL, 0);
    ck_assert_int_eq(par_process_kill(process), 0);
    ck_assert_int_eq(finish(process), -SIGKILL);
    par_forkserver_stop();
    pari_fault_hook = NULL;
}
END_TEST

/* Two lines that are not the library's: one that says nothing, one that names memory that is not there. */
START_TEST(line_that_is_no_order_ends_the_program)
{
    static const char *const line[] = { "PAR_SPAWN=junk", "PAR_SPAWN=0,200000000000,1000000,200000100000" };
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            char *const arguments[] = { (char *)(uintptr_t) "test", NULL };
            char *const environment[] = { (char *)(uintptr_t)line[i], NULL };
            execve("/proc/self/exe", arguments, environment);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    }
}
END_TEST

/* ---- a lock that a thread of the parent holds */

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;

static void *
hold(void *gate)
{
    pthread_mutex_lock(&plain);
    pthread_barrier_wait(gate);
    pthread_barrier_wait(gate);
    pthread_mutex_unlock(&plain);
    return NULL;
}

static int
take_plain(void *arg)
{
    (void)arg;
    return pthread_mutex_trylock(&plain);
}

START_TEST(lock_of_another_thread_is_free_in_the_child)
{
    pthread_barrier_t gate;
    pthread_t thread;
    pthread_barrier_init(&gate, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, hold, &gate), 0);
    pthread_barrier_wait(&gate);
    ck_assert_int_eq(code_of(_i, take_plain, NULL, 0), _i == PAR_FORK ? EBUSY : 0);
    pthread_barrier_wait(&gate);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&gate);
    par_forkserver_stop();
}
END_TEST

/* ---- pools */

static int
add_ctx(const void *in, void *out, void *ctx)
{
    *(int *)out = *(const int *)in + *(int *)ctx + number - 1;
    return 0;
}

START_TEST(pool_maps)
{
    int in[1000], out[1000], ctx = 10;
    number = 100; /* which workers that are no forks do not see */
    par_pool *pool = new_pool(_i);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 1000; i++)
            in[i] = i;
        ck_assert_int_eq(par_pool_map_with(pool, add_ctx, in, out, 1000,
                                           &(par_job_opts){ .ctx = &ctx, .ctx_size = sizeof ctx }),
                         0);
        for (int i = 0; i < 1000; i++)
            ck_assert_int_eq(out[i], i + 10 + (_i == PAR_FORK ? 99 : 0));
    }
    number = 1;
    par_pool_free(pool);
    par_forkserver_stop();
}
END_TEST

static int
count_letters(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(size_t *)out = strlen(in);
    return 0;
}

static int
twice(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in * 2;
    return 0;
}

START_TEST(pool_maps_strings_and_several_functions)
{
    char *word[] = { "a", "bb", "ccc" };
    size_t length[3];
    int in[] = { 1, 2 }, out[2];
    par_pool *pool = new_pool(_i);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(par_pool_map_strings(pool, count_letters, word, length, 3), 0);
        ck_assert_uint_eq(length[0] + length[1] + length[2], 6);
        ck_assert_int_eq(par_pool_map(pool, twice, in, out, 2), 0);
        ck_assert_int_eq(out[1], 4);
    }
    par_pool_free(pool);
    par_forkserver_stop();
}
END_TEST

struct start_up {
    int bonus;
    _Atomic int *n_finished;
};

static int
set_up(void *arg, void **state)
{
    *state = arg;
    return ((struct start_up *)arg)->bonus == 0;
}

static void
tear_down(void *state)
{
    atomic_fetch_add(((struct start_up *)state)->n_finished, 1);
}

static int
add_bonus(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in + ((struct start_up *)par_worker_state())->bonus;
    return 0;
}

START_TEST(initializer_and_finalizer_travel)
{
    struct start_up start_up = { 5, par_value(_Atomic int) };
    int in[] = { 1, 2, 3, 4 }, out[4];
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2,
                                                    .start_method = _i,
                                                    .initializer = set_up,
                                                    .initarg = &start_up,
                                                    .initarg_size = sizeof start_up,
                                                    .finalizer = tear_down });
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(par_pool_map(pool, add_bonus, in, out, 4), 0);
    ck_assert_int_eq(out[3], 9);
    ck_assert_int_eq(par_pool_close(pool), 0);
    ck_assert_int_eq(par_pool_join(pool, SOON), 0);
    par_pool_free(pool);
    ck_assert_int_eq(atomic_load(start_up.n_finished), 2);
    par_shared_free((void *)start_up.n_finished);
    par_forkserver_stop();
}
END_TEST

START_TEST(pool_refuses_what_cannot_travel)
{
    int in[] = { 1 }, out[1], ctx = 1;
    par_pool *pool = new_pool(_i);
    ck_fails(par_pool_map_with(pool, add_ctx, in, out, 1, &(par_job_opts){ .ctx = &ctx }), EINVAL);
    ck_assert_ptr_nonnull(strstr(par_error(), "shared memory"));
    ck_fails(par_pool_map(pool, (par_fn *)(uintptr_t)&number, in, out, 1), EINVAL);
    ck_fails_null(par_pool_submit_with(pool, add_ctx, in, sizeof(int), &(par_task_opts){ .ctx = &ctx }), EINVAL);
    int *shared = par_value(int);
    ck_assert_int_eq(par_pool_map_with(pool, add_ctx, in, out, 1, &(par_job_opts){ .ctx = shared }), 0);
    par_shared_free(shared);
    par_pool_free(pool);
    ck_fails_null(par_pool_new(&(par_pool_opts){ .workers = 1, .start_method = _i, .initializer = set_up, .initarg = &ctx }),
                  EINVAL);
    par_forkserver_stop();
}
END_TEST

int
main(void)
{
    par_spawn_support();

    Suite *suite = fixture_suite("start");
    TCase *every = fixture_case(suite, "every method"), *no_fork = fixture_case(suite, "no fork"),
          *once = fixture_case(suite, "once");

    tcase_add_loop_test(every, argument_is_copied, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, pointer_into_shared_memory_is_the_same, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, child_knows_its_name_its_parent_and_the_method, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, name_is_seen_from_outside, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, memory_is_a_forks_alone, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, descriptors_of_the_program_are_a_forks_alone, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, ends_of_pipes_move, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, children_have_children_of_any_method, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, signal_that_ends_a_child_is_told, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, child_can_be_ended, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, exit_code_of_an_exit_is_told, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, threads_start_children_side_by_side, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, nothing_of_a_child_stays, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, lock_of_another_thread_is_free_in_the_child, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, parent_without_pidfd_sees_the_end_by_the_slot, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, pool_maps, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, pool_maps_strings_and_several_functions, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(every, initializer_and_finalizer_travel, PAR_FORK, PAR_FORKSERVER + 1);
    tcase_add_loop_test(no_fork, private_pointer_is_refused, PAR_SPAWN, PAR_FORKSERVER + 1);
    tcase_add_loop_test(no_fork, what_is_no_function_is_refused, PAR_SPAWN, PAR_FORKSERVER + 1);
    tcase_add_loop_test(no_fork, pool_refuses_what_cannot_travel, PAR_SPAWN, PAR_FORKSERVER + 1);
    tcase_add_test(once, locks_and_queues_are_used_by_children_of_all_methods);
    tcase_add_test(once, unknown_method_is_refused);
    tcase_add_test(once, program_that_cannot_be_executed_is_told);
    tcase_add_test(once, kernel_without_close_range_closes_one_by_one);
    tcase_add_test(once, line_that_is_no_order_ends_the_program);
    return fixture_run(suite);
}
