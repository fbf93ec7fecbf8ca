/* SPDX-License-Identifier: MIT
 *
 * fixture.c: takes stock of the process before a test and compares after it.
 *
 * The stock is a sorted list of lines, "fd 3 -> pipe:[77]", "shm /name", "map /dev/zero ..."; one list before, one after, and
 * any difference is a failure with that line in its message. libpar's memfd is passed over: it is opened at the first use and
 * kept for life.
 */
#include "fixture.h"

#include <dirent.h>
#include <linux/futex.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_LINES 1024
#define LINE_SIZE 320
#define MAX_SHARED 64
#define TEST_SECONDS 30
#define WAIT_MS 20000
#define ORPHAN_GRACE_MS 5000
#define THREAD_GRACE_MS 1000

/* The thread sanitizer starts a thread of its own along with the first one of ours. */
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define N_SANITIZER_THREADS 1
#else
#define N_SANITIZER_THREADS 0
#endif

struct stock {
    size_t n;
    char line[MAX_LINES][LINE_SIZE];
};

static struct stock before, after;
static struct {
    void *at;
    size_t size;
} shared[MAX_SHARED];
static size_t n_shared;
static bool orphans_expected;
static uint64_t random_state;

/* ---- stock-taking */

static void
stock_add(struct stock *stock, const char *kind, const char *name, const char *detail)
{
    ck_assert_msg(stock->n < MAX_LINES, "more than %d descriptors, mappings and names", MAX_LINES);
    snprintf(stock->line[stock->n++], LINE_SIZE, "%s %.60s %.200s", kind, name, detail);
}

static bool
is_arena(const char *target)
{
    return strstr(target, "/memfd:libpar") != NULL;
}

/* Every descriptor but the one that reads the list. */
static void
stock_descriptors(struct stock *stock)
{
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        if (length < 0 || atoi(entry->d_name) == dirfd(directory))
            continue;
        target[length] = '\0';
        if (!is_arena(target))
            stock_add(stock, "fd", entry->d_name, target);
    }
    closedir(directory);
}

/* Suites that run at the same time make names, too: "libpar-<what>-<pid>", ones that the library makes up, the fixture's own leak. */
static bool
is_of_another_suite(const char *name)
{
    char mine[24];
    snprintf(mine, sizeof mine, "-%d", (int)getpid());
    return strncmp(name, "psm_", 4) == 0 || (strncmp(name, "libpar-", 7) == 0 && strstr(name, mine) == NULL) ||
           (strncmp(name, "par-fixture-", 12) == 0 && getenv("FIXTURE_SHM") == NULL);
}

static void
stock_shm(struct stock *stock)
{
    DIR *directory = opendir("/dev/shm");
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (!is_of_another_suite(entry->d_name))
            stock_add(stock, "shm", entry->d_name, "");
    closedir(directory);
}

/* Shared mappings only: private ones come and go with malloc and with thread stacks. */
static void
stock_mappings(struct stock *stock)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    char line[PATH_MAX];
    while (fgets(line, sizeof line, maps) != NULL) {
        char range[64], mode[8];
        if (sscanf(line, "%60s %7s", range, mode) == 2 && mode[3] == 's' && !is_arena(line)) {
            line[strcspn(line, "\n")] = '\0';
            stock_add(stock, "map", range, line + strlen(range));
        }
    }
    fclose(maps);
}

static int
compare_lines(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void
stock_take(struct stock *stock)
{
    stock->n = 0;
    stock_descriptors(stock);
    stock_shm(stock);
    stock_mappings(stock);
    qsort(stock->line, stock->n, LINE_SIZE, compare_lines);
}

static void
stock_compare(const struct stock *old, const struct stock *new)
{
    size_t i = 0, j = 0;
    while (i < old->n || j < new->n) {
        int order = i == old->n ? 1 : j == new->n ? -1 : strcmp(old->line[i], new->line[j]);
        ck_assert_msg(order <= 0, "left behind: %s", new->line[j]);
        ck_assert_msg(order >= 0, "gone, though the test did not make it: %s", old->line[i]);
        i++;
        j++;
    }
}

static size_t
count_threads(void)
{
    size_t n = 0;
    DIR *directory = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

/* ---- the checked fixture */

static size_t n_threads_allowed;

static void
nap_1ms(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void
setup(void)
{
    ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    n_threads_allowed = count_threads() + N_SANITIZER_THREADS;
    stock_take(&before);
}

static void
assert_no_child(void)
{
    for (int ms = 0; orphans_expected && ms < ORPHAN_GRACE_MS; ms++) {
        pid_t reaped;
        while ((reaped = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            ;
        if (reaped == -1)
            break;
        nap_1ms();
    }
    siginfo_t left = { .si_pid = 0 };
    int found = waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT | __WALL);
    ck_assert_msg(found == -1 && errno == ECHILD, "a child is left: %s",
                  left.si_pid != 0 ? "it ended, but nobody has reaped it" : "it runs");
}

/* A thread that was joined is counted for a moment longer. */
static void
assert_no_thread(void)
{
    for (int ms = 0; ms < THREAD_GRACE_MS && count_threads() > n_threads_allowed; ms++)
        nap_1ms();
    ck_assert_msg(count_threads() <= n_threads_allowed, "a thread is left");
}

static void
teardown(void)
{
    for (size_t i = 0; i < n_shared; i++)
        munmap(shared[i].at, shared[i].size);
    n_shared = 0;
    assert_no_child();
    assert_no_thread();
    stock_take(&after);
    stock_compare(&before, &after);
}

/* ---- suites */

Suite *
fixture_suite(const char *name)
{
    return suite_create(name);
}

TCase *
fixture_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, TEST_SECONDS);
    suite_add_tcase(suite, tcase);
    return tcase;
}

TCase *
fixture_thread_case(Suite *suite, const char *name)
{
    TCase *tcase = fixture_case(suite, name);
    tcase_set_tags(tcase, "threads");
    return tcase;
}

int
fixture_run(Suite *suite)
{
    const char *seed = getenv("FIXTURE_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    printf("FIXTURE_SEED=%llu\n", (unsigned long long)random_state);
    fflush(stdout);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- children */

void
fixture_expect_orphans(void)
{
    orphans_expected = true;
}

pid_t
fixture_fork(int (*body)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t child = fork();
    ck_assert_msg(child != -1, "fork: %s", strerror(errno));
    if (child == 0)
        _exit(body(arg));
    return child;
}

int
fixture_wait(pid_t child)
{
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    ck_assert_msg(pidfd != -1, "pidfd_open(%d): %s", (int)child, strerror(errno));
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };
    int ready;
    do
        ready = poll(&ended, 1, WAIT_MS);
    while (ready == -1 && errno == EINTR);
    close(pidfd);
    if (ready != 1)
        kill(child, SIGKILL);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(ready == 1, "child %d did not end", (int)child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int
fixture_in_child(int (*body)(void *arg), void *arg)
{
    return fixture_wait(fixture_fork(body, arg));
}

void
fixture_kill_after_us(pid_t pid, unsigned us)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 < (long)us);
    kill(pid, SIGKILL);
}

/* ---- small help */

_Noreturn void
fixture_die_unmarked(void)
{
    static struct robust_list_head nothing; /* the kernel's list of what this thread holds: empty */

    nothing.list.next = &nothing.list;
    (void)syscall(SYS_set_robust_list, &nothing, sizeof nothing);
    (void)raise(SIGKILL);
    abort();
}

void *
fixture_shared(size_t size)
{
    ck_assert_msg(n_shared < MAX_SHARED, "more than %d shared areas", MAX_SHARED);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(at, MAP_FAILED);
    shared[n_shared].at = at;
    shared[n_shared++].size = size;
    return at;
}

/* splitmix64: any seed will do. */
uint32_t
fixture_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

uint32_t
fixture_random_below(uint32_t bound)
{
    return (uint32_t)(((uint64_t)fixture_random() * bound) >> 32);
}
