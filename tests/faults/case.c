/* SPDX-License-Identifier: MIT
 *
 * case.c: one case of kernels.c or limits.c in a process of its own.
 */
#include "workload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 60

static void
live(int (*fn)(const void *arg), const void *arg, int *result)
{
    setpgid(0, 0);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    *result = fn(arg);
    _exit(0);
}

static bool
has_ended(pid_t pid, int *status)
{
    struct timespec tick = { 0, 1000000 };
    time_t start = time(NULL);

    while (waitpid(pid, status, WNOHANG) != pid) {
        if (time(NULL) - start > CASE_SECONDS)
            return false;
        nanosleep(&tick, NULL);
    }
    return true;
}

int
case_run(int (*fn)(const void *arg), const void *arg)
{
    int *result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0, outcome = CASE_HUNG;
    pid_t pid;

    if (result == MAP_FAILED)
        return CASE_SKIPPED;
    fflush(stdout);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    pid = fork();
    if (pid == 0)
        live(fn, arg, result);
    setpgid(pid, pid);
    if (has_ended(pid, &status))
        outcome = WIFSIGNALED(status) ? -WTERMSIG(status) : *result;
    kill(-pid, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
    munmap(result, sizeof *result);
    return outcome;
}

int
case_tell(const char *what, const char *name, int result)
{
    printf("%-8s %-44s", what, name);
    if (result == 0)
        printf("holds\n");
    else if (result == CASE_SKIPPED)
        printf("skipped: not possible here\n");
    else if (result == CASE_HUNG)
        printf("HUNG\n");
    else if (result < 0)
        printf("ended by signal %d\n", -result);
    else
        printf("line %d does not hold\n", result);
    return result != 0 && result != CASE_SKIPPED;
}
