/* SPDX-License-Identifier: MIT
 *
 * main.c: the campaign: which operations, which points, how often, and the table of what was found.
 *
 *   kill                          everything
 *   kill --sample [seed]          a few points of each operation, at random
 *   kill --group queue | --op queue_get ...
 *   kill --op queue_get --at 317  one point; --at 100,317 a double fault or a race
 *   kill --stride 7               every seventh instruction only
 *
 * This process and its runners never call libpar, so that each world, their child, makes an arena of its own.
 */
#include "kill.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORLD_SECONDS 60
#define N_RUNNERS 2
#define SAMPLES 4          /* of an operation, and as many double faults */
#define SAMPLE_SECOND 1500 /* the second death of a double fault comes before that */
#define FIRST_FAULTS 8     /* places of the first death of a double fault */
#define SECOND_STRIDE 7
#define SECOND_POINTS 100   /* about so many in a row of double faults */
#define LONGEST_DOUBLE 6000 /* instructions of an operation that gets double faults */
#define LONGEST_AGAIN 8000  /* instructions that are stepped again after a victim left its track */
#define MOST_TOLD 8         /* failures of one operation that are printed */
#define STALL_NS 300000000  /* the watchdog, which looks every 0.2 ms, has not run for so long */
#define MOST_STALLS 5       /* of one point */

struct page *page;

/* One line of the table; shared by the runners. */
struct tally {
    _Atomic long next;       /* the next point to try */
    _Atomic long n_points;   /* tried, and a victim did die inside the operation */
    _Atomic long longest[2]; /* instructions until the operation ended, as far as seen */
    _Atomic int is_over;     /* a race: its waker ended before the last point tried */
    _Atomic long n_stalls;   /* worlds that were not believed */
    _Atomic long found[N_VERDICTS];
};

static struct {
    const char *group, *op;
    long at[2];
    int n_at;
    bool is_sample;
    unsigned seed, stride;
} options = { .stride = 0 };

static const char *const verdict_name[N_VERDICTS] = { "fine", "hung", "torn", "lost", "duplicated", "leaked", "broken" };

/* What is run at a point: one of both. */
struct subject {
    const char *group, *name;
    const struct op *op;
    const struct race *race;
    int n_victims;
    struct track *track[2]; /* of each victim; NULL: it is stepped all the way */
};

/* ---- one world */

static int64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* *has_stalled: the watchdog itself has stood still, so a survivor's deadline may have passed without a chance. */
static int
await_world(pid_t pid, bool *has_stalled)
{
    struct timespec tick = { 0, 200000 };
    int64_t start = now_ns(), before = start, now;
    int status;

    *has_stalled = false;
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            break;
        now = now_ns();
        if (now - before > STALL_NS)
            *has_stalled = true;
        before = now;
        if (now - start > WORLD_SECONDS * INT64_C(1000000000)) {
            note_starvation(pid);
            snprintf(page->text, sizeof page->text, "the world did not end");
            return HUNG;
        }
        nanosleep(&tick, NULL);
    }
    if (!WIFEXITED(status)) {
        snprintf(page->text, sizeof page->text, "the world got signal %d", WTERMSIG(status));
        return TORN;
    }
    return WEXITSTATUS(status) < N_VERDICTS ? WEXITSTATUS(status) : BROKEN;
}

/* What the world has left running, and its zombies: they are ours. */
static void
clear_away(pid_t world)
{
    kill(-world, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
}

static enum verdict
try_world(const struct subject *subject, const long *at, bool *has_stalled)
{
    pid_t world;
    int verdict;

    memset(page, 0, sizeof *page);
    world = fork();
    if (world == 0) {
        setpgid(0, 0);
        if (subject->race != NULL)
            world_race(subject->race, at);
        world_run(subject->op, at, subject->n_victims, subject->track);
    }
    if (world < 0)
        return BROKEN;
    setpgid(world, world);
    verdict = await_world(world, has_stalled);
    clear_away(world);
    return (enum verdict)verdict;
}

/* On a machine that stands still for a while, or keeps some from running, whoever waits has hung: that world is tried again. */
static enum verdict
try_point(const struct subject *subject, const long *at, struct tally *tally)
{
    bool has_stalled;
    enum verdict verdict = try_world(subject, at, &has_stalled);

    for (int i = 0; i < MOST_STALLS && verdict == HUNG && (has_stalled || page->has_starved); i++) {
        atomic_fetch_add(&tally->n_stalls, 1);
        verdict = try_world(subject, at, &has_stalled);
    }
    return verdict;
}

/* ---- one operation */

static void
tell(const struct subject *subject, const long *at, enum verdict verdict)
{
    printf("  %s: %s --op %s --at %ld", verdict_name[verdict], subject->group, subject->name, at[0]);
    if (subject->n_victims > 1)
        printf(",%ld", at[1]);
    printf(": %s\n", page->text);
    fflush(stdout);
}

static void
note_length(struct tally *tally, int which)
{
    long steps = page->steps[which], before = atomic_load(&tally->longest[which]);

    while (steps > before && !atomic_compare_exchange_weak(&tally->longest[which], &before, steps))
        ;
}

static void
try_and_count(const struct subject *subject, const long *at, struct tally *tally)
{
    enum verdict verdict = try_point(subject, at, tally);
    long before = atomic_fetch_add(&tally->found[verdict], 1);

    if (page->was_cut[subject->n_victims - 1] || (subject->race != NULL && page->was_cut[0]))
        atomic_fetch_add(&tally->n_points, 1);
    note_length(tally, 0);
    note_length(tally, 1);
    if (verdict != FINE && before < MOST_TOLD)
        tell(subject, at, verdict);
}

static long
random_below(long n)
{
    return n > 0 ? (long)((unsigned long)random() % (unsigned long)n) : 0;
}

static unsigned
stride_of(const struct subject *subject)
{
    unsigned own = subject->op != NULL ? subject->op->stride : 0;

    return (own != 0 ? own : 1) * (options.stride != 0 ? options.stride : 1);
}

/* One world in which the last victim reaches its end, and that victim's track. */
static void
record(const struct subject *subject, const long *at, struct tally *tally)
{
    struct track *track = subject->track[subject->n_victims - 1];

    track->is_whole = false;
    track->n = 0;
    try_and_count(subject, at, tally);
    track_count(track);
    track->is_whole = true;
}

/* Victim 0 dies at each point in turn, to the end of the longest way that one of them took. */
static void
run_single(const struct subject *subject, struct tally *tally)
{
    long stride = (long)stride_of(subject), at[2] = { 0, 0 };

    while ((at[0] = atomic_fetch_add(&tally->next, 1) * stride) <= atomic_load(&tally->longest[0])) {
        try_and_count(subject, at, tally);
        if (!page->was_cut[0] && at[0] < LONGEST_AGAIN && subject->track[0] != NULL) { /* it went another way, to its end */
            struct subject stepped = *subject;
            stepped.track[0] = NULL;
            try_and_count(&stepped, at, tally);
        }
    }
}

/* The first death at some places, the second at every stride-th: a matrix whose columns the runners share. */
static void
run_double(const struct subject *subject, struct tally *tally, long first_length)
{
    long first_step = first_length / FIRST_FAULTS > 0 ? first_length / FIRST_FAULTS : 1, length;

    for (long row; (row = atomic_fetch_add(&tally->next, 1)) * first_step <= first_length;) {
        long at[2] = { row * first_step + row % 3, LONG_MAX }, stride = (long)stride_of(subject) * SECOND_STRIDE;
        record(subject, at, tally);
        length = page->steps[1];
        if (stride < length / SECOND_POINTS)
            stride = length / SECOND_POINTS;
        for (at[1] = row % stride; at[1] <= length; at[1] += stride)
            try_and_count(subject, at, tally);
    }
}

static void
run_race(const struct subject *subject, struct tally *tally)
{
    static const long woken[] = { 0, 1, 3, 8, 20, 45, 80, 140, 250, 400 };
    long stride = 7 * (long)stride_of(subject);

    while (!atomic_load(&tally->is_over)) {
        long x = atomic_fetch_add(&tally->next, 1) * stride;
        for (size_t i = 0; i < sizeof woken / sizeof *woken; i++) {
            long at[2] = { x, woken[i] };
            try_and_count(subject, at, tally);
            if (page->victim[1].has_ended)
                atomic_store(&tally->is_over, 1);
        }
    }
}

/* A few points at random. */
static void
run_sample(const struct subject *subject, struct tally *tally, long length)
{
    for (int i = 0; i < SAMPLES / N_RUNNERS; i++) {
        long at[2] = { random_below(length), random_below(length < SAMPLE_SECOND ? length : SAMPLE_SECOND) };
        try_and_count(subject, at, tally);
    }
}

static void
run(const struct subject *subject, struct tally *tally, long first_length)
{
    if (options.n_at > 0)
        try_and_count(subject, options.at, tally);
    else if (options.is_sample)
        run_sample(subject, tally,
                   subject->race != NULL ? 400
                   : first_length != 0   ? first_length
                                         : atomic_load(&tally->longest[0]));
    else if (subject->race != NULL)
        run_race(subject, tally);
    else if (subject->n_victims == 2)
        run_double(subject, tally, first_length);
    else
        run_single(subject, tally);
}

/* ---- runners */

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

/* On one processor: the tracer and its victim then change over faster. */
static void
stay_on(int index)
{
    cpu_set_t all, one;
    int n = 0;

    if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < N_RUNNERS)
        return;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && n++ == index)
            CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one); /* it is slower without */
}

static void
become_runner(int index)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    page = shared(sizeof *page);
    srandom(options.seed + (unsigned)index);
    stay_on(index);
}

static void
runner(int index, struct subject subject, struct tally *tally, long first_length)
{
    become_runner(index);
    if (subject.op != NULL && subject.n_victims == 2)
        subject.track[1] = shared(sizeof *subject.track[1]);
    run(&subject, tally, first_length);
    fflush(stdout);
    _exit(0);
}

/* In a process of its own, as a runner is one: the first victim's track, for all runners. */
static void
record_first(const struct subject *subject, struct tally *tally)
{
    const long at[2] = { LONG_MAX, 0 };

    if (fork() == 0) {
        become_runner(0);
        record(subject, at, tally);
        fflush(stdout);
        _exit(0);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* The instructions of the first victim, for a double fault that follows. */
static long
run_subject(const struct subject *subject, struct tally *sum, long first_length)
{
    struct tally *tally = shared(sizeof *tally);
    int n = options.n_at > 0 ? 1 : N_RUNNERS;
    long length, bad = 0;

    fflush(stdout); /* or each runner prints it again */
    if (subject->n_victims == 1)
        record_first(subject, tally);
    for (int i = 0; i < n; i++)
        if (fork() == 0)
            runner(i, *subject, tally, first_length);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    for (int v = 1; v < N_VERDICTS; v++)
        bad += atomic_load(&tally->found[v]);
    for (int v = 0; v < N_VERDICTS; v++)
        sum->found[v] += atomic_load(&tally->found[v]);
    sum->n_points += tally->n_points;
    sum->n_stalls += tally->n_stalls;
    length = tally->longest[0];
    printf("%-8s %-24s %-6s %7ld %6ld", subject->group, subject->name,
           subject->race             ? "race"
           : subject->n_victims == 2 ? "double"
                                     : "",
           atomic_load(&tally->longest[0]), atomic_load(&tally->n_points));
    for (int v = 1; v < N_VERDICTS; v++)
        printf(" %6ld", atomic_load(&tally->found[v]));
    printf("%s\n", bad ? "  FAILED" : "");
    fflush(stdout);
    munmap(tally, sizeof *tally);
    return length;
}

static bool
is_wanted(const char *group, const char *name)
{
    return (options.group == NULL || strcmp(options.group, group) == 0) &&
           (options.op == NULL || strcmp(options.op, name) == 0);
}

static void
run_op(const struct op *op, struct tally *sum)
{
    static struct track *track;
    struct subject subject = { op->group, op->name, op, NULL, 1, { NULL } };
    long length = 0;

    if (!is_wanted(op->group, op->name) || (options.is_sample && op->stride > 3)) /* the long ones take seconds to note down */
        return;
    if (track == NULL)
        track = shared(sizeof *track);
    subject.track[0] = track;
    if (options.n_at != 2)
        length = run_subject(&subject, sum, 0);
    subject.n_victims = 2;
    if (!op->is_once && options.n_at != 1 && length <= LONGEST_DOUBLE)
        (void)run_subject(&subject, sum, length);
}

static void
run_all(struct tally *sum)
{
    static const struct op *const tables[] = { heap_ops,  lock_ops,    rwlock_ops, sync_ops,   pipe_ops,
                                               queue_ops, process_ops, pool_ops,   manager_ops };

    printf("%-8s %-24s %-6s %7s %6s", "group", "operation", "", "steps", "points");
    for (int v = 1; v < N_VERDICTS; v++)
        printf(" %6.6s", verdict_name[v]);
    printf("\n");
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct op *op = tables[t]; op->name != NULL; op++)
            run_op(op, sum);
    for (const struct race *race = races; race->name != NULL; race++)
        if (is_wanted("race", race->name))
            (void)run_subject(&(struct subject){ "race", race->name, NULL, race, 2, { NULL } }, sum, 0);
}

static void
usage(void)
{
    fprintf(stderr, "usage: kill [--sample [seed]] [--group name] [--op name] [--at k[,k]] [--stride n]\n");
    exit(2);
}

static void
parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--sample") == 0) {
            options.is_sample = true;
            options.seed = value != NULL && value[0] != '-' ? (unsigned)strtoul(argv[++i], NULL, 0) : (unsigned)time(NULL);
        } else if (value == NULL) {
            usage();
        } else if (strcmp(argv[i], "--group") == 0) {
            options.group = argv[++i];
        } else if (strcmp(argv[i], "--op") == 0) {
            options.op = argv[++i];
        } else if (strcmp(argv[i], "--stride") == 0) {
            options.stride = (unsigned)strtoul(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--at") == 0) {
            options.n_at = sscanf(argv[++i], "%ld,%ld", &options.at[0], &options.at[1]);
        } else {
            usage();
        }
    }
}

int
main(int argc, char **argv)
{
    static struct tally sum;
    struct timespec start, end;
    long bad = 0;

    par_spawn_support();
    parse(argc, argv);
    if (options.is_sample)
        printf("a sample, seed %u\n", options.seed);
    clock_gettime(CLOCK_MONOTONIC, &start);
    run_all(&sum);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%ld points in %ld s", atomic_load(&sum.n_points), (long)(end.tv_sec - start.tv_sec));
    for (int v = 1; v < N_VERDICTS; v++) {
        bad += atomic_load(&sum.found[v]);
        printf(", %ld %s", atomic_load(&sum.found[v]), verdict_name[v]);
    }
    printf("\n");
    if (sum.n_stalls > 0)
        printf("%ld worlds were tried again: the machine had stood still\n", atomic_load(&sum.n_stalls));
    return bad == 0 && sum.n_points > 0 ? 0 : 1;
}
