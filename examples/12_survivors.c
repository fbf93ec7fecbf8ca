/* SPDX-License-Identifier: MIT
 *
 * Survivors: six times a process is killed with kill -9 where it hurts most. Who goes on, and who hangs?
 *
 * Each scenario is run with libpar, here, and with Python's multiprocessing, in 12_survivors.py, which stands beside the program:
 * the same function names in both. Both sides have the same time after the death. "Hangs" means that it was over and nothing had
 * happened; then all processes of that Python are killed.
 */
#include "demo.h"
#include "python.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static double limit; /* seconds that the survivors have after the death */

enum { N = 100, UNLUCKY = 37 }; /* 37 is item 36 */

static struct shared {
    atomic_bool is_there; /* the victim: the next time it sleeps, it is where it is to be killed */
    par_lock lock;
    par_event event;
    par_barrier barrier;
} * shared;
static par_queue *queue;

/* ---- how a victim dies */

static void
nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static bool
is_asleep(pid_t pid)
{
    char path[64], stat[TEXT] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t n = fread(stat, 1, sizeof stat - 1, file);
    fclose(file);
    stat[n] = '\0';
    const char *name_end = strrchr(stat, ')');
    return name_end != NULL && strncmp(name_end, ") S", 3) == 0;
}

/* Run fn in a process, wait until it sleeps in there, and kill the process. */
static void
kill_inside(int (*fn)(void *))
{
    atomic_store(&shared->is_there, false);
    par_process *victim = par_process_start(fn, NULL, 0, &(par_process_opts){ .daemon = true });
    if (victim == NULL)
        demo_die("par_process_start");
    par_time start = par_now();
    while (!atomic_load(&shared->is_there) || !is_asleep(par_process_pid(victim))) {
        if (par_since(start) > START_SECONDS)
            demo_die("the victim does not come");
        nap();
    }
    if (par_process_kill(victim) != 0 || par_process_join(victim, par_in(limit)) != 0)
        demo_die("par_process_kill");
    par_process_free(victim);
}

/* ---- the scenarios: does it go on, and what is it told? */

static int
square(const void *in, void *out, void *ctx)
{
    (void)ctx;
    int x = *(const int *)in;
    if (x == UNLUCKY)
        kill(getpid(), SIGKILL);
    *(int *)out = x * x;
    return 0;
}

/* How many of N squares come out right; *lost: the item that did not. -1: all is over. */
static int
map_squares(par_pool *pool, par_status *lost)
{
    int numbers[N], squares[N] = { 0 }, n_right = 0;
    for (int i = 0; i < N; i++)
        numbers[i] = i + 1;
    if (par_pool_map_with(pool, square, numbers, squares, N,
                          &(par_job_opts){ .deadline = par_in(limit), .failures = lost, .max_failures = 1 }) < 0)
        return -1;
    for (int i = 0; i < N; i++)
        n_right += squares[i] == numbers[i] * numbers[i];
    return n_right;
}

static bool
pool_worker(char *told)
{
    par_status lost = { 0 };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    if (pool == NULL)
        demo_die("par_pool_new");
    int n_right = map_squares(pool, &lost);
    snprintf(told, TEXT, "%d of %d squares; item %zu: %s", n_right, N, lost.index, lost.text);
    par_pool_free(pool);
    return n_right == N - 1;
}

static int
get_from(void *unused)
{
    char message;
    (void)unused;
    atomic_store(&shared->is_there, true);
    return (int)par_queue_get(queue, &message, sizeof message, PAR_FOREVER);
}

static bool
queue_reader(char *told)
{
    int message = 42, got = 0;
    kill_inside(get_from);
    bool goes_on = par_queue_put(queue, &message, sizeof message, par_in(limit)) == 0 &&
                   par_queue_get(queue, &got, sizeof got, par_in(limit)) == sizeof got;
    snprintf(told, TEXT, "got %d", got);
    return goes_on;
}

static int
hold(void *unused)
{
    (void)unused;
    if (par_lock_acquire(&shared->lock, PAR_FOREVER) != 0)
        return 1;
    atomic_store(&shared->is_there, true);
    return pause();
}

static bool
lock_holder(char *told)
{
    kill_inside(hold);
    if (par_lock_acquire(&shared->lock, par_in(limit)) != 0)
        return false;
    snprintf(told, TEXT, "has the lock, which process %d died in", (int)par_lock_dead_owner(&shared->lock));
    return par_lock_recover(&shared->lock) == 0 && par_lock_release(&shared->lock) == 0;
}

static int
wait_for(void *unused)
{
    (void)unused;
    atomic_store(&shared->is_there, true);
    return par_event_wait(&shared->event, PAR_FOREVER);
}

static bool
event_waiter(char *told)
{
    kill_inside(wait_for);
    snprintf(told, TEXT, "the event is set");
    return par_event_set(&shared->event) == 0 && par_event_is_set(&shared->event);
}

static int
meet(void *unused)
{
    (void)unused;
    atomic_store(&shared->is_there, true);
    return par_barrier_wait(&shared->barrier, PAR_FOREVER);
}

static bool
barrier_party(char *told)
{
    if (par_barrier_init(&shared->barrier, 2, NULL, NULL) != 0)
        demo_die("par_barrier_init");
    kill_inside(meet);
    if (par_barrier_wait(&shared->barrier, par_in(limit)) >= 0)
        return false;
    if (errno != EOWNERDEAD)
        return false;
    snprintf(told, TEXT, "is told that a party has died");
    return true;
}

static bool
executor_worker(char *told)
{
    int six = 6, result = 0;
    par_status lost = { 0 };
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    if (pool == NULL)
        demo_die("par_pool_new");
    bool goes_on = map_squares(pool, &lost) == N - 1 && par_pool_apply(pool, square, &six, &result) == 0;
    snprintf(told, TEXT, "then 6 * 6 = %d", result);
    par_pool_free(pool);
    return goes_on;
}

#define SCENARIO(function, title)  \
    {                              \
        title, #function, function \
    }

static const struct scenario {
    const char *title, *name;
    bool (*run)(char *told);
} scenarios[] = {
    SCENARIO(pool_worker, "a pool's worker, during map"),
    SCENARIO(queue_reader, "a reader of a queue, in get"),
    SCENARIO(lock_holder, "the holder of a lock"),
    SCENARIO(event_waiter, "a waiter for an event, before set"),
    SCENARIO(barrier_party, "a party that waits at a barrier"),
    SCENARIO(executor_worker, "an executor's worker, and the executor is used again"),
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

static bool
run_libpar(const struct scenario *scenario, char *verdict)
{
    char told[TEXT] = "";
    par_time start = par_now();
    errno = 0;
    bool goes_on = scenario->run(told);
    if (goes_on)
        snprintf(verdict, VERDICT, "goes on (%.3f s): %s", par_since(start), told);
    else if (errno == ETIMEDOUT)
        snprintf(verdict, VERDICT, "hangs (stopped after %g s)", limit);
    else
        snprintf(verdict, VERDICT, "fails: %s", strerror(errno));
    return goes_on;
}

/* ---- both sides */

static void
run_python(char verdict[][VERDICT])
{
    struct python pythons[N_SCENARIOS];
    for (int i = 0; i < N_SCENARIOS; i++)
        python_start(&pythons[i], scenarios[i].name, limit, verdict[i]);
    python_watch(pythons, N_SCENARIOS);
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    limit = demo_number(argv, "-s", 2, 0.1, 100);
    demo_end_options(argv, "[-s seconds for the survivors]");
    shared = par_value(struct shared);
    queue = par_queue_new(NULL);
    if (shared == NULL || queue == NULL)
        demo_die("shared objects");

    static char libpar[N_SCENARIOS][VERDICT], python[N_SCENARIOS][VERDICT];
    int n_going = 0;
    for (int i = 0; i < N_SCENARIOS; i++)
        n_going += run_libpar(&scenarios[i], libpar[i]);
    if (!quick)
        run_python(python);
    for (int i = 0; i < N_SCENARIOS; i++)
        printf("Killed: %s\n    Python  %s\n    libpar  %s\n", scenarios[i].title, quick ? "not tried: --quick" : python[i],
               libpar[i]);
    printf("%d of %d go on with libpar\n", n_going, N_SCENARIOS);

    par_queue_free(queue);
    par_shared_free(shared);
    return n_going == N_SCENARIOS ? EXIT_SUCCESS : EXIT_FAILURE;
}
