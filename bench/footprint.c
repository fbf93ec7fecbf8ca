/* SPDX-License-Identifier: MIT
 *
 * footprint.c: what the library costs a program that has it.
 *
 *   size   of the stripped shared library. kB
 *   exec   start a program that does nothing and wait for it, n times: linked with the library, or not. Microseconds
 *   first  the first call of a process that needs shared memory, and the first of every next one. Microseconds
 *
 * Beside this program lie libpar.stripped.so, and hello twice, one of which is linked with the library.
 */
#include "bench.h"

#include <par.h>
#include <spawn.h>
#include <sys/stat.h>

extern char **environ;

/* A file beside this program. */
static char *
beside(const char *name)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 100);

    bench_check(length > 0);
    path[length] = '\0';
    (void)snprintf(strrchr(path, '/') + 1, 100, "%s", name);
    return path;
}

static double
libpar_size(const struct bench_task *task)
{
    struct stat status;

    (void)task;
    bench_check(stat(beside("libpar.stripped.so"), &status) == 0);
    return (double)status.st_size / 1000;
}

static double
exec(const struct bench_task *task, const char *name)
{
    char *path = beside(name), *argv[] = { path, NULL };
    int64_t start = bench_now();
    pid_t pid;

    for (long i = 0; i < task->n; i++) {
        bench_check(posix_spawn(&pid, path, NULL, NULL, argv, environ) == 0);
        bench_join(pid);
    }
    return (double)(bench_now() - start) / 1e3 / (double)task->n;
}

static double
libpar_exec(const struct bench_task *task)
{
    return exec(task, "hello-libpar");
}

static double
bare_exec(const struct bench_task *task)
{
    return exec(task, "hello");
}

static double
libpar_first(const struct bench_task *task)
{
    int64_t start = bench_now();
    long *value = par_value(long);

    (void)task;
    bench_check(value != NULL && *value == 0);
    return (double)(bench_now() - start) / 1e3;
}

/* A page of memory from the kernel, which is the least that shared memory costs. */
static double
mmap_first(const struct bench_task *task)
{
    int64_t start = bench_now();
    long *value = bench_shared(4096);

    (void)task;
    *value = 1;
    return (double)(bench_now() - start) / 1e3;
}

static const struct bench_contender contenders[] = {
    { "size", "libpar", libpar_size, 1 },   { "exec", "libpar", libpar_exec, 1 }, { "exec", "without", bare_exec, 1 },
    { "first", "libpar", libpar_first, 1 }, { "first", "mmap", mmap_first, 1 },
};
BENCH_MAIN(contenders)
