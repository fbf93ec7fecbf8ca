/* SPDX-License-Identifier: MIT
 *
 * tracker.c: behaviours 161 to 165: what is left, and what is left alone.
 */
#include "conformance.h"

#include <stdio.h>

static int
nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int
do_nothing(const void *in, void *out, void *ctx)
{
    (void)in;
    (void)out;
    (void)ctx;
    return 0;
}

/* Everything that starts something. */
static void
start_all(void)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2 });
    par_manager *manager = par_manager_start(NULL);
    par_thread *thread = par_thread_start(nothing, NULL, 0, NULL);

    must(only_child(nothing, NULL) == 0);
    must(pool != NULL && par_pool_map_sized(pool, do_nothing, NULL, 0, NULL, 0, 10, NULL) == 0);
    must(manager != NULL && thread != NULL && par_thread_join(thread, soon()) == 0);
    par_thread_free(thread);
    par_manager_free(manager);
    par_pool_free(pool);
}

static void
conf_164_signal_mask(void)
{
    sigset_t mask, after;

    must(sigemptyset(&mask) == 0 && sigaddset(&mask, SIGUSR1) == 0 && sigaddset(&mask, SIGTERM) == 0);
    must(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
    start_all();
    must(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int signal = 1; signal < NSIG; signal++)
        must(sigismember(&mask, signal) == sigismember(&after, signal));
}

struct raw {
    pid_t child;
    par_event go;
};

/* Its child lives on, holding all that a plain fork hands down. */
static int
fork_and_leave(void *arg)
{
    struct raw *raw = arg;

    start_all();
    pid_t child = fork();
    must(child >= 0);
    if (child == 0)
        _exit(par_event_wait(&raw->go, soon()) == 0 ? 0 : 1);
    raw->child = child;
    return 0;
}

static void
conf_165_raw_fork(void)
{
    struct raw *raw = shared(struct raw);

    must(only_child(fork_and_leave, raw) == 0);
    must(kill(raw->child, 0) == 0 && par_event_set(&raw->go) == 0 && reap(raw->child) == 0);
}

/* ---- 161: names that the dead have left */

struct leak {
    par_event made;
    char name[64];
};

static int
leak_name(void *arg)
{
    struct leak *leak = arg;

    must(par_shm_create(leak->name, 4096, NULL) != NULL && par_event_set(&leak->made) == 0);
    for (;;)
        pause();
}

static void
note_name(const char *name, size_t size, void *arg)
{
    struct leak *leak = arg;

    if (strcmp(name, leak->name) == 0 && size == 4096)
        leak->name[0] = '\0';
}

static void
conf_161_leaked_names(void)
{
    struct leak *leak = shared(struct leak);

    snprintf(leak->name, sizeof leak->name, "libpar-leak-%d", (int)getpid());
    par_process *leaker = par_process_start(leak_name, leak, 0, NULL);
    must(leaker != NULL && par_event_wait(&leak->made, soon()) == 0);
    must(par_shm_sweep(note_name, leak) >= 0 && leak->name[0] != '\0'); /* it lives */
    must(par_process_kill(leaker) == 0 && child_end(leaker) == -SIGKILL);
    must(par_shm_sweep(note_name, leak) >= 1 && leak->name[0] == '\0');
}

const struct behaviour tracker_behaviours[] = {
    PASSES(161, leaked_names, IN_PROCESSES, "segments of dead owners are unlinked, and told", "par_shm_sweep"),
    CANNOT(162, tracker_signals,
           "libpar has no tracker process: the kernel takes the arena back with the family's last process"),
    CANNOT(163, tracker_reused, "as 162: there is no tracker that children could use"),
    PASSES(164, signal_mask, IN_PROCESSES, "starting a process, a thread, a pool, a manager leaves the caller's mask as it is",
           "par_process_start"),
    PASSES(165, raw_fork, IN_PROCESSES, "a plain fork's child that lives on does not keep its parent from ending",
           "par_process_join"),
    END_OF_TABLE
};
