/* SPDX-License-Identifier: MIT
 *
 * test_host_signals.c: a program's signals and cancellations meet every call that waits.
 *
 * A *wait* is one call that cannot succeed as things are: its lock is held by a child, its queue is empty, its server is stopped.
 * Every wait goes through the same tests. A second set of calls succeeds, with results to be checked, under the same fire.
 */
#include "fixture.h"

#include <par.h>

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#define SHORT 0.05 /* seconds: the deadline of a wait that nothing ends */
#define LONG 20    /* of one that ends */
#define FIRE_US 200

static struct shared {
    par_lock lock, fair_lock, own_lock;
    par_rlock rlock;
    par_semaphore semaphore;
    par_condition condition;
    par_event never, is_held, is_over;
    par_barrier barrier;
    long count[3];
    int turn;
} * shared;

static par_process *holder;
static par_thread *sleeper;
static par_conn *empty[2], *full[2];
static par_queue *empty_queue, *full_queue;
static par_pool *pool;
static par_manager *manager;
static par_list *list;
static pid_t server;
static char chunk[1024];

/* ---- the world of the waits */

static int
hold(void *arg)
{
    (void)arg;
    if (par_lock_acquire(&shared->lock, par_in(LONG)) != 0 || par_lock_acquire(&shared->fair_lock, par_in(LONG)) != 0 ||
        par_rlock_acquire(&shared->rlock, par_in(LONG)) != 0 || par_event_set(&shared->is_held) != 0)
        return 1;
    return par_event_wait(&shared->is_over, par_in(LONG)) == 0 ? 0 : 2;
}

static int
sleep_in_thread(void *arg)
{
    (void)arg;
    return par_event_wait(&shared->is_over, par_in(LONG)) == 0 ? 0 : 1;
}

static int
task_sleeps(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return par_event_wait(&shared->is_over, par_in(LONG)) == 0 ? 0 : 1;
}

/* The one child there is. */
static pid_t
only_child(void)
{
    char path[64];
    FILE *children;
    int pid = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    children = fopen(path, "re");
    ck_assert_ptr_nonnull(children);
    ck_assert_int_eq(fscanf(children, "%d", &pid), 1);
    fclose(children);
    return pid;
}

static void
make_shared(void)
{
    shared = par_value(struct shared);
    ck_assert_ptr_nonnull(shared);
    ck_assert_int_eq(par_lock_init(&shared->fair_lock, &(par_lock_opts){ .fair = true }), 0);
    ck_assert_int_eq(par_semaphore_init(&shared->semaphore, 0, NULL), 0);
    ck_assert_int_eq(par_barrier_init(&shared->barrier, 2, NULL, NULL), 0);
}

static void
make_manager(void)
{
    manager = par_manager_start(NULL);
    ck_assert_ptr_nonnull(manager);
    server = only_child();
    list = par_manager_list(manager, par_in(LONG));
    ck_assert_ptr_nonnull(list);
}

static void
make_channels(void)
{
    ck_assert_int_eq(par_pipe(empty, NULL), 0);
    ck_assert_int_eq(par_pipe(full, &(par_pipe_opts){ .capacity = 4096 }), 0);
    while (par_conn_send(full[1], chunk, sizeof chunk, PAR_NOWAIT) == 0)
        ;
    empty_queue = par_queue_new(NULL);
    full_queue = par_queue_new(&(par_queue_opts){ .maxsize = 1 });
    ck_assert_ptr_nonnull(empty_queue);
    ck_assert_ptr_nonnull(full_queue);
    ck_assert_int_eq(par_queue_put(full_queue, "x", 1, PAR_NOWAIT), 0);
}

static void
make_world(void)
{
    make_manager();
    make_shared();
    make_channels();
    ck_assert_ptr_nonnull(holder = par_process_start(hold, NULL, 0, NULL));
    ck_assert_int_eq(par_event_wait(&shared->is_held, par_in(LONG)), 0);
    ck_assert_ptr_nonnull(pool = par_pool_new(&(par_pool_opts){ .workers = 2 }));
    ck_assert_ptr_nonnull(sleeper = par_thread_start(sleep_in_thread, NULL, 0, NULL));
    ck_assert_int_eq(kill(server, SIGSTOP), 0);
}

/* What was waited for in vain is to be had afterwards. */
static void
assert_all_is_usable(void)
{
    char byte;

    ck_assert_int_eq(par_lock_acquire(&shared->lock, par_in(LONG)), 0);
    ck_assert_int_eq(par_lock_acquire(&shared->fair_lock, par_in(LONG)), 0);
    ck_assert_int_eq(par_lock_acquire(&shared->own_lock, par_in(LONG)), 0);
    ck_assert_int_eq(par_rlock_acquire(&shared->rlock, par_in(LONG)), 0);
    ck_assert_int_eq(par_lock_release(&shared->lock) + par_lock_release(&shared->fair_lock) +
                         par_lock_release(&shared->own_lock) + par_rlock_release(&shared->rlock),
                     0);
    ck_assert_int_eq(par_semaphore_release(&shared->semaphore, 1), 0);
    ck_assert_int_eq(par_semaphore_acquire(&shared->semaphore, par_in(LONG)), 0);
    ck_assert_int_eq(par_queue_get(full_queue, &byte, 1, par_in(LONG)), 1);
    ck_assert_int_eq(par_queue_task_done(full_queue), 0);
    ck_assert_int_eq(par_queue_join(full_queue, par_in(LONG)), 0);
    ck_assert_int_eq(par_conn_send(empty[1], "x", 1, par_in(LONG)), 0);
    ck_assert_int_eq(par_conn_recv(empty[0], &byte, 1, par_in(LONG)), 1);
    ck_assert_int_eq(par_queue_put(empty_queue, "x", 1, par_in(LONG)), 0);
    ck_assert_int_eq(par_queue_get(empty_queue, &byte, 1, par_in(LONG)), 1);
    ck_assert_int_ge(par_list_len(list, par_in(LONG)), 0);
}

static void
end_world(void)
{
    ck_assert_int_eq(kill(server, SIGCONT), 0);
    ck_assert_int_eq(par_event_set(&shared->is_over), 0);
    ck_assert_int_eq(par_process_join(holder, par_in(LONG)), 0);
    ck_assert_int_eq(par_thread_join(sleeper, par_in(LONG)), 0);
    assert_all_is_usable();
    par_process_free(holder);
    par_thread_free(sleeper);
    par_pool_free(pool);
    par_queue_free(empty_queue);
    par_queue_free(full_queue);
    for (int i = 0; i < 2; i++) {
        par_conn_free(empty[i]);
        par_conn_free(full[i]);
    }
    par_list_free(list);
    par_manager_free(manager);
    par_shared_free(shared);
}

/* ---- the waits: each returns the errno, or 0 if it succeeded */

static int
error_of(ssize_t result)
{
    return result < 0 ? errno : 0;
}

static int
wait_lock(par_time deadline)
{
    return error_of(par_lock_acquire(&shared->lock, deadline));
}

static int
wait_fair_lock(par_time deadline)
{
    return error_of(par_lock_acquire(&shared->fair_lock, deadline));
}

static int
wait_rlock(par_time deadline)
{
    return error_of(par_rlock_acquire(&shared->rlock, deadline));
}

static int
wait_semaphore(par_time deadline)
{
    return error_of(par_semaphore_acquire(&shared->semaphore, deadline));
}

static int
wait_condition(par_time deadline)
{
    int error;

    if (par_lock_acquire(&shared->own_lock, par_in(LONG)) != 0)
        return -1;
    error = error_of(par_condition_wait(&shared->condition, &shared->own_lock, deadline));
    return par_lock_release(&shared->own_lock) == 0 ? error : -1;
}

static int
wait_event(par_time deadline)
{
    return error_of(par_event_wait(&shared->never, deadline));
}

/* Who leaves a barrier breaks it: each wait has a new one. */
static int
wait_barrier(par_time deadline)
{
    if (par_barrier_broken(&shared->barrier) && par_barrier_reset(&shared->barrier) != 0)
        return -1;
    return error_of(par_barrier_wait(&shared->barrier, deadline));
}

static int
wait_recv(par_time deadline)
{
    char byte;

    return error_of(par_conn_recv(empty[0], &byte, 1, deadline));
}

static int
wait_poll(par_time deadline)
{
    int found = par_conn_poll(empty[0], deadline);

    return found == 0 ? ETIMEDOUT : error_of(found);
}

static int
wait_send(par_time deadline)
{
    return error_of(par_conn_send(full[1], chunk, sizeof chunk, deadline));
}

static int
wait_get(par_time deadline)
{
    char byte;

    return error_of(par_queue_get(empty_queue, &byte, 1, deadline));
}

static int
wait_put(par_time deadline)
{
    return error_of(par_queue_put(full_queue, "y", 1, deadline));
}

static int
wait_queue_join(par_time deadline)
{
    return error_of(par_queue_join(full_queue, deadline));
}

static int
wait_process(par_time deadline)
{
    return error_of(par_process_join(holder, deadline));
}

static int
wait_thread(par_time deadline)
{
    return error_of(par_thread_join(sleeper, deadline));
}

static int
wait_map(par_time deadline)
{
    int in[3] = { 0 };

    errno = 0;
    return par_pool_map_sized(pool, task_sleeps, in, sizeof *in, NULL, 0, 3, &(par_job_opts){ .deadline = deadline }) == 0
               ? 0
               : errno;
}

static int
wait_manager(par_time deadline)
{
    return error_of(par_list_len(list, deadline));
}

static const struct wait {
    const char *name;
    int (*call)(par_time deadline);
} waits[] = {
    { "lock", wait_lock },
    { "fair lock", wait_fair_lock },
    { "rlock", wait_rlock },
    { "semaphore", wait_semaphore },
    { "condition", wait_condition },
    { "event", wait_event },
    { "barrier", wait_barrier },
    { "pipe recv", wait_recv },
    { "pipe poll", wait_poll },
    { "pipe send", wait_send },
    { "queue get", wait_get },
    { "queue put", wait_put },
    { "queue join", wait_queue_join },
    { "process join", wait_process },
    { "thread join", wait_thread },
    { "pool map", wait_map },
    { "manager call", wait_manager },
};
#define N_WAITS ((int)(sizeof waits / sizeof *waits))

/* ---- fire */

static volatile sig_atomic_t n_signals;

static void
count_signal(int number)
{
    (void)number;
    n_signals++;
}

static void
interrupt_calls(int number)
{
    (void)number;
    par_interrupt(true);
}

static void
handle_alarm(void (*handler)(int number), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
}

static void
fire_every(long us)
{
    struct itimerval timer = { { 0, us }, { 0, us } };

    (void)setitimer(ITIMER_REAL, &timer, NULL); /* fails for bad numbers only */
}

START_TEST(signals_never_end_a_wait_before_its_deadline)
{
    const struct wait *wait = &waits[_i % N_WAITS];
    par_time start;
    int error;

    make_world();
    handle_alarm(count_signal, _i < N_WAITS ? 0 : SA_RESTART);
    fire_every(FIRE_US);
    start = par_now();
    error = wait->call(par_in(SHORT));
    ck_assert_msg(error == ETIMEDOUT, "%s: %s", wait->name, strerror(error));
    ck_assert_msg(par_since(start) >= SHORT, "%s: too early", wait->name);
    fire_every(0);
    ck_assert_int_gt(n_signals, 0);
    end_world();
}
END_TEST

START_TEST(interrupt_from_a_handler_ends_every_wait)
{
    const struct wait *wait = &waits[_i];
    int error;

    make_world();
    handle_alarm(interrupt_calls, 0);
    fire_every(20000);
    error = wait->call(PAR_FOREVER);
    fire_every(0);
    par_interrupt(false);
    ck_assert_msg(error == EINTR, "%s: %s", wait->name, strerror(error));
    end_world();
}
END_TEST

/* ---- cancellation: a call that waits is no place to be cancelled at, the next cancellation point is */

static int error_of_cancelled;
static par_event *is_waiting;

static void *
wait_to_be_cancelled(void *arg)
{
    const struct wait *wait = arg;

    (void)par_event_set(is_waiting);
    error_of_cancelled = wait->call(par_in(SHORT));
    pthread_testcancel();
    return NULL;
}

START_TEST(a_cancelled_thread_leaves_no_wait_half_done)
{
    pthread_t thread;
    void *result = NULL;

    make_world();
    error_of_cancelled = -1;
    ck_assert_ptr_nonnull(is_waiting = par_value(par_event));
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_to_be_cancelled, (void *)&waits[_i]), 0);
    ck_assert_int_eq(par_event_wait(is_waiting, par_in(LONG)), 0);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    ck_assert_msg(error_of_cancelled == ETIMEDOUT, "%s: %s", waits[_i].name,
                  error_of_cancelled < 0 ? "cancelled in the call" : strerror(error_of_cancelled));
    par_shared_free(is_waiting);
    end_world();
}
END_TEST

/* A cancellation that is pending already strikes at the first cancellation point: the next step after the one that is named. */
static const char *_Atomic step_of_doomed;

static int
return_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int
task_copies(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in;
    return 0;
}

static void
doomed_memory(void)
{
    step_of_doomed = "alloc";
    for (size_t size = 1; size <= 1u << 24; size *= 4)
        par_shared_free(par_shared_alloc(size, 1));
    step_of_doomed = "lock";
    par_lock *lock = par_value(par_lock);
    (void)par_lock_acquire(lock, par_in(SHORT));
    (void)par_lock_release(lock);
    par_shared_free(lock);
}

static void
doomed_channels(void)
{
    par_conn *end[2];

    step_of_doomed = "pipe";
    if (par_pipe(end, NULL) == 0) {
        (void)par_conn_fileno(end[0]);
        (void)!par_conn_poll(end[0], par_in(SHORT));
        (void)par_conn_send(end[1], "x", 1, par_in(SHORT));
        par_conn_close(end[1]);
        par_conn_free(end[0]);
        par_conn_free(end[1]);
    }
    step_of_doomed = "queue";
    par_queue *queue = par_queue_new(NULL);
    (void)par_queue_put(queue, "x", 1, par_in(SHORT));
    par_queue_free(queue);
}

static void
doomed_processes(void)
{
    step_of_doomed = "process";
    par_process *process = par_process_start(return_seven, NULL, 0, &(par_process_opts){ .daemon = true });
    (void)par_process_is_alive(process);
    (void)par_process_join(process, par_in(LONG));
    (void)par_process_kill(process);
    par_process_free(process);
    step_of_doomed = "thread";
    par_thread *thread = par_thread_start(return_seven, NULL, 0, NULL);
    (void)par_thread_join(thread, par_in(LONG));
    par_thread_free(thread);
    step_of_doomed = "pool";
    int in[2] = { 1, 2 }, out[2];
    par_pool *two = par_pool_new(&(par_pool_opts){ .workers = 2 });
    (void)!par_pool_map(two, task_copies, in, out, 2);
    (void)par_pool_close(two);
    (void)par_pool_join(two, par_in(LONG));
    par_pool_free(two);
}

static void
doomed_manager(void)
{
    step_of_doomed = "manager";
    par_manager *own = par_manager_start(NULL);
    par_list *items = par_manager_list(own, par_in(LONG));
    (void)par_list_append(items, par_int(7), par_in(LONG));
    par_list_free(items);
    par_manager_free(own);
}

/* Not inlined: the address sanitizer does not see that a cancellation leaves a frame, and finds its variables on the stack. */
static void __attribute__((noinline)) call_everything(void)
{
    doomed_memory();
    doomed_channels();
    doomed_processes();
    doomed_manager();
    step_of_doomed = NULL;
}

static void *
call_everything_doomed(void *arg)
{
    (void)arg;
    (void)pthread_cancel(pthread_self());
    call_everything();
    pthread_testcancel();
    return NULL;
}

START_TEST(a_pending_cancellation_strikes_in_no_call)
{
    pthread_t thread;
    void *result = NULL;

    step_of_doomed = "start";
    ck_assert_int_eq(pthread_create(&thread, NULL, call_everything_doomed, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    ck_assert_msg(step_of_doomed == NULL, "cancelled in: %s", step_of_doomed);
}
END_TEST

/* ---- calls that succeed under fire, on both sides */

#define ROUNDS 300
#define N_SUCCESSES 8

/* A child's timer is its own: fork does not inherit it, but the handler. */
static int
both_add(par_conn *c)
{
    (void)c;
    for (int i = 0; i < ROUNDS; i++) {
        if (par_lock_acquire(&shared->lock, par_in(LONG)) != 0)
            return 1;
        shared->count[0]++;
        if (par_lock_release(&shared->lock) != 0 || par_lock_acquire(&shared->fair_lock, par_in(LONG)) != 0)
            return 2;
        shared->count[1]++;
        if (par_lock_release(&shared->fair_lock) != 0 || par_rlock_acquire(&shared->rlock, par_in(LONG)) != 0)
            return 3;
        shared->count[2]++;
        if (par_rlock_release(&shared->rlock) != 0)
            return 4;
    }
    return 0;
}

static int
both_meet(par_conn *c)
{
    (void)c;
    for (int i = 0; i < ROUNDS; i++)
        if (par_barrier_wait(&shared->barrier, par_in(LONG)) < 0)
            return 1;
    return 0;
}

/* In turn; the child (c is its end) makes the turn odd. */
static int
both_take_turns(par_conn *c)
{
    int mine = c != NULL, error = par_lock_acquire(&shared->lock, par_in(LONG));

    for (int i = 0; error == 0 && i < ROUNDS; i++) {
        while (error == 0 && shared->turn % 2 == mine)
            error = par_condition_wait(&shared->condition, &shared->lock, par_in(LONG));
        shared->turn++;
        (void)par_condition_notify_all(&shared->condition);
    }
    return error != 0 || par_lock_release(&shared->lock) != 0;
}

static int
both_echo(par_conn *c)
{
    bool is_child = c != NULL;

    c = is_child ? c : full[0];
    for (int n = 0, got = -1; n < ROUNDS; n++) {
        if (!is_child && par_conn_send(c, &n, sizeof n, par_in(LONG)) != 0)
            return 1;
        if (par_conn_recv(c, &got, sizeof got, par_in(LONG)) != (ssize_t)sizeof got || got != n)
            return 2;
        if (is_child && par_conn_send(c, &n, sizeof n, par_in(LONG)) != 0)
            return 3;
    }
    return 0;
}

/* The queue has room for one: the parent waits at each put, the child at each get. */
static int
both_use_the_queue(par_conn *c)
{
    for (int n = 0, got = -1; n < ROUNDS; n++)
        if (c == NULL ? par_queue_put(full_queue, &n, sizeof n, par_in(LONG)) != 0
                      : par_queue_get(full_queue, &got, sizeof got, par_in(LONG)) != (ssize_t)sizeof got || got != n ||
                            par_queue_task_done(full_queue) != 0)
            return 1;
    return c == NULL && par_queue_join(full_queue, par_in(LONG)) != 0 ? 2 : 0;
}

static int
parent_starts_and_joins(par_conn *c)
{
    for (int i = 0; c == NULL && i < 20; i++) {
        par_process *process = par_process_start(return_seven, NULL, 0, NULL);
        par_thread *thread = par_thread_start(return_seven, NULL, 0, NULL);
        if (par_process_join(process, par_in(LONG)) != 0 || par_process_exitcode(process) != 7 ||
            par_thread_join(thread, par_in(LONG)) != 0 || par_thread_exitcode(thread) != 7)
            return 1;
        par_process_free(process);
        par_thread_free(thread);
    }
    return 0;
}

static int
parent_maps(par_conn *c)
{
    int in[ROUNDS], out[ROUNDS] = { 0 };
    par_pool *two;

    if (c != NULL)
        return 0;
    for (int i = 0; i < ROUNDS; i++)
        in[i] = i;
    two = par_pool_new(&(par_pool_opts){ .workers = 2 });
    for (int i = 0; i < 20; i++)
        if (par_pool_map(two, task_copies, in, out, ROUNDS) != 0 || memcmp(in, out, sizeof in) != 0)
            return 1;
    par_pool_free(two);
    return 0;
}

static int
both_append(par_conn *c)
{
    (void)c;
    for (int i = 0; i < ROUNDS; i++)
        if (par_list_append(list, par_int(i), par_in(LONG)) != 0)
            return 1;
    return 0;
}

static int (*const successes[N_SUCCESSES])(par_conn *c) = { both_add,    both_meet,          both_take_turns,
                                                            both_echo,   both_use_the_queue, parent_starts_and_joins,
                                                            parent_maps, both_append };
static int which_success;

static int
other_side(void *arg)
{
    int result;

    fire_every(FIRE_US);
    result = successes[which_success](arg);
    fire_every(0);
    return result;
}

static void
assert_sums(void)
{
    const long expected = successes[which_success] == both_add ? 2 * ROUNDS : 0;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(shared->count[i], expected);
    ck_assert_int_eq(par_list_len(list, par_in(LONG)), successes[which_success] == both_append ? 2 * ROUNDS : 0);
}

START_TEST(calls_succeed_with_signals_on_both_sides)
{
    par_process *other;

    make_manager();
    make_shared();
    which_success = _i % N_SUCCESSES;
    ck_assert_int_eq(par_pipe(full, &(par_pipe_opts){ .duplex = true }), 0);
    ck_assert_ptr_nonnull(full_queue = par_queue_new(&(par_queue_opts){ .maxsize = 1 }));
    handle_alarm(count_signal, _i < N_SUCCESSES ? 0 : SA_RESTART);
    other = par_process_start(other_side, full[1], 0, &(par_process_opts){ .give = { full[1] } });
    ck_assert_ptr_nonnull(other);
    fire_every(FIRE_US);
    ck_assert_int_eq(successes[which_success](NULL), 0);
    ck_assert_int_eq(par_process_join(other, par_in(LONG)), 0);
    fire_every(0);
    ck_assert_int_eq(par_process_exitcode(other), 0);
    assert_sums();
    par_process_free(other);
    par_conn_free(full[0]);
    par_conn_free(full[1]);
    par_queue_free(full_queue);
    par_list_free(list);
    par_manager_free(manager);
    par_shared_free(shared);
}
END_TEST

int
main(void)
{
    Suite *s = fixture_suite("host_signals");
    TCase *fire = fixture_case(s, "waits under fire"), *ends = fixture_case(s, "ends of a wait");

    tcase_add_loop_test(fire, signals_never_end_a_wait_before_its_deadline, 0, 2 * N_WAITS);
    tcase_add_loop_test(fire, calls_succeed_with_signals_on_both_sides, 0, 2 * N_SUCCESSES);
    tcase_add_loop_test(ends, interrupt_from_a_handler_ends_every_wait, 0, N_WAITS);
    tcase_add_loop_test(ends, a_cancelled_thread_leaves_no_wait_half_done, 0, N_WAITS);
    tcase_add_test(ends, a_pending_cancellation_strikes_in_no_call);
    return fixture_run(s);
}
