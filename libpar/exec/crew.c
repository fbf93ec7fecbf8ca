/* SPDX-License-Identifier: MIT
 *
 * crew.c: the workers of a pool from their creator's side: start, bury, replace, end.
 *
 * Shared state: none but the records, which belong to their workers while these live. The list of crews is guarded by the private
 * lock; everything in a crew by crew->lock, which a map, a join or a free holds from beginning to end.
 * Lock order: crew->lock, then the private lock (briefly, and never the other way round).
 * If a process dies here: a worker is what this file is about. If the creator dies, its workers end with it. If only the thread
 * dies that runs a map (it left by pthread_exit in a callback), the pool is broken from then on; its job is kept until the free.
 */
#include "birth.h"
#include "future.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define INTENSITY_NS 10000000000 /* deaths are counted together within 10 s */
#define GRACE_NS 1000000000      /* a terminated process worker is killed after a second */

static struct pari_crew *crews;

static void
forget_crews(void)
{
    crews = NULL; /* a child has no part in its parent's pools */
}

struct pari_crew *
pari_crew_of(const par_pool *pool)
{
    struct pari_crew *crew;

    if (pari_handle_check_mine(pool, PARI_POOL) != 0)
        return NULL;
    pari_private_lock();
    for (crew = crews; crew != NULL && crew->pool != pool; crew = crew->next)
        ;
    pari_private_unlock();
    return crew ? crew : pari_null(EPERM);
}

static void
enlist(struct pari_crew *crew)
{
    (void)pari_at_fork(forget_crews);
    pari_private_lock();
    crew->next = crews;
    crews = crew;
    pari_private_unlock();
}

static void
delist(struct pari_crew *crew)
{
    struct pari_crew **link = &crews;

    pari_private_lock();
    while (*link != NULL && *link != crew)
        link = &(*link)->next;
    if (*link != NULL)
        *link = crew->next;
    pari_private_unlock();
}

static int
copy_opts(struct pari_crew *crew, const par_pool_opts *opts)
{
    void *copy;

    crew->opts = *opts;
    crew->opts.name = NULL;
    (void)snprintf(crew->name, sizeof crew->name, "%s", opts->name ? opts->name : "pool");
    if (opts->initarg_size == 0)
        return 0;
    copy = pari_malloc(opts->initarg_size);
    if (copy == NULL)
        return -1;
    crew->opts.initarg = memcpy(copy, opts->initarg, opts->initarg_size);
    return 0;
}

struct pari_crew *
pari_crew_new(par_pool *pool, const par_pool_opts *opts)
{
    int method = pari_method(opts->start_method);
    struct pari_crew *crew = method > 0 ? pari_malloc(sizeof *crew + pool->n_workers * sizeof *crew->hand) : NULL;

    if (crew == NULL)
        return NULL;
    if (pari_mutex_init(&crew->lock) != 0 || copy_opts(crew, opts) != 0) {
        int error = errno;
        free(crew);
        return pari_null(error);
    }
    crew->pool = pool;
    crew->backend = pool->backend == PAR_PROCESSES ? &pari_backend_process
                    : pool->backend == PAR_THREADS ? &pari_backend_thread
                                                   : &pari_backend_serial;
    crew->method = method;
    crew->reach = crew->backend->in_place ? PARI_SEES_ALL : method == PAR_FORK ? PARI_SEES_COPY : PARI_SEES_SHARED;
    enlist(crew);
    return crew;
}

void
pari_crew_free(struct pari_crew *crew)
{
    delist(crew);
    if (crew->left != NULL)
        (void)pari_heap_free(crew->left); /* a live block of ours: cannot fail */
    if (crew->opts.initarg_size > 0)
        free((void *)crew->opts.initarg);
    free(crew);
}

int
pari_crew_lock(struct pari_crew *crew, par_time deadline)
{
    int held = pari_mutex_lock(&crew->lock, deadline);

    if (held == PARI_HELD_AFTER_DEATH) {
        (void)snprintf(crew->reason, sizeof crew->reason, "a thread ended inside a callback of par_pool_map");
        crew->is_broken = true;
        crew->map = NULL; /* it lay on that thread's stack */
        if (crew->left != NULL)
            atomic_store(&crew->left->stop, 1);
        atomic_store(&crew->pool->pass, 0);
        atomic_store(&crew->pool->is_busy, 0);
        pari_mutex_recovered(&crew->lock);
    }
    return held < 0 ? -1 : 0;
}

void
pari_crew_unlock(struct pari_crew *crew)
{
    (void)pari_mutex_unlock(&crew->lock); /* held by this thread: cannot fail */
}

void
pari_crew_hold(struct pari_crew *crew)
{
    atomic_fetch_add(&crew->n_maps, 1);
}

void
pari_crew_let_go(struct pari_crew *crew)
{
    if (atomic_fetch_sub(&crew->n_maps, 1) == 1)
        (void)pari_futex_wake(&crew->n_maps, INT_MAX); /* only its address */
}

uint64_t
pari_crew_done(const struct pari_crew *crew)
{
    uint64_t n = crew->n_done;

    for (unsigned i = 0; i < crew->pool->n_workers; i++)
        n += atomic_load_explicit(&crew->pool->worker[i].done, memory_order_relaxed) +
             atomic_load_explicit(&crew->pool->worker[i].tasks, memory_order_relaxed); /* a statistic */
    return n;
}

/* ---- deaths */

static const char *
signal_name(int number, char *room, size_t size)
{
    static const struct {
        int number;
        const char *name;
    } known[] = {
        { SIGABRT, "SIGABRT" }, { SIGALRM, "SIGALRM" }, { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },   { SIGHUP, "SIGHUP" },
        { SIGILL, "SIGILL" },   { SIGINT, "SIGINT" },   { SIGKILL, "SIGKILL" }, { SIGPIPE, "SIGPIPE" }, { SIGQUIT, "SIGQUIT" },
        { SIGSEGV, "SIGSEGV" }, { SIGSYS, "SIGSYS" },   { SIGTERM, "SIGTERM" }, { SIGTRAP, "SIGTRAP" }, { SIGUSR1, "SIGUSR1" },
        { SIGUSR2, "SIGUSR2" }, { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" },
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].number == number)
            return known[i].name;
    (void)snprintf(room, size, "signal %d", number);
    return room;
}

/* "worker 4711 killed by SIGKILL" */
static void
describe(const struct pari_crew *crew, unsigned index, const struct pari_end *end, char *text, size_t size)
{
    int refusal = atomic_load(&crew->pool->worker[index].refusal);
    char who[40], room[24];

    if (end->pid != 0)
        (void)snprintf(who, sizeof who, "worker %d", (int)end->pid);
    else
        (void)snprintf(who, sizeof who, "worker thread %u", index);
    if (refusal != 0)
        (void)snprintf(text, size, "%s: the initializer returned %d", who, refusal);
    else if (end->error != 0)
        (void)snprintf(text, size, "%s could not start: error %d", who, end->error);
    else if (end->pid == 0)
        (void)snprintf(text, size, "%s ended itself", who);
    else if (end->code == PAR_EXIT_UNKNOWN)
        (void)snprintf(text, size, "%s ended, nobody knows how", who);
    else if (end->code < 0)
        (void)snprintf(text, size, "%s killed by %s", who, signal_name(-end->code, room, sizeof room));
    else
        (void)snprintf(text, size, "%s exited with %d", who, end->code);
}

/* Too many deaths, and nothing got done in between: more of the same would be a waste. */
static void
count_death(struct pari_crew *crew, const char *text)
{
    unsigned limit = 3 * crew->pool->n_workers > 10 ? 3 * crew->pool->n_workers : 10;
    uint64_t done = pari_crew_done(crew);
    int64_t now = pari_now_ns();

    if (crew->n_deaths == 0 || done != crew->done_then || now - crew->first_death > INTENSITY_NS) {
        crew->n_deaths = 0;
        crew->first_death = now;
    }
    crew->done_then = done;
    (void)snprintf(crew->reason, sizeof crew->reason, "%s", text);
    par_log(PAR_LOG_WARNING, "%s: %s", crew->name, text);
    if (++crew->n_deaths <= limit || crew->is_broken)
        return;
    crew->is_broken = true;
    par_log(PAR_LOG_ERROR, "%s is broken: its workers die too often", crew->name);
}

static bool
may_end(const struct pari_crew *crew)
{
    uint32_t state = atomic_load(&crew->pool->state);

    return state == PARI_POOL_TERMINATED || (state == PARI_POOL_CLOSED && atomic_load(&crew->pool->is_busy) == 0 &&
                                             atomic_load(&crew->pool->first_task) == NULL);
}

static void
bury(struct pari_crew *crew, unsigned index, const struct pari_end *end)
{
    struct pari_worker *record = &crew->pool->worker[index];
    char text[sizeof crew->reason] = "";

    if (atomic_load(&record->has_retired) != 0) {
        if (crew->map != NULL)
            pari_map_replace(crew->map, index);
    } else {
        describe(crew, index, end, text, sizeof text);
        if (crew->map != NULL)
            pari_map_lose(crew->map, index, end, text);
        if (!crew->hand[index].is_killed && !may_end(crew))
            count_death(crew, text);
    }
    pari_desk_lose(crew, index, end, text);
    atomic_store(&record->claim, 0);
    atomic_store(&record->in, 0);
    atomic_store(&record->phase, PARI_WORKER_NONE);
    crew->hand[index].is_running = false;
    crew->hand[index].is_killed = false;
}

unsigned
pari_crew_bury(struct pari_crew *crew)
{
    unsigned n_live = 0;

    crew->n_peers = 0;
    for (unsigned i = 0; i < crew->pool->n_workers; i++) {
        struct pari_end end;
        if (!crew->hand[i].is_running)
            continue;
        if (crew->backend->ended(crew, i, &end)) {
            bury(crew, i, &end);
            continue;
        }
        n_live++;
        if (crew->hand[i].child != NULL && crew->n_peers < PARI_MAX_WORDS - 1)
            crew->peers[crew->n_peers++] = crew->hand[i].child->member;
    }
    return n_live;
}

static int
start_worker(struct pari_crew *crew, unsigned index)
{
    struct pari_worker *record = &crew->pool->worker[index];

    atomic_store(&record->refusal, 0);
    atomic_store(&record->has_retired, 0);
    atomic_store(&record->phase, PARI_WORKER_STARTING);
    crew->hand[index].is_running = true;
    if (crew->backend->start(crew, index) == 0)
        return 0;
    crew->hand[index].is_running = false;
    atomic_store(&record->phase, PARI_WORKER_NONE);
    return -1;
}

unsigned
pari_crew_fill(struct pari_crew *crew)
{
    unsigned n_live = 0;
    int error = 0;

    for (unsigned i = 0; i < crew->pool->n_workers; i++) {
        bool is_missing = i < atomic_load(&crew->pool->n_wanted) && !crew->hand[i].is_running;

        if (is_missing && error == 0 && start_worker(crew, i) != 0)
            error = errno;
        n_live += crew->hand[i].is_running;
    }
    if (n_live == 0) {
        char text[64];
        (void)snprintf(text, sizeof text, "no worker can be started: error %d", error);
        count_death(crew, text);
    }
    if (error != 0)
        errno = error;
    return n_live;
}

int
pari_crew_say_broken(const struct pari_crew *crew)
{
    pari_say("%s is broken: %s", crew->name, crew->reason);
    return pari_fail(ENOTRECOVERABLE);
}

int
pari_crew_man(struct pari_crew *crew)
{
    do {
        (void)pari_crew_bury(crew);
        if (crew->is_broken)
            return pari_crew_say_broken(crew);
        if (pari_crew_fill(crew) == 0)
            return -1;
    } while (crew->backend == &pari_backend_serial && pari_crew_bury(crew) == 0); /* its initializer refused, on the spot */
    return 0;
}

/* ---- the end */

void
pari_crew_signal(struct pari_crew *crew, int signal)
{
    for (unsigned i = 0; i < crew->pool->n_workers; i++)
        if (crew->hand[i].is_running)
            crew->backend->end(crew, i, signal);
}

/* When those who linger are to be killed; 0: never. */
static int64_t
kill_time(const struct pari_crew *crew)
{
    int64_t terminated = atomic_load(&crew->pool->terminated_at);

    return terminated ? terminated + GRACE_NS : 0;
}

int
pari_crew_wait_end(struct pari_crew *crew, par_time deadline, bool interruptible)
{
    struct pari_eventcount *news = &crew->pool->news.ec;
    struct pari_nap nap = { 0 };
    bool has_killed = false;

    for (;;) {
        uint32_t key = pari_eventcount_prepare(news);
        int64_t kill_at = kill_time(crew);
        par_time until = deadline;
        pari_desk_attend(crew); /* a closed pool does what it has accepted */
        if (pari_crew_bury(crew) == 0 && atomic_load(&crew->pool->first_task) == NULL)
            return 0;
        if (pari_is_over(deadline))
            return pari_fail(ETIMEDOUT);
        if (interruptible && pari_is_interrupted())
            return pari_fail(EINTR);
        if (kill_at != 0 && !has_killed) {
            if (pari_now_ns() >= kill_at) {
                pari_crew_signal(crew, SIGKILL);
                has_killed = true;
            } else if (deadline.ns == 0 || kill_at < deadline.ns)
                until = PAR_TIME(kill_at);
        }
        pari_pool_sleep(news, key, &nap, crew->peers, crew->n_peers, until);
    }
}
