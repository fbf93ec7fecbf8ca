/* SPDX-License-Identifier: MIT
 *
 * pool.c: keepers map on pools whose workers die; victims are killed while they have pools of their own.
 */
#include "storm.h"

#include <signal.h>
#include <sched.h>
#include <unistd.h>

#define N_ITEMS 400
#define N_WORKERS 3
#define MAX_TOLD 64

static par_pool *pool; /* of a keeper, or of a victim */
static bool is_mortal; /* in a worker of a keeper's pool */
static int n_items;    /* that it has begun */

static int
become_mortal(void *arg, void **worker)
{
    (void)arg;
    (void)worker;
    seed_random((uint64_t)new_life());
    is_mortal = true;
    n_items = 0;
    return 0;
}

/* Not before one item is done: a pool whose workers get nothing done gives up, rightly. */
static void
begin_item(void)
{
    if (is_mortal && n_items++ == 1)
        doom((long)random_below((uint64_t)1 << random_below(14)) + 1);
}

static int
triple(const void *in, void *out, void *ctx)
{
    (void)ctx;
    begin_item();
    for (uint64_t n = random_below(200); n > 0; n--)
        __asm__ volatile("");
    if (random_below(64) == 0)
        sched_yield();
    *(long *)out = *(const long *)in * 3;
    return 0;
}

static void
check_lost(const par_status *status)
{
    expect(pool_part, TORN, status->state == PAR_LOST);
    expect(pool_part, TORN, status->signal == SIGKILL || status->signal == SIGSEGV);
    expect(pool_part, TORN, is_doomed(status->pid));
    expect(pool_part, TORN, status->index < N_ITEMS && status->tries == 1);
}

static void
map_once(void)
{
    static long in[N_ITEMS], out[N_ITEMS];
    static unsigned char state[N_ITEMS];
    static par_status lost[MAX_TOLD];
    ssize_t n, n_bad = 0;

    for (long i = 0; i < N_ITEMS; i++) {
        in[i] = i + (long)random_below(1000);
        out[i] = -1;
    }
    n = par_pool_map_with(pool, triple, in, out, N_ITEMS,
                          &(par_job_opts){ .state = state, .failures = lost, .max_failures = MAX_TOLD, .deadline = soon() });
    if (n < 0 || (n > 0 && errno != ECHILD)) {
        failed(pool_part, "map");
        return;
    }
    for (long i = 0; i < N_ITEMS; i++) {
        n_bad += state[i] != PAR_OK;
        expect(pool_part, LOST, state[i] != PAR_OK || out[i] == in[i] * 3);
        expect(pool_part, TORN, state[i] == PAR_OK || out[i] == -1);
    }
    expect(pool_part, LOST, n == n_bad);
    for (ssize_t i = 0; i < n && i < MAX_TOLD; i++)
        check_lost(&lost[i]);
}

static void
keep_pool(int which)
{
    (void)which;
    if (pool == NULL)
        pool = par_pool_new(&(par_pool_opts){ .workers = N_WORKERS, .backend = PAR_PROCESSES, .initializer = become_mortal });
    if (pool == NULL)
        failed(pool_part, "a new pool");
    else
        map_once();
}

/* The workers that live now do not die of their doom; there may be less of them that have one. */
static void
leave_pool(int which)
{
    (void)which;
    if (pool != NULL)
        count_kills(-par_pool_workers(pool));
    par_pool_free(pool);
    pool = NULL;
}

/* By a victim: its workers must end with it. */
static void
own_pool(void)
{
    pool = par_pool_new(&(par_pool_opts){ .workers = 2, .backend = PAR_PROCESSES });
    if (pool == NULL)
        failed(pool_part, "a victim's pool");
    else
        map_once();
    par_pool_free(pool);
    pool = NULL;
}

struct part pool_part = { .name = "pool", .n_keepers = 2, .step = own_pool, .keep = keep_pool, .leave = leave_pool };
