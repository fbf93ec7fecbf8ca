/* SPDX-License-Identifier: MIT
 *
 * fixture.h: what every suite stands on.
 *
 * A case made by fixture_case fails a test that leaves anything behind: a child, a thread, a descriptor, a shared mapping, a name
 * in /dev/shm. (Check itself kills left processes silently and calls the test passed.) Check also calls an assertion that fails in
 * a forked child passed: so children never assert, they return or _exit a code, and the parent asserts the code.
 *
 * Each test runs in a process of its own that becomes a libpar family of its own; so no libpar call before fixture_run.
 * Every test has 30 s; CK_TIMEOUT_MULTIPLIER stretches them.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

Suite *fixture_suite(const char *name);
TCase *fixture_case(Suite *suite, const char *name);

/* A case whose tests use threads and never fork: the thread sanitizer runs these alone. */
TCase *fixture_thread_case(Suite *suite, const char *name);

/* Run and free the suite; what main returns. */
int fixture_run(Suite *suite);

/* This test orphans processes on purpose, and they end by themselves within seconds: its teardown waits for them. Without this
 * call every child, also a zombie nobody has reaped, fails the test. */
void fixture_expect_orphans(void);

/* Run body(arg) in a plain fork()ed child, which ends with its result. */
pid_t fixture_fork(int (*body)(void *arg), void *arg);

/* The exit code of a child made by fork(), or -signal. One that runs on for 20 s is killed and fails the test. */
int fixture_wait(pid_t child);

/* fixture_wait(fixture_fork(body, arg)) */
int fixture_in_child(int (*body)(void *arg), void *arg);

/* SIGKILL after so many microseconds, which are spent spinning so that short ones are exact. */
void fixture_kill_after_us(pid_t pid, unsigned us);

/* End by SIGKILL as one whose robust mutexes the kernel does not mark, which is what its OOM reaper can do. */
_Noreturn void fixture_die_unmarked(void);

/* Zeroed memory shared with the children, independent of libpar; unmapped by the teardown. */
void *fixture_shared(size_t size);

/* Random numbers: the same series in every test of a run. FIXTURE_SEED repeats the run that printed it. */
uint32_t fixture_random(void);
uint32_t fixture_random_below(uint32_t bound);

/* The call must fail with this errno: ck_fails(par_queue_put(q, ...), EPIPE), ck_fails_null(par_queue_new(&bad), EINVAL). */
#define ck_fails(call, error)             \
    do {                                  \
        errno = 0;                        \
        ck_assert_int_eq((call), -1);     \
        ck_assert_int_eq(errno, (error)); \
    } while (0)
#define ck_fails_null(call, error)        \
    do {                                  \
        errno = 0;                        \
        ck_assert_ptr_null((call));       \
        ck_assert_int_eq(errno, (error)); \
    } while (0)

#endif
