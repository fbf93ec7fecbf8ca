/* SPDX-License-Identifier: MIT
 *
 * limits.c: at the limits of the system: addresses, descriptors, processes, file size, the arena, a control group's memory. What
 * does not fit is an errno and never a signal, what exists goes on working, and when something was given back it works again.
 */
#include "workload.h"

#include <par.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define hold(condition)      \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

#define NOBODY 65534
#define MOST 4096
#define MIB ((size_t)1 << 20)

struct limit {
    int resource;
    rlim_t value;
};

static par_time
soon(void)
{
    return par_in(20);
}

static int
set_limit(int resource, rlim_t value)
{
    return setrlimit(resource, &(struct rlimit){ value, value });
}

static int
leave_seven(void *unused)
{
    (void)unused;
    return 7;
}

static int
rest(void *unused)
{
    (void)unused;
    while (pause() != 0)
        ;
    return 0;
}

static int
start_one(void)
{
    par_process *p = par_process_start(leave_seven, NULL, 0, NULL);

    hold(p != NULL && par_process_join(p, soon()) == 0 && par_process_exitcode(p) == 7);
    par_process_free(p);
    return 0;
}

/* ---- ulimit -v: it works with a smaller arena, or says ENOMEM */

static int
few_addresses(const void *arg)
{
    void *block;

    hold(set_limit(RLIMIT_AS, *(const rlim_t *)arg) == 0);
    block = par_shared_alloc(1, MIB);
    if (block == NULL) {
        hold(errno == ENOMEM && par_queue_new(NULL) == NULL && errno == ENOMEM);
        return 0;
    }
    memset(block, 1, MIB);
    par_shared_free(block);
    return workload();
}

/* ---- ulimit -f: ENOSPC, and no SIGXFSZ */

static int
small_files(const void *arg)
{
    static void *block[MOST];
    int n = 0;

    hold(set_limit(RLIMIT_FSIZE, *(const rlim_t *)arg) == 0);
    while (n < MOST && (block[n] = par_shared_alloc(1, MIB / 4)) != NULL)
        memset(block[n++], 1, MIB / 4);
    hold(n < MOST && errno == ENOSPC);
    if (n == 0) /* there is no room for an arena at all */
        return *(const rlim_t *)arg < 8 * MIB ? 0 : __LINE__;
    while (n > 0)
        par_shared_free(block[--n]);
    hold((block[0] = par_shared_alloc(1, MIB / 4)) != NULL);
    par_shared_free(block[0]);
    return start_one();
}

/* ---- ulimit -n */

static int
few_descriptors(const void *arg)
{
    static par_conn *end[MOST][2];
    static par_process *p[MOST];
    int n = 0, n_started = 0;
    char text[8];

    hold(set_limit(RLIMIT_NOFILE, *(const rlim_t *)arg) == 0);
    while (n < MOST && par_pipe(end[n], NULL) == 0)
        n++;
    hold(n > 0 && n < MOST && errno == EMFILE);
    hold(par_conn_send(end[0][1], "hello", 5, soon()) == 0 && par_conn_recv(end[0][0], text, sizeof text, soon()) == 5);
    hold(start_one() == 0); /* without a pidfd, if there is none to be had */
    hold(par_process_start(rest, NULL, 0, &(par_process_opts){ .daemon = true }) == NULL && errno == EMFILE);
    hold(par_pool_new(&(par_pool_opts){ .workers = 2 }) == NULL && errno == EMFILE);
    hold(par_manager_start(NULL) == NULL && errno == EMFILE);
    while (n > 0) {
        n--;
        par_conn_free(end[n][0]);
        par_conn_free(end[n][1]);
    }
    while (n_started < MOST && (p[n_started] = par_process_start(rest, NULL, 0, &(par_process_opts){ .daemon = true })) != NULL)
        n_started++;
    hold(n_started > 0 && n_started < MOST && errno == EMFILE);
    while (n_started > 0) {
        n_started--;
        hold(par_process_kill(p[n_started]) == 0 && par_process_join(p[n_started], soon()) == 0);
        par_process_free(p[n_started]);
    }
    return workload();
}

/* ---- ulimit -u, which does not bind root */

static int
few_processes(const void *arg)
{
    static par_process *p[MOST];
    int n = 0, in[4] = { 0, 1, 2, 3 };
    par_pool *pool;

    (void)in;
    if (getuid() == 0 && setuid(NOBODY) != 0)
        return CASE_SKIPPED;
    hold(set_limit(RLIMIT_NPROC, *(const rlim_t *)arg) == 0);
    while (n < MOST && (p[n] = par_process_start(rest, NULL, 0, NULL)) != NULL)
        n++;
    if (n == 0)
        return CASE_SKIPPED; /* this user has processes elsewhere */
    hold(n < MOST && errno == EAGAIN);
    hold(par_pool_new(&(par_pool_opts){ .workers = 2 }) == NULL && errno == EAGAIN);
    hold(par_pool_new(&(par_pool_opts){ .workers = 2, .backend = PAR_THREADS }) == NULL && errno == EAGAIN);
    hold(par_manager_start(NULL) == NULL && errno == EAGAIN);
    hold(par_thread_start(leave_seven, NULL, 0, NULL) == NULL && errno == EAGAIN);
    while (n > 0) {
        n--;
        hold(par_process_kill(p[n]) == 0 && par_process_join(p[n], soon()) == 0 && par_process_exitcode(p[n]) == -SIGKILL);
        par_process_free(p[n]);
    }
    hold(par_pool_new(&(par_pool_opts){ .workers = 64 }) == NULL && errno == EAGAIN); /* those that started are ended */
    hold((pool = par_pool_new(&(par_pool_opts){ .workers = 2 })) != NULL);
    par_pool_free(pool);
    return start_one();
}

/* ---- the arena is full */

static int
copy_item(const void *in, void *out, void *ctx)
{
    (void)ctx;
    memcpy(out, in, sizeof(long));
    return 0;
}

/* Who needs memory is refused; what has it goes on. */
static int
refused(par_queue *q, par_conn *end[2], par_pool *pool, par_lock *known, par_lock *fresh)
{
    static long in[100000], out[100000];
    static unsigned char big[MIB];
    par_conn *none[2];
    par_semaphore *s = (par_semaphore *)(void *)fresh;
    char text[8];

    hold(par_shared_alloc(1, MIB) == NULL && errno == ENOSPC && par_shared_strdup("text") == NULL && errno == ENOSPC);
    hold(par_queue_new(NULL) == NULL && errno == ENOSPC && par_pipe(none, NULL) == -1 && errno == ENOSPC);
    hold(par_pool_new(NULL) == NULL && errno == ENOSPC && par_manager_start(NULL) == NULL && errno == ENOSPC);
    hold(par_process_start(leave_seven, NULL, 0, NULL) == NULL && errno == ENOSPC);
    hold(par_thread_start(leave_seven, NULL, 0, NULL) == NULL && errno == ENOSPC);
    hold(par_semaphore_init(s, 0, &(par_semaphore_opts){ .robust = true }) == -1 && errno == ENOSPC);
    hold(par_queue_put(q, big, sizeof big, soon()) == -1 && errno == ENOSPC);
    hold(par_conn_send(end[1], big, sizeof big, soon()) == -1 && errno == ENOSPC);
    hold(par_pool_map(pool, copy_item, in, out, 100000) == -1 && errno == ENOSPC);
    hold(par_queue_put(q, "hello", 5, soon()) == 0 && par_queue_get(q, text, sizeof text, soon()) == 5);
    hold(par_conn_send(end[1], "hello", 5, soon()) == 0 && par_conn_recv(end[0], text, sizeof text, soon()) == 5);
    hold(par_lock_acquire(known, soon()) == 0 && par_lock_release(known) == 0);
    return 0;
}

static int
full_arena(const void *unused)
{
    static void *block[MOST * 16];
    static long in[1000], out[1000];
    par_conn *end[2];
    par_queue *q;
    par_pool *pool;
    par_lock *lock;
    int n = 0, line;
    char text[8];

    (void)unused;
    hold(setenv("PAR_ARENA_LIMIT", "4M", 1) == 0);
    hold((lock = par_array(par_lock, 2)) != NULL && par_lock_acquire(&lock[0], soon()) == 0 && par_lock_release(&lock[0]) == 0);
    hold((q = par_queue_new(&(par_queue_opts){ .capacity = 4096 })) != NULL &&
         par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) == 0);
    hold((pool = par_pool_new(&(par_pool_opts){ .workers = 2 })) != NULL && par_pool_map(pool, copy_item, in, out, 10) == 0);
    hold(par_queue_put(q, "hello", 5, soon()) == 0 && par_queue_get(q, text, sizeof text, soon()) == 5);
    for (size_t size = MIB; size > 0; size = size > 64 ? size - 64 : size / 2)
        while (n < MOST * 16 && (block[n] = par_shared_alloc(1, size)) != NULL)
            n++;
    hold(n < MOST * 16 && errno == ENOSPC);
    if ((line = refused(q, end, pool, &lock[0], &lock[1])) != 0)
        return line;
    while (n > 0)
        par_shared_free(block[--n]);
    hold(par_pool_map(pool, copy_item, in, out, 1000) == 0 && start_one() == 0);
    hold((block[0] = par_shared_alloc(1, MIB)) != NULL);
    par_shared_free(block[0]);
    par_pool_free(pool);
    par_queue_free(q);
    par_conn_free(end[0]);
    par_conn_free(end[1]);
    return 0;
}

/* ---- a control group whose memory runs out: the killed is a death like any other */

static bool
write_text(const char *folder, const char *file, const char *text)
{
    char path[256];
    int fd;
    bool is_written;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return is_written;
}

/* A child group of ours in version 2 or 1, whose memory is bounded. */
static bool
make_group(char *folder, size_t size)
{
    snprintf(folder, size, "/sys/fs/cgroup/libpar-test-%d", (int)getpid());
    (void)write_text("/sys/fs/cgroup", "cgroup.subtree_control", "+memory");
    if (mkdir(folder, 0700) == 0) {
        if (write_text(folder, "memory.max", "33554432")) {
            (void)write_text(folder, "memory.swap.max", "0");
            return true;
        }
        (void)rmdir(folder);
    }
    snprintf(folder, size, "/sys/fs/cgroup/memory/libpar-test-%d", (int)getpid());
    if (mkdir(folder, 0700) != 0)
        return false;
    if (write_text(folder, "memory.limit_in_bytes", "33554432")) {
        (void)write_text(folder, "memory.swappiness", "0");
        return true;
    }
    (void)rmdir(folder);
    return false;
}

static char group[128];

static int
eat(const void *in, void *out, void *ctx)
{
    char text[16];

    (void)ctx;
    *(int *)out = *(const int *)in;
    if (*(const int *)in != 3)
        return 0;
    snprintf(text, sizeof text, "%d", (int)getpid());
    if (!write_text(group, "cgroup.procs", text))
        return 1;
    for (size_t i = 0; i < 256; i++) {
        char *p = malloc(MIB);
        if (p != NULL)
            memset(p, 1, MIB);
    }
    return 2;
}

static int
out_of_memory(const void *unused)
{
    int in[10], out[10], result;
    par_status lost = { .index = 99 };
    par_pool *pool;
    ssize_t n;

    (void)unused;
    if (!make_group(group, sizeof group))
        return CASE_SKIPPED;
    for (int i = 0; i < 10; i++)
        in[i] = i;
    pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    n = par_pool_map_with(pool, eat, in, out, 10, &(par_job_opts){ .failures = &lost, .max_failures = 1, .deadline = soon() });
    result = n == 1 && lost.index == 3 && lost.state == PAR_LOST && lost.signal == SIGKILL ? 0 : __LINE__;
    if (n == 1 && lost.state == PAR_FAILED && lost.code == 1)
        result = CASE_SKIPPED; /* nobody may be moved into the group */
    par_pool_free(pool);
    for (int i = 0; i < 1000 && rmdir(group) != 0 && errno == EBUSY; i++)
        (void)usleep(1000); /* until the dead are gone from it */
    return result;
}

int
limits(bool is_sample)
{
    static const struct {
        const char *name;
        int (*fn)(const void *arg);
        rlim_t value;
        bool is_quick;
    } cases[] = {
        { "16 MiB of addresses (ulimit -v)", few_addresses, 16 * MIB, true },
        { "64 MiB of addresses", few_addresses, 64 * MIB, false },
        { "300 MiB of addresses", few_addresses, 300 * MIB, true },
        { "1 GiB of addresses", few_addresses, 1024 * MIB, false },
        { "5 GiB of addresses", few_addresses, 5 * 1024 * MIB, false },
        { "files of 0 bytes (ulimit -f)", small_files, 0, true },
        { "files of 64 KiB", small_files, MIB / 16, false },
        { "files of 4 MiB", small_files, 4 * MIB, true },
        { "files of 32 MiB", small_files, 32 * MIB, false },
        { "20 descriptors (ulimit -n)", few_descriptors, 20, true },
        { "64 descriptors", few_descriptors, 64, false },
        { "8 processes (ulimit -u)", few_processes, 8, true },
        { "full arena", full_arena, 0, true },
        { "control group out of memory", out_of_memory, 0, true },
    };
    int n_failed = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!is_sample || cases[i].is_quick)
            n_failed += case_tell("limit", cases[i].name, case_run(cases[i].fn, &cases[i].value));
    return n_failed;
}
