/* SPDX-License-Identifier: MIT
 *
 * main.c: the campaign: each operation, each call, each errno, and the table of what was found.
 *
 *   faults                           everything
 *   faults --sample                  some calls of each operation
 *   faults --group pool | --op pool_new_processes
 *   faults --op pool_new_processes --at 17,1,p   one point: the 17th call, its second errno, persistent
 *   faults --ops | --kernels | --limits   only the operations, kernels.c, limits.c
 *   faults --once --op queue_put     the operation without the seam, for strace
 *
 * This process and its runners never call libpar, so that each world, their child, makes an arena of its own.
 */
#include "faults.h"
#include "workload.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORLD_SECONDS 60 /* a machine may be busy */
#define N_RUNNERS 2
#define MOST_CALLS 2000 /* of one operation: it has gone wild */
#define MOST_TOLD 5
#define SAMPLE_ALL 6    /* the first calls */
#define SAMPLE_STRIDE 7 /* and some of the others */
#define MUTEX_STRIDE 32 /* the cells of a page are made in a loop */
#define MAX_SUBJECTS 256

struct point *point;

struct row {
    long n_calls, n_points, n_failed, n_sites;
    long found[N_VERDICTS];
};

static struct {
    const char *group, *op;
    struct point at;
    bool is_sample, is_once, only_kernels, only_limits, only_ops;
} options;

static const char *const verdict_name[N_VERDICTS] = { "fine",  "hung",   "crashed", "undocumented",
                                                      "wrong", "leaked", "stuck",   "broken" };

static const char *const state_name[] = { "", " first", " full" };

static const struct op *const groups[] = { memory_ops, sync_ops, channel_ops, object_ops, process_ops, pool_ops, manager_ops };

struct subject {
    const struct op *op;
    enum state state;
};

static struct subject subject[MAX_SUBJECTS];
static int n_subjects;

/* ---- one world */

static int
await_world(pid_t pid)
{
    struct timespec tick = { 0, 200000 };
    time_t start = time(NULL);
    int status;

    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (time(NULL) - start > WORLD_SECONDS) {
            snprintf(point->text, sizeof point->text, "the world did not end");
            return HUNG;
        }
        nanosleep(&tick, NULL);
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status) < N_VERDICTS ? WEXITSTATUS(status) : BROKEN;
    snprintf(point->text, sizeof point->text, "the world got signal %d", WTERMSIG(status));
    return CRASHED;
}

static enum verdict
try_point(const struct subject *s, long at, int which, bool is_persistent)
{
    struct stock growth = point->growth;
    int verdict;
    pid_t world;

    *point = (struct point){ .at = at, .which = which, .is_persistent = is_persistent, .call = -1, .growth = growth };
    world = fork();
    if (world == 0) {
        setpgid(0, 0);
        world_run(s->op, s->state);
    }
    if (world < 0)
        return BROKEN;
    setpgid(world, world);
    verdict = await_world(world);
    kill(-world, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
    return (enum verdict)verdict;
}

/* ---- all points of one operation */

static void
tell(const struct subject *s, long at, int which, bool is_persistent, enum verdict verdict)
{
    int call = atomic_load(&point->call);

    printf("  %s%s --at %ld,%d,%c: %s (%s) %s: %s\n", s->op->name, state_name[s->state], at, which, is_persistent ? 'p' : 't',
           call >= 0 ? inject_name((enum pari_call)call) : "no fault", strerror(atomic_load(&point->error)),
           verdict_name[verdict], point->text);
    fflush(stdout);
}

/* False: there is no such call any more. */
static bool
try_one(const struct subject *s, struct row *row, long at, int which, bool is_persistent)
{
    enum verdict verdict = try_point(s, at, which, is_persistent);
    bool is_hit = atomic_load(&point->call) >= 0;

    if (verdict != FINE && row->n_points - row->found[FINE] < MOST_TOLD)
        tell(s, at, which, is_persistent, verdict);
    if (is_hit || verdict != FINE) {
        row->n_points++;
        row->found[verdict]++;
        row->n_failed += point->has_failed;
    }
    return is_hit;
}

/* The first errno has been tried, transient. */
static void
try_others(const struct subject *s, struct row *row, long at, enum pari_call call)
{
    if (inject_may_persist(call, 0))
        (void)try_one(s, row, at, 0, true);
    for (int which = 1; which < inject_n_errors(call); which++) {
        (void)try_one(s, row, at, which, false);
        if (inject_may_persist(call, which))
            (void)try_one(s, row, at, which, true);
    }
}

/* Without a fault: what it leaves anyway, and how many calls it makes. */
static bool
try_clean(const struct subject *s, struct row *row)
{
    enum verdict verdict;

    point->growth = (struct stock){ 1000, 1000, 1000, 1000, 1000, 1L << 40, 1L << 40 };
    verdict = try_point(s, 0, 0, false);
    row->n_calls = atomic_load(&point->n_calls);
    if (verdict == FINE)
        return true;
    tell(s, 0, 0, false, verdict);
    row->n_points++;
    row->found[verdict]++;
    return false;
}

static void
try_all(const struct subject *s, struct row *row)
{
    bool is_known[PARI_N_CALLS] = { false };
    int n_mutexes = 0;

    if (!try_clean(s, row))
        return;
    for (long at = 1; at <= MOST_CALLS; at++) {
        enum pari_call call;
        if (options.is_sample && at > SAMPLE_ALL && at % SAMPLE_STRIDE != 0 && at < row->n_calls)
            continue;
        if (!try_one(s, row, at, 0, false))
            return;
        call = (enum pari_call)atomic_load(&point->call);
        row->n_sites++;
        if (!options.is_sample || !is_known[call])
            try_others(s, row, at, call);
        is_known[call] = true;
        n_mutexes = call == PARI_CALL_MUTEX_INIT ? n_mutexes + 1 : 0;
        if (n_mutexes > 4 && at + MUTEX_STRIDE < row->n_calls)
            at += MUTEX_STRIDE;
    }
}

/* ---- the campaign */

static void
print_row(const struct subject *s, const struct row *row)
{
    printf("%-8s %-26s%-6s %4ld calls %5ld points %5ld failed", s->op->group, s->op->name, state_name[s->state], row->n_sites,
           row->n_points, row->n_failed);
    for (int v = FINE + 1; v < N_VERDICTS; v++)
        if (row->found[v] > 0)
            printf("  %ld %s", row->found[v], verdict_name[v]);
    printf("\n");
}

static void
add(struct row *sum, const struct row *row)
{
    sum->n_points += row->n_points;
    sum->n_sites += row->n_sites;
    sum->n_failed += row->n_failed;
    for (int v = 0; v < N_VERDICTS; v++)
        sum->found[v] += row->found[v];
}

static void *
shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static void
run(struct row *rows, _Atomic int *next)
{
    int i;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    point = shared(sizeof *point);
    while ((i = atomic_fetch_add(next, 1)) < n_subjects) {
        try_all(&subject[i], &rows[i]);
        if (!options.is_sample || rows[i].found[FINE] < rows[i].n_points)
            print_row(&subject[i], &rows[i]);
    }
    fflush(stdout);
    _exit(0);
}

static int
campaign(void)
{
    struct row *rows = shared((size_t)n_subjects * sizeof *rows), sum = { 0 };
    _Atomic int *next = shared(sizeof *next);
    time_t start = time(NULL);

    fflush(stdout);
    for (int i = 0; i < N_RUNNERS; i++)
        if (fork() == 0)
            run(rows, next);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    for (int i = 0; i < n_subjects; i++)
        add(&sum, &rows[i]);
    printf("faults: %d operations, %ld calls, %ld points, %ld of them failures that were told", n_subjects, sum.n_sites,
           sum.n_points, sum.n_failed);
    for (int v = FINE + 1; v < N_VERDICTS; v++)
        printf(", %ld %s", sum.found[v], verdict_name[v]);
    printf(" (%ld s)\n", (long)(time(NULL) - start));
    return sum.n_points > 0 && sum.found[FINE] == sum.n_points ? 0 : 1;
}

static int
one_point(void)
{
    enum verdict verdict = FINE;

    point = shared(sizeof *point);
    for (int i = 0; i < n_subjects; i++) {
        struct row row = { 0 };
        if (!try_clean(&subject[i], &row))
            return 1;
        verdict = try_point(&subject[i], options.at.at, options.at.which, options.at.is_persistent);
        tell(&subject[i], options.at.at, options.at.which, options.at.is_persistent, verdict);
    }
    return verdict == FINE ? 0 : 1;
}

/* The kernels and limits belong to no operation. */
static int
everything(void)
{
    bool is_chosen = options.group != NULL || options.op != NULL || options.only_ops;
    bool is_all = !is_chosen && !options.only_kernels && !options.only_limits;
    int n_failed = 0;

    if (is_all || options.only_kernels)
        n_failed += kernels(options.is_sample);
    if (is_all || options.only_limits)
        n_failed += limits(options.is_sample);
    if (is_all || is_chosen)
        n_failed += campaign();
    return n_failed > 0;
}

static void
choose(const struct op *op)
{
    for (; op->name != NULL; op++) {
        if ((options.group != NULL && strcmp(options.group, op->group) != 0) ||
            (options.op != NULL && strcmp(options.op, op->name) != 0) || (options.is_sample && op->is_slow))
            continue;
        if (n_subjects + 3 > MAX_SUBJECTS)
            exit(2);
        subject[n_subjects++] = (struct subject){ op, WARM };
        if (op->is_cold)
            subject[n_subjects++] = (struct subject){ op, COLD };
        if (op->where == IN_CALLER && !options.is_sample)
            subject[n_subjects++] = (struct subject){ op, FULL };
    }
}

static int
usage(void)
{
    fprintf(stderr, "faults [--sample] [--group name] [--op name [--at call,errno,p|t]] [--once]\n");
    return 2;
}

/* A freed chunk is free at once, so that what malloc has given out can be compared. */
static void
without_caches(char **argv)
{
    const char *wanted = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";

    if (getenv("GLIBC_TUNABLES") != NULL)
        return;
    setenv("GLIBC_TUNABLES", wanted, 1);
    execv("/proc/self/exe", argv);
    perror("/proc/self/exe");
    exit(2);
}

int
main(int argc, char **argv)
{
    char mode = 't';

    par_spawn_support();
    without_caches(argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--sample") == 0)
            options.is_sample = true;
        else if (strcmp(argv[i], "--once") == 0)
            options.is_once = true;
        else if (strcmp(argv[i], "--kernels") == 0)
            options.only_kernels = true;
        else if (strcmp(argv[i], "--limits") == 0)
            options.only_limits = true;
        else if (strcmp(argv[i], "--ops") == 0)
            options.only_ops = true;
        else if (strcmp(argv[i], "--group") == 0 && i + 1 < argc)
            options.group = argv[++i];
        else if (strcmp(argv[i], "--op") == 0 && i + 1 < argc)
            options.op = argv[++i];
        else if (strcmp(argv[i], "--at") == 0 && i + 1 < argc &&
                 sscanf(argv[++i], "%ld,%d,%c", &options.at.at, &options.at.which, &mode) >= 1)
            options.at.is_persistent = mode == 'p';
        else
            return usage();
    }
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        choose(groups[i]);
    if (n_subjects == 0)
        return usage();
    if (options.is_once) {
        point = shared(sizeof *point);
        world_once(subject[0].op);
    }
    return options.at.at > 0 ? one_point() : everything();
}
