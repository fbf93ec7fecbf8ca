/* SPDX-License-Identifier: MIT
 *
 * bench.h: what all benchmark programs share: the clock, placement on cores, runners that start at once, the command line.
 *
 * A benchmark program holds contenders: for a kind of work, a function that does it in one way and returns what it cost.
 *
 *     program --list                               one line "work<TAB>contender" for each
 *     program stream pipe n=100000 size=4          does it once and prints the cost, a number
 *
 * It ends with 0 if the work was done and its result found right, with 77 and a line of why if this machine cannot do it, and with
 * anything else if the result is wrong. Nothing here knows how long work should take; only a run that hangs is ended.
 *
 * Plain C that is C++ as well, for the peers that need it; hence the compiler's atomics.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_LINE 64 /* bytes of a cache line */

/* For work whose contender is a constant: the compiler sees through the pointers to functions, and nobody pays for them. */
#define BENCH_INLINE static inline __attribute__((always_inline))
#define BENCH_SELDOM __attribute__((noinline, unused)) static /* kept out of the way of what is inlined */
#define BENCH_UNUSED __attribute__((unused))

enum bench_place {
    BENCH_FREE,
    BENCH_ONE,
    BENCH_TWO
}; /* wherever the kernel likes; all on one core; sides on cores of their own */

/* What a run is asked for: key=value on the command line. */
struct bench_task {
    long n;      /* operations, for a slow contender fewer: see `slower` */
    long size;   /* bytes of a message or item */
    long procs;  /* processes on a side, or clients */
    long depth;  /* messages under way, or objects */
    long rounds; /* repetitions within the run */
    long parent; /* megabytes that the parent process has in use */
    long place;  /* enum bench_place */
};

struct bench_contender {
    const char *work;
    const char *name;
    double (*run)(const struct bench_task *task);
    long slower; /* does a part of the n operations, since it is so many times slower; 0 = 1 */
};

int bench_main(int argc, char **argv, const struct bench_contender *contenders, size_t n_contenders);
#define BENCH_MAIN(table)                                                      \
    int main(int argc, char **argv)                                            \
    {                                                                          \
        return bench_main(argc, argv, table, sizeof(table) / sizeof *(table)); \
    }

/* ---- ends of a run that are no result */

void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bench_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The result is right, the call went well; otherwise the run fails, with errno in words. */
#define bench_check(condition)                                                            \
    do {                                                                                  \
        if (__builtin_expect(!(condition), 0))                                            \
            bench_fail("%s:%d: %s: %s", __FILE__, __LINE__, #condition, strerror(errno)); \
    } while (0)

/* ---- time, memory, cores */

int64_t bench_now(void); /* nanoseconds of CLOCK_MONOTONIC, the same in all processes */

void *bench_private(size_t size); /* zeroed and touched; lives until the end of the run, as does the next */
void *bench_shared(size_t size);  /* the same, and seen by every process that is forked later */

int bench_cpus(void);                                    /* that this process may use */
void bench_pin(const struct bench_task *task, int side); /* the calling thread, as the task's place says for this side */
void bench_relax(void);                                  /* tell the processor that this is a spin */
double bench_cpu_seconds(void);                          /* that this process has used */

/* A word in shared memory to sleep on. */
void bench_futex_wait(uint32_t *word, uint32_t value); /* returns if the word has another value, was woken, or for no reason */
void bench_futex_wake(uint32_t *word, int n);
void bench_await(uint32_t *word, uint32_t at_least); /* sleep until others have added up so much */
void bench_add(uint32_t *word);

/* ---- runners */

/* How a runner is brought to run main(runner), and waited for. */
struct bench_starter {
    void (*start)(void *arg, int index, int (*main)(void *runner), void *runner);
    void (*join)(void *arg, int index);
};

extern const struct bench_starter bench_threads; /* the other choice beside processes by fork, which is NULL */

#define BENCH_MAX_RUNNERS 64

/* A function that n processes run at once. Each prepares itself, calls bench_ready, and works. */
struct bench_race {
    int n;
    void (*run)(void *arg, int index);
    void *arg;
    const struct bench_starter *starter;
};

void bench_ready(void);

/* From the first runner's start to the last one's end, in nanoseconds. A runner that fails makes the run fail. */
int64_t bench_race(const struct bench_race *race);

/* A child process that ends with the run, whatever happens; join checks that it ended with 0. */
pid_t bench_fork(int (*main)(void *arg), void *arg);
void bench_join(pid_t pid);

#ifdef __cplusplus
}
#endif

#endif
