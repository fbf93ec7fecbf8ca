/* SPDX-License-Identifier: MIT
 *
 * process.c: behaviours 1 to 33: processes, their ends, and the ways to start them.
 */
#include "conformance.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>

static size_t
count_active(void)
{
    return par_process_active_children(NULL, 0);
}

/* ---- 1 to 6: attributes, arguments, relatives */

struct seen {
    par_event go;
    pid_t pid, parent_pid;
    int number;
    char text[8], name[32], parent_name[32];
};

struct order {
    struct seen *seen;
    int number;
    char text[8];
};

static int
take_order(void *arg)
{
    struct order *order = arg;

    order->seen->number = order->number;
    memcpy(order->seen->text, order->text, sizeof order->text);
    order->number = 0; /* its own copy */
    return par_event_wait(&order->seen->go, soon());
}

static void
conf_001_process(void)
{
    struct seen *seen = shared(struct seen);
    struct order order = { seen, 42, "answer" };
    par_process *active[2], *p = par_process_start(take_order, &order, sizeof order, NULL);

    must(p != NULL && par_process_pid(p) > 0 && par_process_pid(p) != getpid());
    must(strcmp(par_process_name(p), "Process-1") == 0);
    must(par_process_is_alive(p) && par_process_exitcode(p) == PAR_EXIT_RUNNING);
    must(par_process_active_children(active, 2) == 1 && active[0] == p);
    must(par_event_set(&seen->go) == 0 && par_process_join(p, soon()) == 0);
    must(!par_process_is_alive(p) && par_process_exitcode(p) == 0 && count_active() == 0);
    must(par_process_pid(p) > 0 && strcmp(par_process_name(p), "Process-1") == 0);
    must(seen->number == 42 && strcmp(seen->text, "answer") == 0 && order.number == 42);
    par_process_free(p);
}

static void
conf_002_current(void)
{
    par_process *self = par_process_current();

    must(self != NULL && par_process_is_alive(self) && par_process_pid(self) == getpid());
    must(par_process_exitcode(self) == PAR_EXIT_RUNNING && strcmp(par_process_name(self), "MainProcess") == 0);
    must_fail(par_process_join(self, PAR_NOWAIT), EDEADLK);
}

static int
is_nothing(void *arg)
{
    return arg == NULL ? 0 : 1;
}

static int
is_text(void *arg)
{
    return strcmp(arg, "text") == 0 ? 0 : 1;
}

static int
is_array(void *arg)
{
    double *x = arg;

    return x[0] == 1.5 && x[999] == -2.5 ? 0 : 1; /* exact: they are copies */
}

static int
is_shared(void *arg)
{
    *(long *)arg += 1;
    return par_is_shared(arg) ? 0 : 1;
}

static void
conf_003_args_argument(void)
{
    double array[1000] = { [0] = 1.5, [999] = -2.5 };
    long *block = shared(long);
    struct {
        int (*fn)(void *arg);
        const void *arg;
        size_t size;
    } shape[] = { { is_nothing, NULL, 0 },           { is_text, "text", 0 }, { is_text, "text", 5 },
                  { is_array, array, sizeof array }, { is_array, array, 0 }, { is_shared, block, 0 } };

    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        par_process *p = par_process_start(shape[i].fn, shape[i].arg, shape[i].size, NULL);

        must(p != NULL && child_end(p) == 0);
    }
    must(*block == 1);
    errno = 0;
    par_process *none = par_process_start(is_text, NULL, 5, NULL);
    must(none == NULL && errno == EINVAL);
}

struct family {
    par_event go;
    pid_t daemon, plain;
};

static int
wait_for_go(void *arg)
{
    return par_event_wait(arg, soon());
}

static int
leave_two_children(void *arg)
{
    struct family *family = arg;
    par_process *daemon = par_process_start(sleep_for_ever, NULL, 0, &(par_process_opts){ .daemon = true });

    must(daemon != NULL);
    family->daemon = par_process_pid(daemon);
    family->plain = par_process_pid(child_start(wait_for_go, &family->go));
    return 0;
}

static void
conf_004_daemon_argument(void)
{
    struct family *family = shared(struct family);

    must(only_child(leave_two_children, family) == 0);
    must(reap(family->daemon) == -SIGKILL);
    must(kill(family->plain, 0) == 0 && par_event_set(&family->go) == 0);
    must(reap(family->plain) == 0);
}

static int
look_at_parent(void *arg)
{
    struct seen *seen = arg;
    par_process *parent = par_process_parent();

    must(parent != NULL && par_process_is_alive(parent));
    seen->parent_pid = par_process_pid(parent);
    snprintf(seen->parent_name, sizeof seen->parent_name, "%s", par_process_name(parent));
    snprintf(seen->name, sizeof seen->name, "%s", par_process_name(par_process_current()));
    return 0;
}

static void
conf_005_parent_process_attributes(void)
{
    struct seen *seen = shared(struct seen);

    errno = 0;
    must(par_process_parent() == NULL && errno == ENOENT);
    must(only_child(look_at_parent, seen) == 0);
    must(seen->parent_pid == getpid() && strcmp(seen->parent_name, "MainProcess") == 0);
    must(strcmp(seen->name, "Process-1") == 0);
}

struct generations {
    par_event saw_alive, saw_dead;
    pid_t grandchild;
};

static int
watch_parent(void *arg)
{
    struct generations *g = arg;
    par_process *parent = par_process_parent();

    must(par_process_is_alive(parent));
    must_fail(par_process_join(parent, PAR_NOWAIT), ETIMEDOUT);
    g->grandchild = getpid(); /* its parent may be killed before it gets to know */
    par_event_set(&g->saw_alive);
    must(par_process_join(parent, soon()) == 0 && !par_process_is_alive(parent));
    return par_event_set(&g->saw_dead);
}

static int
have_watcher(void *arg)
{
    (void)child_start(watch_parent, arg);
    return sleep_for_ever(NULL);
}

static void
conf_006_parent_process(void)
{
    struct generations *g = shared(struct generations);
    par_process *p = child_start(have_watcher, g);

    must(par_event_wait(&g->saw_alive, soon()) == 0 && !par_event_is_set(&g->saw_dead));
    must(par_process_terminate(p) == 0 && child_end(p) == -SIGTERM);
    must(par_event_wait(&g->saw_dead, soon()) == 0);
    must(reap(g->grandchild) == 0);
}

/* ---- 7 to 19: signals, ends */

static void
ends_by(int (*strike)(par_process *process), int signal)
{
    par_process *p = child_start(sleep_for_ever, NULL);

    must_fail(par_process_join(p, PAR_NOWAIT), ETIMEDOUT);
    must_fail(par_process_join(p, par_in(-1)), ETIMEDOUT);
    must_fail(par_process_join(p, par_in(0.01)), ETIMEDOUT);
    must(par_process_is_alive(p) && strike(p) == 0 && par_process_join(p, soon()) == 0);
    must(par_process_join(p, PAR_NOWAIT) == 0 && par_process_exitcode(p) == -signal);
    must(!par_process_is_alive(p) && strike(p) == 0); /* that it has ended is no error */
    par_process_free(p);
}

static void
conf_007_terminate(void)
{
    ends_by(par_process_terminate, SIGTERM);
}

static void
conf_008_kill(void)
{
    ends_by(par_process_kill, SIGKILL);
}

static void
leave_with_1(int signal)
{
    (void)signal;
    _exit(1);
}

static int
handle_interrupt(void *arg)
{
    must(signal(SIGINT, leave_with_1) != SIG_ERR);
    must(par_event_set(arg) == 0);
    return sleep_for_ever(NULL);
}

static void
conf_009_interrupt(void)
{
    par_event *ready = shared(par_event);
    par_process *p = child_start(handle_interrupt, ready);

    must(par_event_wait(ready, soon()) == 0 && par_process_interrupt(p) == 0);
    must(child_end(p) == 1);
}

static void
conf_010_interrupt_no_handler(void)
{
    must(signal(SIGINT, SIG_DFL) != SIG_ERR);
    ends_by(par_process_interrupt, SIGINT);
}

static void
conf_011_cpu_count(void)
{
    must(par_cpu_count() >= 1 && par_cpu_count() <= sysconf(_SC_NPROCESSORS_CONF));
}

static void
conf_012_active_children(void)
{
    par_event *go = shared(par_event);
    par_process *active[3], *a, *b;

    must(count_active() == 0);
    a = child_start(wait_for_go, go);
    b = child_start(wait_for_go, go);
    must(par_process_active_children(active, 3) == 2 && active[0] == a && active[1] == b);
    must(par_event_set(go) == 0 && par_process_join(a, soon()) == 0 && par_process_join(b, soon()) == 0);
    must(count_active() == 0 && child_end(a) == 0 && child_end(b) == 0);
}

struct place {
    par_queue *q;
    char path[4];
};

/* Tells its own place, then has its children do so, one after the other. */
static int
recurse(void *arg)
{
    struct place here = *(struct place *)arg;
    size_t depth = strlen(here.path);

    must(par_queue_put(here.q, here.path, depth, soon()) == 0);
    for (char i = '0'; depth < 2 && i < '2'; i++) {
        here.path[depth] = i;
        par_process *p = par_process_start(recurse, &here, sizeof here, NULL);
        must(p != NULL && child_end(p) == 0);
    }
    return 0;
}

static void
conf_013_recursion(void)
{
    static const char *const expected[] = { "", "0", "00", "01", "1", "10", "11" };
    struct place root = { par_queue_new(NULL), "" };
    char path[4];

    must(root.q != NULL && recurse(&root) == 0);
    for (int i = 0; i < 7; i++) {
        ssize_t n = par_queue_get(root.q, path, sizeof path, PAR_NOWAIT);

        must(n == (ssize_t)strlen(expected[i]) && memcmp(path, expected[i], (size_t)n) == 0);
    }
    must(par_queue_empty(root.q));
    par_queue_free(root.q);
}

static void
conf_014_sentinel(void)
{
    par_event *go = shared(par_event);
    par_process *p = child_start(wait_for_go, go);
    struct pollfd sentinel = { .fd = par_process_fileno(p), .events = POLLIN };

    must_fail(par_process_fileno(NULL), EINVAL);
    must(sentinel.fd >= 0 && poll(&sentinel, 1, 0) == 0);
    must(par_event_set(go) == 0 && poll(&sentinel, 1, 20000) == 1);
    must(poll(&sentinel, 1, 0) == 1 && child_end(p) == 0);
}

static void
conf_015_close(void)
{
    par_event *go = shared(par_event);
    par_process *p = child_start(wait_for_go, go), *freed = alias(p);
    pid_t pid = par_process_pid(p);

    par_process_free(p); /* it goes on without its handle */
    must_fail(par_process_join(freed, PAR_NOWAIT), EINVAL);
    must_fail(par_process_pid(freed), EINVAL);
    must(kill(pid, 0) == 0 && par_event_set(go) == 0 && reap(pid) == 0);
    p = child_start(is_nothing, NULL);
    freed = alias(p);
    must(par_process_join(p, soon()) == 0);
    par_process_free(p);
    par_process_free(NULL);
    must_fail(par_process_join(freed, PAR_NOWAIT), EINVAL);
}

static int
return_arg(void *arg)
{
    return *(int *)arg;
}

static void
conf_016_many_processes(void)
{
    par_process *p[100];

    for (int i = 0; i < 100; i++)
        p[i] = child_start(is_nothing, NULL);
    for (int i = 0; i < 100; i++)
        must(child_end(p[i]) == 0);
    for (int i = 0; i < 100; i++)
        p[i] = child_start(sleep_for_ever, NULL);
    for (int i = 0; i < 100; i++)
        must(par_process_terminate(p[i]) == 0);
    for (int i = 0; i < 100; i++)
        must(child_end(p[i]) == -SIGTERM);
}

struct inflation {
    par_event go;
    _Atomic int n_told;
    int descriptors[5];
};

static int
count_descriptors(void *arg)
{
    struct inflation *inflation = arg;
    int n = open_descriptors();

    inflation->descriptors[atomic_fetch_add(&inflation->n_told, 1)] = n;
    return par_event_wait(&inflation->go, soon());
}

static void
conf_017_child_fd_inflation(void)
{
    struct inflation *inflation = shared(struct inflation);
    par_process *p[5];

    for (int i = 0; i < 5; i++) {
        p[i] = child_start(count_descriptors, inflation);
        await(atomic_load(&inflation->n_told) == i + 1);
    }
    must(par_event_set(&inflation->go) == 0);
    for (int i = 0; i < 5; i++)
        must(child_end(p[i]) == 0 && inflation->descriptors[i] == inflation->descriptors[0]);
}

static int
leave_by_exit(void *arg)
{
    exit(*(int *)arg);
}

static int
leave_by__exit(void *arg)
{
    _exit(*(int *)arg);
}

static int
leave_by_signal(void *arg)
{
    raise(*(int *)arg);
    return 0;
}

static void
conf_019_sys_exit(void)
{
    static const struct {
        int (*fn)(void *arg);
        int arg, code;
    } way[] = { { return_arg, 0, 0 },
                { return_arg, 1, 1 },
                { return_arg, 255, 255 },
                { return_arg, 256, 0 },
                { return_arg, -1, 255 },
                { leave_by_exit, 0, 0 },
                { leave_by_exit, 7, 7 },
                { leave_by__exit, 9, 9 },
                { leave_by_signal, SIGKILL, -SIGKILL },
                { leave_by_signal, SIGUSR1, -SIGUSR1 } };

    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        par_process *p = par_process_start(way[i].fn, &way[i].arg, sizeof way[i].arg, NULL);

        must(p != NULL && child_end(p) == way[i].code);
    }
}

/* ---- 24 to 30: what a child does */

static int
serve_upper_case(void *arg)
{
    par_conn *end = arg;
    char text[32];
    ssize_t n;

    while ((n = par_conn_recv(end, text, sizeof text, soon())) > 0) {
        for (ssize_t i = 0; i < n; i++)
            text[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
        must(par_conn_send(end, text, (size_t)n, soon()) == 0);
    }
    return n == 0 ? 0 : 1; /* the empty message ends it */
}

static void
conf_024_subclassing(void)
{
    par_conn *end[2];
    char text[32];

    must(par_pipe(end, &(par_pipe_opts){ .duplex = true }) == 0);
    par_process *p = par_process_start(serve_upper_case, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    must(p != NULL && par_conn_send(end[0], "hello", 6, soon()) == 0);
    must(par_conn_recv(end[0], text, sizeof text, soon()) == 6 && strcmp(text, "HELLO") == 0);
    must(par_conn_send(end[0], "world", 6, soon()) == 0);
    must(par_conn_recv(end[0], text, sizeof text, soon()) == 6 && strcmp(text, "WORLD") == 0);
    must(par_conn_send(end[0], NULL, 0, soon()) == 0 && child_end(p) == 0);
    par_conn_free(end[0]);
}

static int
put_foo(void *arg)
{
    return par_queue_put(arg, "foo", 4, soon());
}

static int
use_queue(void *arg)
{
    char text[8];
    par_queue *q = par_queue_new(NULL);

    (void)arg;
    must(q != NULL && only_child(put_foo, q) == 0);
    must(par_queue_get(q, text, sizeof text, soon()) == 4 && strcmp(text, "foo") == 0);
    par_queue_free(q);
    return 0;
}

static void
conf_025_queue_in_process(void)
{
    must(only_child(use_queue, NULL) == 0);
}

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static int
use_pool(void *arg)
{
    int number[3] = { 1, 2, 3 }, result[3];
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });

    (void)arg;
    must(pool != NULL && par_pool_map(pool, square, number, result, 3) == 0);
    must(result[0] == 1 && result[1] == 4 && result[2] == 9);
    par_pool_free(pool);
    return 0;
}

static void
conf_026_pool_in_process(void)
{
    par_process *p = par_process_start(use_pool, NULL, 0, &(par_process_opts){ .daemon = true });

    must(only_child(use_pool, NULL) == 0);
    must(p != NULL && child_end(p) == 0); /* a daemon may have children */
}

static _Atomic int *exit_handler_ran;

static void
exit_handler(void)
{
    atomic_fetch_add(exit_handler_ran, 1);
}

static int
have_exit_handler(void *arg)
{
    must(atexit(exit_handler) == 0);
    if (*(bool *)arg)
        exit(0);
    return 0;
}

static void
conf_029_atexit(void)
{
    exit_handler_ran = shared(_Atomic int);
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        bool arg = by_exit == 1;
        par_process *p = par_process_start(have_exit_handler, &arg, sizeof arg, NULL);

        must(p != NULL && child_end(p) == 0 && atomic_load(exit_handler_ran) == by_exit);
    }
}

static int
start_threads(void *arg)
{
    _Atomic bool *is_over = arg;

    while (!atomic_load(is_over)) {
        par_thread *t = par_thread_start(is_nothing, NULL, 0, NULL);

        must(t != NULL && par_thread_join(t, soon()) == 0);
        par_thread_free(t);
    }
    return 0;
}

static int
start_one_thread(void *arg)
{
    par_thread *t = par_thread_start(is_nothing, arg, 0, NULL);

    must(t != NULL && par_thread_join(t, soon()) == 0 && par_thread_exitcode(t) == 0);
    par_thread_free(t);
    return 0;
}

static void
conf_030_forked_thread_not_started(void)
{
    _Atomic bool is_over = false;
    par_thread *starter = par_thread_start(start_threads, &is_over, 0, NULL);

    must(starter != NULL);
    for (int i = 0; i < 30; i++)
        must(only_child(start_one_thread, NULL) == 0);
    atomic_store(&is_over, true);
    must(par_thread_join(starter, soon()) == 0 && par_thread_exitcode(starter) == 0);
    par_thread_free(starter);
}

/* ---- 20, 21, 27, 28, 31 to 33: start methods */

static int
code_by(int method, int (*fn)(void *arg), const void *arg, size_t size)
{
    par_process *p = par_process_start(fn, arg, size, &(par_process_opts){ .start_method = method });
    int code;

    must(p != NULL && par_process_join(p, soon()) == 0);
    code = par_process_exitcode(p);
    par_process_free(p);
    return code;
}

struct ward {
    par_event go;
    _Atomic int server;
};

static int
wait_and_leave(void *arg)
{
    struct ward *ward = arg;

    atomic_store(&ward->server, getppid());
    return par_event_wait(&ward->go, soon()) == 0 ? 5 : 1;
}

/* The signal reaches the server while a child of its runs. */
static void
signal_server(int signal)
{
    struct ward *ward = shared(struct ward);
    par_process *p = par_process_start(wait_and_leave, ward, 0, &(par_process_opts){ .start_method = PAR_FORKSERVER });

    must(p != NULL);
    await(atomic_load(&ward->server) != 0);
    must(kill(atomic_load(&ward->server), signal) == 0);
    must(code_by(PAR_FORKSERVER, is_nothing, NULL, 0) == 0);
    must(par_event_set(&ward->go) == 0 && par_process_join(p, soon()) == 0 && par_process_exitcode(p) == 5);
    par_process_free(p);
    par_forkserver_stop();
}

static void
conf_020_forkserver_sigint(void)
{
    signal_server(SIGINT);
}

static void
conf_021_forkserver_sigkill(void)
{
    signal_server(SIGKILL);
}

static int
has_descriptor(void *arg)
{
    return fcntl(*(int *)arg, F_GETFD) >= 0;
}

static void
conf_027_closefd(void)
{
    int fd = dup(STDERR_FILENO);

    must(fd >= 0);
    for (int method = PAR_FORK; method <= PAR_FORKSERVER; method++)
        must(code_by(method, has_descriptor, &fd, sizeof fd) == (method == PAR_FORK));
    close(fd);
    par_forkserver_stop();
}

/* In a program whose main does not begin with par_spawn_support. */
int
conformance_unguarded(void)
{
    for (int method = PAR_SPAWN; method <= PAR_FORKSERVER; method++) {
        par_process_opts opts = { .start_method = method };
        if (par_process_start(is_nothing, NULL, 0, &opts) != NULL || errno != ENOTSUP ||
            strstr(par_error(), "par_spawn_support") == NULL || par_set_start_method(method) == 0)
            return 1;
    }
    return 0;
}

static int
be_unguarded(void *arg)
{
    (void)arg;
    return execl("/proc/self/exe", "conformance", "--unguarded", (char *)NULL);
}

static void
conf_028_noforkbomb(void)
{
    must(code_by(PAR_FORK, be_unguarded, NULL, 0) == 0);
}

static int
has_method(void *arg)
{
    return par_start_method() == *(int *)arg ? 0 : 1;
}

static void
conf_031_context(void)
{
    must(par_start_method() == PAR_FORK);
    for (int method = PAR_FORKSERVER; method >= PAR_FORK; method--) {
        must(par_set_start_method(method) == 0 && par_start_method() == method);
        must(code_by(PAR_START_STANDARD, has_method, &method, sizeof method) == 0);
        must(code_by(PAR_SPAWN, has_method, &method, sizeof method) == 0);
    }
    must_fail(par_set_start_method(17), EINVAL);
    par_forkserver_stop();
}

struct meeting {
    par_lock lock;
    par_queue *queue;
    int n, depth;
};

static int
count_and_put(void *arg)
{
    struct meeting *meeting = arg;

    must(par_lock_acquire(&meeting->lock, soon()) == 0);
    meeting->n++;
    must(par_lock_release(&meeting->lock) == 0);
    return par_queue_put(meeting->queue, "x", 1, soon());
}

static struct meeting *
new_meeting(void)
{
    struct meeting *meeting = shared(struct meeting);

    meeting->queue = par_queue_new(NULL);
    must(meeting->queue != NULL);
    return meeting;
}

static void
conf_032_mixed_startmethod(void)
{
    struct meeting *meeting = new_meeting();
    char byte;

    for (int standard = PAR_FORK; standard <= PAR_FORKSERVER; standard++)
        for (int method = PAR_FORK; method <= PAR_FORKSERVER; method++) {
            must(par_set_start_method(standard) == 0);
            must(code_by(method, count_and_put, meeting, 0) == 0);
            must(par_queue_get(meeting->queue, &byte, 1, soon()) == 1);
        }
    must(meeting->n == 9);
    par_queue_free(meeting->queue);
    par_forkserver_stop();
}

static int
put_in_grandchild(void *arg)
{
    struct meeting *meeting = arg;
    int code;

    if (meeting->depth++ == 1)
        return count_and_put(meeting);
    code = code_by(PAR_START_STANDARD, put_in_grandchild, meeting, 0);
    par_forkserver_stop();
    return code;
}

static void
conf_033_nested_startmethod(void)
{
    struct meeting *meeting = new_meeting();
    char byte;

    for (int method = PAR_FORK; method <= PAR_FORKSERVER; method++) {
        meeting->depth = 0;
        must(par_set_start_method(method) == 0);
        must(code_by(PAR_START_STANDARD, put_in_grandchild, meeting, 0) == 0);
        must(par_queue_get(meeting->queue, &byte, 1, soon()) == 1);
    }
    par_queue_free(meeting->queue);
    par_forkserver_stop();
}

const struct behaviour process_behaviours[] = {
    PASSES(
        001, process, IN_PROCESSES,
        "name, pid, liveness, exit code before and after the end; its argument arrives; among the active children while it runs",
        "par_process_start, par_process_exitcode, par_process_active_children"),
    PASSES(002, current, IN_PROCESSES, "the process that calls: alive, its pid, no exit code; it cannot join itself",
           "par_process_current"),
    PASSES(003, args_argument, IN_PROCESSES,
           "nothing, text, a big array by copy and by pointer, shared memory: all arrive equal", "par_process_start"),
    PASSES(004, daemon_argument, IN_PROCESSES,
           "a daemon is killed with its parent, a plain child lives on; `.daemon` is as it is written, not inherited",
           "par_process_opts.daemon"),
    PASSES(005, parent_process_attributes, IN_PROCESSES, "none in the first process; a child sees its parent's pid and name",
           "par_process_parent"),
    PASSES(006, parent_process, IN_PROCESSES, "a grandchild sees its parent alive, then terminated, and can wait for that",
           "par_process_parent, par_process_join"),
    PASSES(007, terminate, IN_PROCESSES,
           "the exit code is -SIGTERM; join with no time left, or less than none, returns at once", "par_process_terminate"),
    PASSES(008, kill, IN_PROCESSES, "the exit code is -SIGKILL", "par_process_kill"),
    PASSES(009, interrupt, IN_PROCESSES, "a child that handles SIGINT ends as its handler says", "par_process_interrupt"),
    PASSES(010, interrupt_no_handler, IN_PROCESSES, "one that does not ends with -SIGINT", "par_process_interrupt"),
    PASSES(011, cpu_count, IN_PROCESSES, "at least 1, at most what the machine has", "par_cpu_count"),
    PASSES(012, active_children, IN_PROCESSES, "those between start and end, oldest first", "par_process_active_children"),
    PASSES(013, recursion, IN_PROCESSES, "children start children; their messages come in pre-order", "par_process_start"),
    PASSES(014, sentinel, IN_PROCESSES, "a descriptor that is readable once the child has ended, and stays so",
           "par_process_fileno"),
    PASSES(015, close, IN_PROCESSES, "a freed handle is EINVAL; freeing one of a child that runs lets it run; NULL is fine",
           "par_process_free"),
    PASSES(016, many_processes, IN_PROCESSES, "100 short children end with 0, 100 sleepers all with -SIGTERM",
           "par_process_start"),
    PASSES(017, child_fd_inflation, IN_PROCESSES, "the fifth child has no more descriptors than the first",
           "par_process_start"),
    CANNOT(
        018, wait_for_threads,
        "a C process ends when its function returns, and its threads with it; there are no daemon threads to tell from others, "
        "and a function joins the threads whose work it wants"),
    PASSES(019, sys_exit, IN_PROCESSES, "returned, exit(), _exit() and signals: ten ways to end and the exit code of each",
           "par_process_exitcode"),
    PASSES(020, forkserver_sigint, IN_PROCESSES, "the server is interrupted, a running child finishes, the next start works",
           "par_process_opts.start_method"),
    PASSES(021, forkserver_sigkill, IN_PROCESSES,
           "the server is killed, the next start works, and the exit code of a child that ran is told all the same",
           "par_process_opts.start_method"),
    CANNOT(022, forkserver_auth_is_enabled,
           "the key guards Python's server socket, which has a name; relatives of a libpar family reach each other through "
           "inherited descriptors and memory only"),
    CANNOT(023, forkserver_without_auth_fails, "as 022: there is no address at which a stranger could ask"),
    PASSES(024, subclassing, IN_PROCESSES, "a child that keeps a pipe end and serves until it is told to stop",
           "par_process_opts.give"),
    PASSES(025, queue_in_process, IN_PROCESSES, "a child makes a queue and a child of its own that puts into it",
           "par_queue_new"),
    PASSES(026, pool_in_process, IN_PROCESSES, "a child makes a pool; a daemon may as well", "par_pool_new"),
    PASSES(
        027, closefd, IN_PROCESSES,
        "a descriptor of the program is there in a forked child; it is not in one that is spawned or comes from a forkserver",
        "par_process_opts.start_method"),
    PASSES(028, noforkbomb, IN_PROCESSES,
           "a program whose main() would start children again in its children is told so, and starts none",
           "par_spawn_support"),
    PASSES(029, atexit, IN_PROCESSES,
           "an exit handler that the child registered runs if it leaves by exit(); a return from its function runs none",
           "par_process_start"),
    PASSES(030, forked_thread_not_started, IN_PROCESSES,
           "processes start while another thread is starting threads: nobody hangs", "par_process_start, par_thread_start"),
    PASSES(031, context, IN_PROCESSES, "the start method can be set and asked; a child sees the same",
           "par_set_start_method, par_start_method"),
    PASSES(032, mixed_startmethod, IN_PROCESSES, "locks and queues go to children of every start method",
           "par_set_start_method, par_process_opts.start_method"),
    PASSES(033, nested_startmethod, IN_PROCESSES, "a grandchild uses its grandparent's queue, under every start method",
           "par_set_start_method"),
    END_OF_TABLE
};
