/* SPDX-License-Identifier: MIT
 *
 * pool.c: a worker's whole loop, and the parent inside a map.
 */
#include "kill.h"

#include "../../libpar/shm/arena.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 6

/* Shared by family and world. */
struct board {
    _Atomic int n_runs[N];
    int out[N];
    int in[N];
};

static struct board *board;
static size_t max_tasks; /* of the pool's workers */
static bool is_batch;    /* the map gives its tasks several items */
static bool is_smaller;  /* the pool is made smaller, and the victim is to leave */
static int victim = 4;   /* where its pid is noted */

static int
square(const void *in, void *out, void *ctx)
{
    int i = *(const int *)in;

    (void)ctx;
    atomic_fetch_add(&board->n_runs[i], 1);
    *(int *)out = i * i;
    return 0;
}

static int
squares(const void *in, void *out, par_batch batch, void *ctx)
{
    for (size_t i = 0; par_batch_next(batch, i); i++)
        (void)square((const int *)in + i, (int *)out + i, ctx);
    return 0;
}

static ssize_t
map_squares(par_pool *pool, const par_job_opts *opts)
{
    if (is_batch)
        return par_pool_map_batches_sized(pool, squares, board->in, sizeof(int), board->out, sizeof(int), N, opts);
    return par_pool_map_sized(pool, square, board->in, sizeof(int), board->out, sizeof(int), N, opts);
}

static int
say_worker(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)ctx;
    atomic_store(&page->note[4 + par_worker_index()], getpid());
    while (atomic_load(&page->note[4]) == 0 || atomic_load(&page->note[5]) == 0)
        nap();
    *(int *)out = 1;
    return 0;
}

static void
make(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    board = par_shared_alloc(1, sizeof *board);
    expect_ready(board != NULL);
    for (int i = 0; i < N; i++)
        board->in[i] = i;
    leak_mark();
}

/* ---- a worker dies: the map, run by a helper that owns the pool, says so exactly */

static int
judge_map(ssize_t bad, const unsigned char *state, const par_status *status)
{
    ssize_t n_lost = 0;

    for (int i = 0; i < N; i++) {
        int runs = atomic_load(&board->n_runs[i]);
        if (runs > 1)
            return DUPLICATED;
        if (state[i] == PAR_LOST)
            n_lost++;
        else if (state[i] != PAR_OK || runs != 1 || board->out[i] != i * i)
            return LOST;
    }
    if (bad != n_lost || n_lost > 1)
        return TORN;
    if (n_lost == 1 &&
        (state[status[0].index] != PAR_LOST || status[0].pid != page->note[victim] || status[0].signal != SIGKILL))
        return TORN;
    return FINE;
}

static int
map_owner(int i)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .max_tasks = max_tasks });
    unsigned char state[N];
    par_status status[N];
    int verdict, unused[2], two[2] = { 0, 1 };
    ssize_t bad;

    if (pool == NULL || par_pool_map_sized(pool, say_worker, two, sizeof(int), unused, sizeof(int), 2,
                                           &(par_job_opts){ .chunk = 1, .deadline = soon() }) != 0)
        return BROKEN;
    helper_park(i);
    while (!atomic_load(&page->note[0]))
        nap();
    if (is_smaller && par_pool_resize(pool, 1) != 0)
        return TORN;
    bad = map_squares(pool, &(par_job_opts){ .state = state,
                                             .failures = status,
                                             .max_failures = N,
                                             .chunk = is_batch ? N / 2 : 0,
                                             .deadline = par_in(20) });
    atomic_store(&page->is_idle, 1);
    while (!atomic_load(&page->note[2])) /* the world has killed the worker */
        nap();
    verdict = judge_map(bad, state, status);
    memset(board->n_runs, 0, sizeof board->n_runs);
    if (verdict == FINE && map_squares(pool, &(par_job_opts){ .state = state, .deadline = soon() }) != 0)
        verdict = HUNG;
    if (par_pool_close(pool) != 0 || par_pool_join(pool, soon()) != 0)
        verdict = HUNG;
    par_pool_free(pool);
    return verdict;
}

static void
set_up_worker(void)
{
    make();
    helper_start(0, map_owner);
    while (!atomic_load(&page->is_parked[0]))
        nap();
}

/* One item has been run, one is left. */
static void
set_up_mortal_worker(void)
{
    max_tasks = 2;
    set_up_worker();
}

static void
set_up_batch_worker(void)
{
    is_batch = true;
    set_up_worker();
}

static void
set_up_surplus_worker(void)
{
    is_smaller = true;
    victim = 5;
    set_up_worker();
}

/* It is attached to, asleep, and then the map begins. */
static pid_t
find_worker(int which)
{
    (void)which;
    while (!is_asleep((pid_t)atomic_load(&page->note[victim])))
        nap();
    return (pid_t)atomic_load(&page->note[victim]);
}

static void
begin_map(int which)
{
    (void)which;
    atomic_store(&page->note[0], 1);
}

static void
check_worker(void)
{
    atomic_store(&page->note[0], 1);
    atomic_store(&page->note[2], 1);
    helper_join(0);
    leak_check(0);
}

/* ---- a worker dies in a task that was submitted alone */

static int
judge_tasks(par_future *const *future)
{
    int n_lost = 0;

    for (int i = 0; i < N; i++) {
        int runs = atomic_load(&board->n_runs[i]), result = -1;
        ssize_t bad = par_future_get(future[i], &result, soon());
        par_status status;
        if (bad < 0 || par_future_status(future[i], &status) != 0)
            return HUNG;
        if (runs > 1)
            return DUPLICATED;
        if (bad == 0 && (runs != 1 || result != i * i))
            return LOST;
        if (bad > 0 && (status.state != PAR_LOST || status.pid != page->note[4] || status.signal != SIGKILL))
            return TORN;
        n_lost += bad > 0;
    }
    return n_lost > 1 ? TORN : FINE;
}

static int
submit_all(par_pool *pool, par_future **future)
{
    for (int i = 0; i < N; i++)
        if ((future[i] = par_pool_submit(pool, square, &i, sizeof(int))) == NULL)
            return -1;
    return 0;
}

static int
task_owner(int i)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 1 }); /* all tasks are the victim's, unless it dies */
    par_future *future[N];
    int verdict, unused, zero = 0;

    atomic_store(&page->note[5], 1);
    if (pool == NULL || par_pool_apply(pool, say_worker, &zero, &unused) != 0)
        return BROKEN;
    helper_park(i);
    while (!atomic_load(&page->note[0]))
        nap();
    if (submit_all(pool, future) != 0)
        return BROKEN;
    verdict = par_future_wait(future, N, PAR_ALL, par_in(20)) == N ? FINE : HUNG;
    atomic_store(&page->is_idle, 1);
    while (!atomic_load(&page->note[2])) /* the world has killed the worker */
        nap();
    if (verdict == FINE)
        verdict = judge_tasks(future);
    for (int k = 0; k < N; k++)
        par_future_free(future[k]);
    memset(board->n_runs, 0, sizeof board->n_runs);
    if (verdict == FINE && (submit_all(pool, future) != 0 || par_pool_close(pool) != 0 || par_pool_join(pool, soon()) != 0))
        verdict = HUNG;
    for (int k = 0; k < N && verdict == FINE; k++)
        if (par_future_get(future[k], NULL, PAR_NOWAIT) != 0)
            verdict = LOST;
    par_pool_free(pool); /* with the futures that are left, which are swept with this process */
    return verdict;
}

static void
set_up_task_worker(void)
{
    make();
    helper_start(0, task_owner);
    while (!atomic_load(&page->is_parked[0]))
        nap();
}

/* ---- the parent dies */

static void
prepare_pool(int which)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });

    (void)which;
    atomic_store(&page->note[3], (long)(intptr_t)pool);
}

static void
map_in_parent(int which)
{
    par_pool *pool = (par_pool *)(intptr_t)atomic_load(&page->note[3]);
    int out[N];

    atomic_store(&page->victim[which].result,
                 par_pool_map_sized(pool, square, board->in, sizeof(int), out, sizeof(int), N, NULL));
}

static void
submit_in_parent(int which)
{
    par_pool *pool = (par_pool *)(intptr_t)atomic_load(&page->note[3]);
    par_future *future[2];
    int in[2] = { 1, 2 }, out;

    for (int i = 0; i < 2; i++)
        future[i] = par_pool_submit(pool, square, &in[i], sizeof out);
    (void)par_future_cancel(future[1]);
    atomic_store(&page->victim[which].result, par_future_get(future[0], &out, PAR_FOREVER));
    par_future_free(future[0]);
    par_future_free(future[1]);
}

static void
make_and_free_pool(int which)
{
    (void)which;
    par_pool_free(par_pool_new(&(par_pool_opts){ .workers = 2 }));
}

static void
join_family(int which)
{
    (void)which;
    (void)pari_self();
}

/* Its workers end with it. */
static void
check_parent(void)
{
    par_time start = par_now();

    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        if (par_since(start) > PATIENCE)
            find(LEAKED, "a worker stays");
        nap();
    }
    expect(LOST, !has_ended(0) || page->victim[0].result == 0);
    leak_check(0);
    expect(TORN, pari_heap_free(board) == 0);
}

const struct op pool_ops[] = {
    { .group = "pool",
      .name = "worker",
      .setup = set_up_worker,
      .meanwhile = begin_map,
      .find = find_worker,
      .check = check_worker,
      .is_once = true },
    { .group = "pool",
      .name = "worker_batch",
      .setup = set_up_batch_worker,
      .meanwhile = begin_map,
      .find = find_worker,
      .check = check_worker,
      .is_once = true },
    { .group = "pool",
      .name = "worker_retires",
      .setup = set_up_mortal_worker,
      .meanwhile = begin_map,
      .find = find_worker,
      .check = check_worker,
      .is_once = true },
    { .group = "pool",
      .name = "worker_leaves",
      .setup = set_up_surplus_worker,
      .meanwhile = begin_map,
      .find = find_worker,
      .check = check_worker,
      .is_once = true },
    { .group = "pool",
      .name = "worker_tasks",
      .setup = set_up_task_worker,
      .meanwhile = begin_map,
      .find = find_worker,
      .check = check_worker,
      .stride = 5,
      .is_once = true },
    { .group = "pool",
      .name = "parent_submits",
      .setup = make,
      .prepare = prepare_pool,
      .act = submit_in_parent,
      .check = check_parent,
      .stride = 2,
      .is_once = true },
    { .group = "pool",
      .name = "parent_in_map",
      .setup = make,
      .prepare = prepare_pool,
      .act = map_in_parent,
      .check = check_parent,
      .stride = 2,
      .is_once = true },
    { .group = "pool",
      .name = "pool_new_free",
      .setup = make,
      .prepare = join_family,
      .act = make_and_free_pool,
      .check = check_parent,
      .stride = 7,
      .is_once = true },
    { .name = NULL },
};
