/* SPDX-License-Identifier: MIT
 *
 * scale.c: what objects cost when there are many, and when nobody uses them.
 *
 *   queues  one process puts a message into each of `depth` queues and gets it from each, until n have gone through. Nanoseconds per
 *           message
 *   arena   allocate 64 bytes and free them, `depth` MiB of other blocks being in use. Nanoseconds per pair
 *   idle    sleep in a call for `size` milliseconds. Microseconds of processor time per second
 *   object  make `depth` objects and use each once. Bytes of memory for each
 *   member  `depth` child processes that wait. KiB of memory that is each one's own
 */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <par.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

/* ---- queues */

static double
libpar_queues(const struct bench_task *task)
{
    par_queue **q = bench_private((size_t)task->depth * sizeof *q);
    uint64_t value;
    int64_t start;
    long n = 0;

    for (long i = 0; i < task->depth; i++) {
        q[i] = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
        if (q[i] == NULL && errno == ENOSPC)
            bench_skip("shared memory is full");
        bench_check(q[i] != NULL);
    }
    for (start = bench_now(); n < task->n; n += task->depth) {
        for (long i = 0; i < task->depth; i++)
            bench_check(par_queue_put(q[i], &(uint64_t){ (uint64_t)i }, sizeof value, PAR_FOREVER) == 0);
        for (long i = 0; i < task->depth; i++)
            bench_check(par_queue_get(q[i], &value, sizeof value, PAR_FOREVER) == sizeof value && value == (uint64_t)i);
    }
    return (double)(bench_now() - start) / (double)n;
}

static double
pipe_queues(const struct bench_task *task)
{
    int(*fd)[2] = bench_private((size_t)task->depth * sizeof *fd);
    uint64_t value;
    int64_t start;
    long n = 0;

    for (long i = 0; i < task->depth; i++) {
        if (pipe(fd[i]) != 0 && errno == EMFILE)
            bench_skip("out of descriptors after %ld", i);
        bench_check(fd[i][0] > 0);
    }
    for (start = bench_now(); n < task->n; n += task->depth) {
        for (long i = 0; i < task->depth; i++)
            bench_check(write(fd[i][1], &(uint64_t){ (uint64_t)i }, sizeof value) == sizeof value);
        for (long i = 0; i < task->depth; i++)
            bench_check(read(fd[i][0], &value, sizeof value) == sizeof value && value == (uint64_t)i);
    }
    return (double)(bench_now() - start) / (double)n;
}

/* ---- arena: the other blocks have 1 MiB each, and between them lie as many small ones */

#define ARENA_SMALL 64

static double
arena(const struct bench_task *task, void *(*alloc)(size_t size), void (*release)(void *block))
{
    int64_t start;

    for (long i = 0; i < task->depth; i++) {
        void *large = alloc(1024 * 1024), *small = alloc(ARENA_SMALL);

        if ((large == NULL || small == NULL) && (errno == ENOSPC || errno == ENOMEM))
            bench_skip("memory is full after %ld MiB", i);
        bench_check(large != NULL && small != NULL);
    }
    start = bench_now();
    for (long i = 0; i < task->n; i++) {
        void *block = alloc(ARENA_SMALL);

        bench_check(block != NULL);
        *(volatile char *)block = 1;
        release(block);
    }
    return (double)(bench_now() - start) / (double)task->n;
}

static void *
libpar_alloc(size_t size)
{
    return par_shared_alloc(size, 1);
}

static double
libpar_arena(const struct bench_task *task)
{
    return arena(task, libpar_alloc, par_shared_free);
}

static double
malloc_arena(const struct bench_task *task)
{
    return arena(task, malloc, free);
}

/* ---- idle: all calls end with ETIMEDOUT */

static void
sleep_in_queue(par_time until)
{
    par_queue *q = par_queue_new(NULL);
    char byte;

    bench_check(par_queue_get(q, &byte, 1, until) == -1 && errno == ETIMEDOUT);
}

static void
sleep_in_pipe(par_time until)
{
    par_conn *end[2];
    char byte;

    bench_check(par_pipe(end, NULL) == 0);
    bench_check(par_conn_recv(end[0], &byte, 1, until) == -1 && errno == ETIMEDOUT);
}

static int
hold(void *lock)
{
    bench_check(par_lock_acquire(lock, PAR_FOREVER) == 0);
    bench_add((uint32_t *)((par_lock *)lock + 1));
    bench_await((uint32_t *)((par_lock *)lock + 1), 2);
    return par_lock_release(lock);
}

/* The lock is held by another process; the word behind it says when. */
static void
sleep_in_lock(par_time until)
{
    par_lock *lock = par_shared_alloc(2, sizeof *lock);
    par_process *holder = par_process_start(hold, lock, 0, &(par_process_opts){ .daemon = true });

    bench_check(lock != NULL && holder != NULL);
    bench_await((uint32_t *)(lock + 1), 1);
    bench_check(par_lock_acquire(lock, until) == -1 && errno == ETIMEDOUT);
    bench_add((uint32_t *)(lock + 1));
    bench_check(par_process_join(holder, PAR_FOREVER) == 0 && par_process_exitcode(holder) == 0);
}

static void
sleep_in_event(par_time until)
{
    par_event *event = par_value(par_event);

    bench_check(par_event_wait(event, until) == -1 && errno == ETIMEDOUT);
}

static void
sleep_in_poll(par_time until)
{
    int fd[2];

    bench_check(pipe(fd) == 0);
    bench_check(poll(&(struct pollfd){ .fd = fd[0], .events = POLLIN }, 1, (int)(-par_since(until) * 1000)) == 0);
}

static double
idle(const struct bench_task *task, void (*sleep_in)(par_time until))
{
    double seconds = (double)task->size / 1000, before;

    (void)par_cpu_count();
    sleep_in(par_in(0.001)); /* what is made once */
    before = bench_cpu_seconds();
    sleep_in(par_in(seconds));
    return (bench_cpu_seconds() - before) * 1e6 / seconds;
}

#define IDLE(where)                                           \
    static double idle_##where(const struct bench_task *task) \
    {                                                         \
        return idle(task, sleep_in_##where);                  \
    }
IDLE(queue)
IDLE(pipe)
IDLE(lock)
IDLE(event)
IDLE(poll)

/* ---- memory: private memory of the process, and of all memory files that it has open */

static long
kilobytes_of(const char *file, const char *key)
{
    char line[256];
    long kilobytes = -1;
    FILE *stream = fopen(file, "re");

    bench_check(stream != NULL);
    while (kilobytes < 0 && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            kilobytes = strtol(line + strlen(key), NULL, 10);
    bench_check(fclose(stream) == 0 && kilobytes >= 0);
    return kilobytes;
}

static long
bytes_of_descriptor(const char *number)
{
    char path[300], target[64] = "";
    struct stat status;

    (void)snprintf(path, sizeof path, "/proc/self/fd/%s", number);
    if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "/memfd:", 7) != 0)
        return 0;
    bench_check(fstat((int)strtol(number, NULL, 10), &status) == 0);
    return (long)status.st_blocks * 512;
}

static long
bytes_in_use(void)
{
    long bytes = kilobytes_of("/proc/self/status", "RssAnon:") * 1024;
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    bench_check(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        bytes += bytes_of_descriptor(entry->d_name);
    bench_check(closedir(directory) == 0);
    return bytes;
}

static void
make_lock(void)
{
    par_lock *lock = par_value(par_lock);

    bench_check(par_lock_acquire(lock, PAR_FOREVER) == 0 && par_lock_release(lock) == 0);
}

static void
make_queue(void)
{
    par_queue *q = par_queue_new(&(par_queue_opts){ .capacity = 4096 });
    char byte = 1;

    bench_check(par_queue_put(q, &byte, 1, PAR_FOREVER) == 0 && par_queue_get(q, &byte, 1, PAR_FOREVER) == 1);
}

static void
make_pipe(void)
{
    par_conn *end[2];

    if (par_pipe(end, &(par_pipe_opts){ .capacity = 4096 }) != 0 && errno == EMFILE)
        bench_skip("out of descriptors");
    bench_check(par_conn_send(end[1], "1", 1, PAR_FOREVER) == 0 && par_conn_skip(end[0], PAR_FOREVER) == 0);
}

static void
make_value(void)
{
    long *value = par_value(long);

    *value = 1;
}

static void
make_mutex(void)
{
    pthread_mutex_t *mutex = malloc(sizeof *mutex);

    bench_check(mutex != NULL && pthread_mutex_init(mutex, NULL) == 0);
    bench_check(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
}

static double
object(const struct bench_task *task, void (*make)(void))
{
    long before;

    make(); /* what is made once */
    before = bytes_in_use();
    for (long i = 0; i < task->depth; i++)
        make();
    return (double)(bytes_in_use() - before) / (double)task->depth;
}

#define OBJECT(kind)                                           \
    static double object_##kind(const struct bench_task *task) \
    {                                                          \
        return object(task, make_##kind);                      \
    }
OBJECT(lock)
OBJECT(queue)
OBJECT(pipe)
OBJECT(value)
OBJECT(mutex)

/* ---- members */

static int
wait_for_end(void *word)
{
    bench_add(word);
    bench_await(word, 1000000); /* the parent ends first */
    return 0;
}

static double
member(const struct bench_task *task, pid_t (*start)(void *word))
{
    uint32_t *word = bench_shared(sizeof *word);
    char path[64];
    long kilobytes = 0;

    for (long i = 0; i < task->depth; i++) {
        pid_t pid = start(word);
        bench_check(pid > 0);
        bench_await(word, (uint32_t)i + 1);
        (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
        kilobytes += kilobytes_of(path, "Private_Dirty:");
    }
    return (double)kilobytes / (double)task->depth;
}

static pid_t
start_libpar(void *word)
{
    par_process *process = par_process_start(wait_for_end, word, 0, &(par_process_opts){ .daemon = true });

    return process ? par_process_pid(process) : -1;
}

static pid_t
start_fork(void *word)
{
    return bench_fork(wait_for_end, word);
}

static double
libpar_member(const struct bench_task *task)
{
    return member(task, start_libpar);
}

static double
fork_member(const struct bench_task *task)
{
    return member(task, start_fork);
}

static const struct bench_contender contenders[] = {
    { "queues", "libpar", libpar_queues, 1 },
    { "queues", "pipe", pipe_queues, 1 },
    { "arena", "libpar", libpar_arena, 1 },
    { "arena", "malloc", malloc_arena, 1 },
    { "idle", "libpar", idle_queue, 1 },
    { "idle", "libpar-pipe", idle_pipe, 1 },
    { "idle", "libpar-lock", idle_lock, 1 },
    { "idle", "libpar-event", idle_event, 1 },
    { "idle", "poll", idle_poll, 1 },
    { "object", "libpar", object_queue, 1 },
    { "object", "libpar-lock", object_lock, 1 },
    { "object", "libpar-pipe", object_pipe, 1 },
    { "object", "libpar-value", object_value, 1 },
    { "object", "mutex-in-malloc", object_mutex, 1 },
    { "member", "libpar", libpar_member, 1 },
    { "member", "fork", fork_member, 1 },
};
BENCH_MAIN(contenders)
