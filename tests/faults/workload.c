/* SPDX-License-Identifier: MIT
 *
 * workload.c: one of everything, with deaths: what must hold on every kernel. Runs in a process of its own; 0, or the line that
 * does not hold.
 */
#include "workload.h"

#include <par.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define hold(condition)      \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

static struct board {
    par_lock lock;
    par_semaphore robust;
    par_barrier barrier;
    par_event is_there;
    par_queue *q;
    _Atomic int dead;
} * b;

static par_time
soon(void)
{
    return par_in(20);
}

static int
rest(void)
{
    while (pause() != 0)
        ;
    return 0;
}

static int
die_of(int (*fn)(void *arg))
{
    par_process *p = par_process_start(fn, NULL, 0, NULL);

    hold(p != NULL && par_event_wait(&b->is_there, soon()) == 0 && par_event_clear(&b->is_there) == 0);
    hold(par_process_kill(p) == 0 && par_process_join(p, soon()) == 0);
    hold(par_process_exitcode(p) == -SIGKILL && !par_process_is_alive(p));
    par_process_free(p);
    return 0;
}

/* ---- locks */

static int
hold_lock(void *unused)
{
    (void)unused;
    hold(par_lock_acquire(&b->lock, soon()) == 0 && par_semaphore_acquire(&b->robust, soon()) == 0);
    hold(par_event_set(&b->is_there) == 0);
    return rest();
}

static int
locks(void)
{
    hold(par_semaphore_init(&b->robust, 1, &(par_semaphore_opts){ .robust = true }) == 0);
    hold(die_of(hold_lock) == 0);
    hold(par_lock_acquire(&b->lock, soon()) == 0 && par_lock_dead_owner(&b->lock) > 0);
    hold(par_lock_recover(&b->lock) == 0 && par_lock_release(&b->lock) == 0);
    hold(par_semaphore_acquire(&b->robust, soon()) == 0 && par_semaphore_release(&b->robust, 1) == 0);
    return 0;
}

static int
come_and_rest(void *unused)
{
    (void)unused;
    hold(par_barrier_wait(&b->barrier, soon()) >= 0 && par_event_set(&b->is_there) == 0);
    return rest();
}

static int
barriers(void)
{
    par_process *p;

    hold(par_barrier_init(&b->barrier, 2, NULL, NULL) == 0);
    p = par_process_start(come_and_rest, NULL, 0, NULL);
    hold(p != NULL && par_barrier_wait(&b->barrier, soon()) >= 0);
    hold(par_process_kill(p) == 0);
    hold(par_barrier_wait(&b->barrier, soon()) == -1 && errno == EOWNERDEAD);
    hold(par_process_join(p, soon()) == 0);
    par_process_free(p);
    hold(par_event_clear(&b->is_there) == 0);
    return 0;
}

/* ---- channels */

static int
get_and_rest(void *unused)
{
    char text[8];

    (void)unused;
    hold(par_queue_get(b->q, text, sizeof text, soon()) == 5 && par_event_set(&b->is_there) == 0);
    return rest();
}

static int
queues(void)
{
    static unsigned char big[1 << 20];
    char text[8];

    b->q = par_queue_new(NULL);
    hold(b->q != NULL && par_queue_put(b->q, "hello", 5, soon()) == 0);
    hold(die_of(get_and_rest) == 0);
    hold(par_queue_join(b->q, soon()) == 1);
    hold(par_queue_put(b->q, big, sizeof big, soon()) == 0 && par_queue_put(b->q, "world", 5, soon()) == 0);
    hold(par_queue_get(b->q, big, sizeof big, soon()) == sizeof big && par_queue_get(b->q, text, sizeof text, soon()) == 5);
    hold(par_queue_get(b->q, text, sizeof text, par_in(0.05)) == -1 && errno == ETIMEDOUT);
    par_queue_free(b->q);
    return 0;
}

static int
speak_and_die(void *end)
{
    hold(par_conn_send(end, "hello", 5, soon()) == 0);
    (void)raise(SIGKILL);
    return 0;
}

static int
pipes(void)
{
    par_conn *end[2];
    par_process *p;
    char text[8];

    hold(par_pipe(end, NULL) == 0);
    p = par_process_start(speak_and_die, end[1], 0, &(par_process_opts){ .give = { end[1] } });
    hold(p != NULL && par_conn_recv(end[0], text, sizeof text, soon()) == 5);
    hold(par_conn_recv(end[0], text, sizeof text, soon()) == -1 && errno == EPIPE);
    hold(par_process_join(p, soon()) == 0 && par_process_exitcode(p) == -SIGKILL);
    par_process_free(p);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    return 0;
}

/* ---- pools and managers */

static int
die_at_three(const void *in, void *out, void *ctx)
{
    int x = *(const int *)in;

    (void)ctx;
    if (x == 3)
        (void)raise(SIGKILL);
    *(int *)out = x * x;
    return 0;
}

static int
linger(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return rest();
}

static int
pools(void)
{
    int in[10], out[10];
    par_status lost;
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });

    hold(pool != NULL);
    for (int i = 0; i < 10; i++)
        in[i] = i;
    hold(par_pool_map_with(pool, die_at_three, in, out, 10,
                           &(par_job_opts){ .failures = &lost, .max_failures = 1, .deadline = soon() }) == 1);
    hold(lost.index == 3 && lost.state == PAR_LOST && lost.signal == SIGKILL && lost.pid > 0);
    for (int i = 0; i < 10; i++)
        hold(i == 3 || out[i] == i * i);
    hold(par_pool_map_with(pool, linger, in, out, 2, &(par_job_opts){ .deadline = par_in(0.05) }) == 2 && errno == ETIMEDOUT);
    hold(par_pool_map(pool, die_at_three, in, out, 3) == 0);
    par_pool_free(pool);
    return 0;
}

static int
managers(void)
{
    par_manager *m = par_manager_start(NULL);
    par_list *list = m ? par_manager_list(m, soon()) : NULL;
    par_obj *o;

    hold(list != NULL && par_list_append(list, par_str("value"), soon()) == 0);
    o = par_list_copy(list, soon());
    hold(o != NULL && par_obj_len(o) == 1);
    par_obj_free(o);
    par_list_free(list);
    par_manager_free(m);
    return 0;
}

/* ---- processes */

static int
leave_seven(void *unused)
{
    (void)unused;
    return 7;
}

static int
processes(void)
{
    par_process *p = par_process_start(leave_seven, NULL, 0, &(par_process_opts){ .daemon = true });
    struct pollfd end;

    hold(p != NULL);
    end = (struct pollfd){ .fd = par_process_fileno(p), .events = POLLIN };
    hold(end.fd >= 0 ? poll(&end, 1, 20000) == 1 : errno == ENOTSUP);
    hold(par_process_join(p, soon()) == 0 && par_process_exitcode(p) == 7 && par_process_terminate(p) == 0);
    par_process_free(p);
    hold(par_process_active_children(NULL, 0) == 0);
    return 0;
}

static int
threads(void)
{
    par_thread *t = par_thread_start(leave_seven, NULL, 0, NULL);

    hold(t != NULL && par_thread_join(t, soon()) == 0 && par_thread_exitcode(t) == 7);
    par_thread_free(t);
    return 0;
}

int
workload(void)
{
    static int (*const part[])(void) = { locks, barriers, queues, pipes, pools, managers, processes, threads };

    b = par_shared_alloc(1, sizeof *b);
    hold(b != NULL);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        int line = part[i]();
        if (line != 0)
            return line;
    }
    par_shared_free(b);
    return 0;
}
