/* SPDX-License-Identifier: MIT
 *
 * bench.c: the harness of the benchmark programs. See bench.h.
 *
 * If a runner dies or hangs: its join finds the exit code, or the alarm ends it; the program then fails, and the kernel ends the
 * runners that are left when their parent is gone.
 */
#include "bench.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define LIMIT_SECONDS 120 /* of one run: past it, it hangs */
#define SKIP_CODE 77

void
bench_fail(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fputc('\n', stderr);
    _exit(EXIT_FAILURE);
}

void
bench_skip(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fputc('\n', stderr);
    _exit(SKIP_CODE);
}

/* ---- time, memory, cores */

int64_t
bench_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *
map_memory(size_t size, int flags)
{
    void *memory = mmap(NULL, size > 0 ? size : 1, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);

    bench_check(memory != MAP_FAILED);
    return memory;
}

void *
bench_private(size_t size)
{
    return map_memory(size, MAP_PRIVATE);
}

void *
bench_shared(size_t size)
{
    return map_memory(size, MAP_SHARED);
}

static cpu_set_t
usable_cpus(void)
{
    static cpu_set_t set; /* as they were before anybody was pinned */

    if (CPU_COUNT(&set) == 0)
        bench_check(sched_getaffinity(0, sizeof set, &set) == 0);
    return set;
}

int
bench_cpus(void)
{
    cpu_set_t set = usable_cpus();

    return CPU_COUNT(&set);
}

/* The n-th usable core, counted around. */
static int
cpu_number(int n)
{
    cpu_set_t set = usable_cpus();
    int left = n % CPU_COUNT(&set), cpu = 0;

    while (!CPU_ISSET(cpu, &set) || left-- > 0)
        cpu++;
    return cpu;
}

void
bench_pin(const struct bench_task *task, int side)
{
    cpu_set_t set = usable_cpus();

    if (task->place == BENCH_TWO && CPU_COUNT(&set) < 2)
        bench_skip("there is only one core to run on");
    if (task->place != BENCH_FREE) {
        CPU_ZERO(&set);
        CPU_SET(cpu_number(task->place == BENCH_TWO ? side : 0), &set);
    }
    bench_check(sched_setaffinity(0, sizeof set, &set) == 0);
}

void
bench_relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

double
bench_cpu_seconds(void)
{
    struct rusage usage;

    bench_check(getrusage(RUSAGE_SELF, &usage) == 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void
bench_futex_wait(uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0); /* whoever waits looks again in any case */
}

void
bench_futex_wake(uint32_t *word, int n)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); /* fails for bad addresses only */
}

void
bench_await(uint32_t *word, uint32_t at_least)
{
    uint32_t value;

    while ((value = __atomic_load_n(word, __ATOMIC_ACQUIRE)) < at_least)
        bench_futex_wait(word, value);
}

void
bench_add(uint32_t *word)
{
    (void)__atomic_fetch_add(word, 1, __ATOMIC_ACQ_REL);
    bench_futex_wake(word, INT_MAX);
}

/* ---- runners */

struct runner {
    struct track *track;
    int index;
    pid_t pid;
    pthread_t thread;
    int64_t started;
    int64_t ended;
};

struct track {
    struct bench_race race;
    uint32_t n_ready;
    uint32_t go;
    struct runner runner[BENCH_MAX_RUNNERS];
};

static _Thread_local struct runner *self;

void
bench_ready(void)
{
    bench_add(&self->track->n_ready);
    bench_await(&self->track->go, 1);
    self->started = bench_now();
}

static int
runner_main(void *arg)
{
    struct runner *runner = arg;

    self = runner;
    runner->track->race.run(runner->track->race.arg, runner->index);
    runner->ended = bench_now();
    return 0;
}

pid_t
bench_fork(int (*main)(void *arg), void *arg)
{
    pid_t parent = getpid(), pid = fork();

    bench_check(pid >= 0);
    if (pid > 0)
        return pid;
    bench_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    (void)alarm(LIMIT_SECONDS);
    _exit(main(arg));
}

void
bench_join(pid_t pid)
{
    int status;

    bench_check(waitpid(pid, &status, 0) == pid);
    if (status != 0)
        bench_fail("a process of the run ended with status %#x", (unsigned)status);
}

static void
start_process(void *arg, int index, int (*main)(void *), void *runner)
{
    (void)arg, (void)index;
    ((struct runner *)runner)->pid = bench_fork(main, runner);
}

static void *
thread_main(void *runner)
{
    (void)runner_main(runner);
    return NULL;
}

static void
start_thread(void *arg, int index, int (*main)(void *), void *runner)
{
    (void)arg, (void)index, (void)main;
    errno = pthread_create(&((struct runner *)runner)->thread, NULL, thread_main, runner);
    bench_check(errno == 0);
}

static void
start_runner(struct runner *runner)
{
    const struct bench_starter *starter = runner->track->race.starter;

    if (starter == NULL)
        start_process(NULL, 0, runner_main, runner);
    else
        starter->start(runner->track->race.arg, runner->index, runner_main, runner);
}

static void
join_runner(struct runner *runner)
{
    const struct bench_starter *starter = runner->track->race.starter;

    if (starter == NULL)
        bench_join(runner->pid);
    else if (starter == &bench_threads)
        bench_check(pthread_join(runner->thread, NULL) == 0);
    else
        starter->join(runner->track->race.arg, runner->index);
}

const struct bench_starter bench_threads = { start_thread, NULL };

static int64_t
duration(const struct track *track)
{
    int64_t first = INT64_MAX, last = 0;

    for (int i = 0; i < track->race.n; i++) {
        const struct runner *runner = &track->runner[i];
        first = runner->started < first ? runner->started : first;
        last = runner->ended > last ? runner->ended : last;
    }
    return last - first;
}

int64_t
bench_race(const struct bench_race *race)
{
    struct track *track = bench_shared(sizeof *track);

    bench_check(race->n <= BENCH_MAX_RUNNERS);
    track->race = *race;
    for (int i = 0; i < race->n; i++) {
        track->runner[i] = (struct runner){ .track = track, .index = i };
        start_runner(&track->runner[i]);
    }
    bench_await(&track->n_ready, (uint32_t)race->n);
    bench_add(&track->go);
    for (int i = 0; i < race->n; i++)
        join_runner(&track->runner[i]);
    return duration(track);
}

/* ---- the command line */

static long *
field(struct bench_task *task, const char *key, size_t length)
{
    const struct {
        const char *key;
        long *value;
    } fields[] = { { "n", &task->n },         { "size", &task->size },     { "procs", &task->procs },
                   { "depth", &task->depth }, { "rounds", &task->rounds }, { "parent", &task->parent },
                   { "place", &task->place } };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strlen(fields[i].key) == length && strncmp(fields[i].key, key, length) == 0)
            return fields[i].value;
    return NULL;
}

/* free, one and two are values, too. */
static long
number(const char *text, char **end)
{
    static const char *const places[] = { "free", "one", "two" };

    for (long i = 0; i < 3; i++)
        if (strcmp(text, places[i]) == 0) {
            *end = (char *)(uintptr_t)text + strlen(text);
            return i;
        }
    return strtol(text, end, 10);
}

static void
read_task(struct bench_task *task, char **argument)
{
    for (; *argument != NULL; argument++) {
        size_t length = strcspn(*argument, "=");
        long *value = field(task, *argument, length);
        char *text = *argument + length, *end = text;
        if (value != NULL && *text == '=')
            *value = number(text + 1, &end);
        if (end == text || end == text + 1 || *end != '\0' || *value < 0)
            bench_fail("%s: not a key=value of a task", *argument);
    }
}

static int
list(const struct bench_contender *contenders, size_t n_contenders)
{
    for (size_t i = 0; i < n_contenders; i++)
        (void)printf("%s\t%s\n", contenders[i].work, contenders[i].name);
    return EXIT_SUCCESS;
}

static double
run(const struct bench_contender *contender, struct bench_task *task)
{
    if (contender->slower > 1)
        task->n = task->n > contender->slower ? task->n / contender->slower : 1;
    return contender->run(task);
}

int
bench_main(int argc, char **argv, const struct bench_contender *contenders, size_t n_contenders)
{
    struct bench_task task = { .n = 1000, .size = 4, .procs = 1, .depth = 1, .rounds = 1, .parent = 0, .place = BENCH_FREE };

    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list(contenders, n_contenders);
    if (argc < 3)
        bench_fail("usage: %s --list | work contender [key=value ...]", argv[0]);
    (void)alarm(LIMIT_SECONDS);
    (void)usable_cpus();
    read_task(&task, argv + 3);
    for (size_t i = 0; i < n_contenders; i++)
        if (strcmp(contenders[i].work, argv[1]) == 0 && strcmp(contenders[i].name, argv[2]) == 0) {
            (void)printf("%.6g\n", run(&contenders[i], &task));
            return EXIT_SUCCESS;
        }
    bench_fail("%s: no contender %s for %s", argv[0], argv[2], argv[1]);
}
