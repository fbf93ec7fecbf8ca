/* SPDX-License-Identifier: MIT
 *
 * world.c: a world: its victims, its helpers, and what it finds.
 *
 * The victims are children by plain fork (guests of the family), or par_processes where an operation needs an end of a pipe, or
 * processes that libpar itself has started. They stop themselves before the operation.
 */
#include "kill.h"

#include "../../libpar/shm/arena.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ASLEEP_SECONDS 4        /* a victim that nothing wakes */
#define STARVED_NS 300000000ULL /* that one was ready to run and did not: its deadline says nothing */

static pid_t helper[MAX_HELPERS];
static par_process *process[2]; /* the victims that are par_processes */
static size_t mark, slots_mark;

/* What the kernel says of how long it was ready to run and did not. */
void
note_starvation(pid_t pid)
{
    unsigned long long waited_ns = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%*u %llu", &waited_ns) == 1 && waited_ns > STARVED_NS)
        atomic_store(&page->has_starved, true);
    if (file != NULL)
        fclose(file);
}

void
find(enum verdict verdict, const char *format, ...)
{
    va_list args;

    if (verdict == HUNG)
        note_starvation(getpid());
    va_start(args, format);
    vsnprintf(page->text, sizeof page->text, format, args);
    va_end(args);
    _exit((int)verdict);
}

par_time
soon(void)
{
    return par_in(PATIENCE);
}

bool
has_ended(int which)
{
    return atomic_load(&page->victim[which].has_ended) != 0;
}

/* ---- helpers */

void
helper_start(int i, int (*fn)(int i))
{
    helper[i] = fork();
    expect_ready(helper[i] >= 0);
    if (helper[i] == 0) {
        int verdict = fn(i);
        if (verdict == HUNG)
            note_starvation(getpid());
        _exit(verdict);
    }
}

void
helper_park(int i)
{
    atomic_store(&page->is_parked[i], 1);
}

void
helper_await(int i)
{
    struct timespec tick = { 0, 50000 };

    for (int n = 0; !atomic_load(&page->is_parked[i]) || !is_asleep(helper[i]); n++) {
        expect_ready(n < 40000);
        nanosleep(&tick, NULL);
    }
}

void
helper_join(int i)
{
    struct timespec tick = { 0, 100000 };
    par_time start = par_now();
    int status;

    while (waitpid(helper[i], &status, WNOHANG) != helper[i]) {
        if (par_since(start) > 2 * PATIENCE)
            find(HUNG, "helper %d", i);
        nanosleep(&tick, NULL);
    }
    if (!WIFEXITED(status))
        find(TORN, "helper %d: signal %d", i, WTERMSIG(status));
    if (WEXITSTATUS(status) != FINE)
        find((enum verdict)WEXITSTATUS(status), "helper %d: %s", i, page->text);
}

/* ---- leaks */

size_t
live_slots(void)
{
    size_t n = 0;

    for (unsigned i = 0; i < 64; i++)
        n += (atomic_load(&pari_slot_at(i)->tag) & 0xff) != 0;
    return n;
}

void
leak_mark(void)
{
    (void)pari_registry_sweep();
    mark = pari_heap_in_use();
    slots_mark = live_slots();
}

void
leak_check(size_t slack)
{
    size_t in_use, slots;

    (void)pari_registry_sweep();
    in_use = pari_heap_in_use();
    slots = live_slots();
    if (in_use > mark + slack)
        find(LEAKED, "%zu bytes", in_use - mark);
    if (slots > slots_mark)
        find(LEAKED, "%zu slots", slots - slots_mark);
}

void
leak_check_soon(size_t slack)
{
    par_time start = par_now();

    while (pari_heap_in_use() > mark + slack && par_since(start) < PATIENCE) {
        (void)pari_registry_sweep();
        nap();
    }
    leak_check(slack);
}

void
give_back_victims(void)
{
    for (int i = 0; i < 2; i++)
        if (process[i] != NULL) {
            expect_done(par_process_join(process[i], soon()));
            par_process_free(process[i]);
        }
}

/* ---- victims */

static void (*prepare)(int which);
static void (*act)(int which);

static int
victim_main(void *arg)
{
    int which = (int)(intptr_t)arg;

    if (prepare != NULL)
        prepare(which);
    else
        (void)pari_self();
    atomic_store(&page->victim[which].pid, getpid());
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    act(which);
    atomic_store(&page->victim[which].has_ended, 1);
    while (pause() != 0)
        ;
    return 0;
}

static pid_t
start_victim(int which, par_conn *(*give)(int which))
{
    void *arg = (void *)(intptr_t)which;
    pid_t pid;

    if (give != NULL) {
        process[which] = par_process_start(victim_main, arg, 0, &(par_process_opts){ .give = { give(which) } });
        expect_ready(process[which] != NULL);
        return par_process_pid(process[which]);
    }
    pid = fork();
    expect_ready(pid >= 0);
    if (pid == 0)
        _exit(victim_main(arg));
    return pid;
}

static void
await_stop_of(pid_t pid)
{
    int status;

    expect_ready(waitpid(pid, &status, __WALL) == pid);
    expect_ready(WIFSTOPPED(status));
}

static pid_t
take_victim(const struct op *op, int which)
{
    pid_t pid;

    prepare = op->prepare;
    act = op->act;
    if (op->find == NULL) {
        pid = start_victim(which, op->give);
    } else {
        pid = op->find(which);
        expect_ready(ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
    }
    await_stop_of(pid);
    return pid;
}

/* Step it, wake it if it sleeps and `meanwhile` is there for that, and kill it. */
static void
sacrifice(const struct op *op, int which, long at, struct track *track)
{
    pid_t pid = take_victim(op, which);
    void (*meanwhile)(int which) = op->meanwhile;
    par_time start = { 0 };
    enum stepped how;

    while ((how = trace_to(which, pid, at, track)) == ASLEEP && !has_ended(which) && !atomic_load(&page->is_idle)) {
        if (start.ns == 0)
            start = par_now();
        if (meanwhile != NULL)
            meanwhile(which);
        meanwhile = NULL;
        if (par_since(start) > ASLEEP_SECONDS)
            find(HUNG, "victim %d sleeps after %ld instructions", which, page->steps[which]);
    }
    page->was_cut[which] = how == STEPPED && !has_ended(which);
    if (how != GONE)
        trace_kill(pid);
}

/* What a process asks of the system once, at its first sleep, is not what is tried here. */
static void
warm_up(void)
{
    static _Atomic uint32_t word;
    struct pari_nap nap = { 0 };

    expect_ready(pari_self() != 0);
    (void)pari_nap(&nap, &word, 0, NULL, 0, par_in(0.000001));
}

void
world_run(const struct op *op, const long *at, int n_victims, struct track *const *track)
{
    warm_up();
    op->setup();
    for (int i = 0; i < n_victims; i++)
        sacrifice(op, i, at[i], track[i]);
    op->check();
    _exit(FINE);
}

/* ---- races */

static pid_t
start_racer(const struct race *race, int which)
{
    pid_t pid;

    prepare = race->prepare;
    act = race->act;
    pid = start_victim(which, race->give);
    await_stop_of(pid);
    return pid;
}

/* at[0]: instructions of the waker; at[1]: of the waiter once it is woken. */
void
world_race(const struct race *race, const long *at)
{
    pid_t waiter, waker;
    enum stepped how;
    bool is_woken;

    warm_up();
    race->setup();
    waiter = start_racer(race, 0);
    waker = start_racer(race, 1);
    how = trace_to_sleep(0, waiter);
    if (how != ASLEEP)
        find(BROKEN, "the waiter does not sleep");
    how = trace_to(1, waker, at[0], NULL);
    page->was_cut[1] = how == STEPPED && !has_ended(1);
    is_woken = trace_is_woken(0, waiter, 0.002);
    if (is_woken && at[1] > 0)
        is_woken = trace_to(0, waiter, page->steps[0] + at[1], NULL) == STEPPED;
    page->was_cut[0] = is_woken && !has_ended(0);
    if (race->barge != NULL && has_ended(1))
        race->barge();
    trace_kill(waiter);
    trace_kill(waker);
    race->check();
    _exit(FINE);
}
