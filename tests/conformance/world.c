/* SPDX-License-Identifier: MIT
 *
 * world.c: the process in which one test runs, its peers, and what must not be left when it ends.
 *
 * A world is a process group, and the parent of whatever loses its parent in it; so what it leaves can be seen, and when it
 * hangs all of it can be ended.
 */
#include "conformance.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define WORLD_SECONDS 120
#define ORPHAN_SECONDS 10

static unsigned kind_of_peers;

void
give_up(const char *file, int line, const char *what)
{
    int error = errno;

    printf("%s:%d: %s: errno %d (%s) %s\n", file, line, what, error, strerror(error), par_error());
    fflush(stdout);
    _exit(1);
}

par_time
soon(void)
{
    return par_in(20);
}

void *
shared_block(size_t size)
{
    void *block = par_shared_alloc(1, size);

    must(block != NULL);
    return block;
}

/* ---- peers */

static struct peer
peer_start_with(int (*fn)(void *arg), void *arg, const par_process_opts *opts)
{
    struct peer peer = { NULL, NULL };

    if (kind_of_peers == IN_THREADS)
        peer.thread = par_thread_start(fn, arg, 0, NULL);
    else
        peer.process = par_process_start(fn, arg, 0, opts);
    must(peer.thread != NULL || peer.process != NULL);
    return peer;
}

struct peer
peer_start(int (*fn)(void *arg), void *arg)
{
    return peer_start_with(fn, arg, NULL);
}

struct peer
peer_given(int (*fn)(void *arg), par_conn *end)
{
    return peer_start_with(fn, end, &(par_process_opts){ .give = { end } });
}

int
peer_end(struct peer peer)
{
    if (peer.thread == NULL)
        return child_end(peer.process);
    must(par_thread_join(peer.thread, soon()) == 0);
    int code = par_thread_exitcode(peer.thread);
    par_thread_free(peer.thread);
    return code;
}

void
peers_start(struct peer *peer, int n, int (*fn)(void *arg), void *arg)
{
    for (int i = 0; i < n; i++)
        peer[i] = peer_start(fn, arg);
}

void
peers_end(const struct peer *peer, int n)
{
    for (int i = 0; i < n; i++)
        must(peer_end(peer[i]) == 0);
}

int
pool_backend(void)
{
    return kind_of_peers == IN_THREADS ? PAR_THREADS : PAR_PROCESSES;
}

/* ---- children */

par_process *
child_start(int (*fn)(void *arg), void *arg)
{
    par_process *child = par_process_start(fn, arg, 0, NULL);

    must(child != NULL);
    return child;
}

int
child_end(par_process *child)
{
    must(par_process_join(child, soon()) == 0);
    int code = par_process_exitcode(child);
    par_process_free(child);
    return code;
}

int
only_child(int (*fn)(void *arg), void *arg)
{
    return child_end(child_start(fn, arg));
}

int
sleep_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

int
reap(pid_t orphan)
{
    int status = 0;

    await(waitpid(orphan, &status, WNOHANG) == orphan);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int
open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;

    must(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);

        if (length < 0 || atoi(entry->d_name) == dirfd(directory))
            continue;
        target[length] = '\0';
        n += strstr(target, "/memfd:libpar") == NULL;
    }
    closedir(directory);
    return n;
}

/* The limit is on their numbers: fewer, if there are gaps. */
void
few_descriptors(struct rlimit *old, unsigned n)
{
    int lowest = dup(STDIN_FILENO);

    must(lowest >= 0 && close(lowest) == 0 && getrlimit(RLIMIT_NOFILE, old) == 0);
    struct rlimit few = { .rlim_cur = (rlim_t)lowest + n, .rlim_max = old->rlim_max };
    must(setrlimit(RLIMIT_NOFILE, &few) == 0);
}

void *
alias(void *p)
{
    return p;
}

/* ---- the world */

/* Orphans may be on their way out: the kernel has been told to kill them. */
static void
must_have_no_child(void)
{
    par_time start = par_now();

    while (waitpid(-1, NULL, WNOHANG | __WALL) >= 0) {
        must(par_since(start) < ORPHAN_SECONDS);
        (void)usleep(500);
    }
    must(errno == ECHILD);
}

static void __attribute__((noreturn)) be_world(void (*test)(void))
{
    must(setpgid(0, 0) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    int n_before = open_descriptors();

    test();
    must_have_no_child();
    must(open_descriptors() == n_before);
    fflush(stdout);
    _exit(0);
}

static int
wait_for_world(pid_t world, const sigset_t *child_ends)
{
    int status;
    par_time start = par_now();

    while (waitpid(world, &status, WNOHANG) == 0) {
        if (par_since(start) > WORLD_SECONDS) {
            printf("it hangs\n");
            kill(-world, SIGKILL);
        }
        (void)sigtimedwait(child_ends, NULL, &(struct timespec){ .tv_sec = 1 });
    }
    return status;
}

enum verdict
run_world(void (*test)(void), unsigned peers)
{
    sigset_t child_ends, old;
    pid_t world;

    fflush(NULL);
    sigemptyset(&child_ends);
    sigaddset(&child_ends, SIGCHLD);
    must(sigprocmask(SIG_BLOCK, &child_ends, &old) == 0);
    must((world = fork()) >= 0);
    if (world == 0) {
        kind_of_peers = peers;
        must(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
        be_world(test);
    }
    int status = wait_for_world(world, &child_ends);
    kill(-world, SIGKILL); /* what a failed test has left */
    must(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PASSED : FAILED;
}
