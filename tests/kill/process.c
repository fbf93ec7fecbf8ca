/* SPDX-License-Identifier: MIT
 *
 * process.c: the victim is a parent: it starts a process and joins it.
 */
#include "kill.h"

#include "../../libpar/shm/arena.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void
set_up(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* orphans come to the world, which counts them */
    leak_mark();
}

static int
say_pid(void *arg)
{
    (void)arg;
    atomic_store(&page->note[0], getpid());
    return 7;
}

static int
stay(void *arg)
{
    (void)arg;
    atomic_store(&page->note[0], getpid());
    while (pause() != 0)
        ;
    return 0;
}

static void
start_and_join(int which)
{
    par_process *process = par_process_start(say_pid, NULL, 0, NULL);

    if (process != NULL && par_process_join(process, par_in(10)) == 0)
        atomic_store(&page->victim[which].result, par_process_exitcode(process));
    par_process_free(process);
}

static void
start_daemon(int which)
{
    par_process *process = par_process_start(stay, NULL, 0, &(par_process_opts){ .daemon = true });

    (void)which;
    while (process != NULL && !atomic_load(&page->note[0]))
        nap();
}

static int
stay_a_while(void *arg)
{
    (void)arg;
    return 7;
}

static void
start_thread_and_join(int which)
{
    par_thread *thread = par_thread_start(stay_a_while, NULL, 0, NULL);

    (void)which;
    if (thread != NULL)
        (void)par_thread_join(thread, par_in(10));
    par_thread_free(thread);
}

/* ---- start methods: what is no fork does not see the page */

static int
return_seven(void *arg)
{
    (void)arg;
    return 7;
}

static void
start_away_and_join(int which, int method)
{
    par_process *process = par_process_start(return_seven, NULL, 0, &(par_process_opts){ .start_method = method });

    if (process != NULL && par_process_join(process, par_in(10)) == 0)
        atomic_store(&page->victim[which].result, par_process_exitcode(process));
    par_process_free(process);
}

static void
spawn_and_join(int which)
{
    start_away_and_join(which, PAR_SPAWN);
}

/* With a server that is there, so that not its start is stepped through each time. */
static void
prepare_server(int which)
{
    start_away_and_join(which, PAR_FORKSERVER);
    atomic_store(&page->victim[which].result, 0);
}

static void
ask_server_and_join(int which)
{
    start_away_and_join(which, PAR_FORKSERVER);
}

static void
start_server_and_join(int which)
{
    start_away_and_join(which, PAR_FORKSERVER);
    par_forkserver_stop();
}

/* ---- the victim is the server: its client's start succeeds, its child runs once */

static _Atomic int *n_runs; /* in shared memory */

static int
count_run(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
    return 7;
}

static int
tell_server(void *arg)
{
    *(_Atomic int *)arg = getppid();
    return 0;
}

static int
run_counted(int (*fn)(void *arg), void *arg)
{
    par_process *process = par_process_start(fn, arg, 0, &(par_process_opts){ .start_method = PAR_FORKSERVER });
    int code = process != NULL && par_process_join(process, soon()) == 0 ? par_process_exitcode(process) : -1000;

    par_process_free(process);
    return code;
}

static void
set_up_server(void)
{
    set_up();
    n_runs = par_value(_Atomic int);
    expect_ready(n_runs != NULL);
    leak_mark();
}

/* A helper is the client, so that the world has no part in the server but to step it. */
static int
ask_server(int i)
{
    int code;

    if (run_counted(tell_server, (void *)n_runs) != 0)
        return BROKEN;
    atomic_store(&page->note[1], atomic_exchange(n_runs, 0));
    helper_park(i);
    while (atomic_load(&page->note[0]) == 0)
        nap();
    code = run_counted(count_run, (void *)n_runs);
    if (code != 7 && code != PAR_EXIT_UNKNOWN)
        return HUNG;
    if (atomic_load(n_runs) != 1)
        return atomic_load(n_runs) > 1 ? DUPLICATED : LOST;
    return run_counted(count_run, (void *)n_runs) == 7 && atomic_load(n_runs) == 2 ? FINE : LOST;
}

static pid_t
find_fork_server(int which)
{
    pid_t server;

    (void)which;
    helper_start(0, ask_server);
    while (!atomic_load(&page->is_parked[0]))
        nap();
    server = (pid_t)atomic_load(&page->note[1]);
    while (!is_asleep(server))
        nap();
    return server;
}

static void
let_ask(int which)
{
    (void)which;
    atomic_store(&page->note[0], 1);
}

static void
check_asked(void)
{
    atomic_store(&page->note[0], 1);
    helper_join(0);
    leak_check_soon(0);
}

/* Whoever was started ends, and its slot is swept. */
static void
check_no_child_left(void)
{
    par_time start = par_now();

    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        if (par_since(start) > PATIENCE)
            find(LEAKED, "a process stays");
        nap();
    }
    for (int i = 0; i < 2; i++)
        expect(LOST, !has_ended(i) || page->victim[i].result == 0 || page->victim[i].result == 7);
    leak_check(0);
}

static void
no_preparation(int which)
{
    (void)which;
    (void)pari_self();
}

/* ---- a name in /dev/shm */

static char *
segment_name(void)
{
    static char name[64];

    snprintf(name, sizeof name, "libpar-kill-%d", (int)page->note[6]);
    return name;
}

static void
set_up_segment(void)
{
    (void)pari_self();
    atomic_store(&page->note[6], getpid());
    leak_mark();
}

static void
make_segment(int which)
{
    atomic_store(&page->victim[which].result, par_shm_create(segment_name(), 100, NULL) != NULL);
}

/* The name is free again, or can be taken; then nothing is left. */
static void
check_segment(void)
{
    char path[80];
    par_shm *shm = par_shm_create(segment_name(), 200, NULL);

    expect(LEAKED, shm != NULL);
    expect(TORN, par_shm_size(shm) == 200);
    par_shm_free(shm);
    snprintf(path, sizeof path, "/dev/shm/%s", segment_name());
    expect(LEAKED, access(path, F_OK) != 0);
    leak_check(0);
}

const struct op process_ops[] = {
    { .group = "process", .name = "shm_create", .setup = set_up_segment, .act = make_segment, .check = check_segment },
    { .group = "process",
      .name = "process_start_join",
      .setup = set_up,
      .prepare = no_preparation,
      .act = start_and_join,
      .check = check_no_child_left,
      .stride = 3 },
    { .group = "process",
      .name = "process_start_daemon",
      .setup = set_up,
      .prepare = no_preparation,
      .act = start_daemon,
      .check = check_no_child_left,
      .stride = 3,
      .is_once = true },
    { .group = "process",
      .name = "process_spawn_join",
      .setup = set_up,
      .prepare = no_preparation,
      .act = spawn_and_join,
      .check = check_no_child_left,
      .stride = 11,
      .is_once = true },
    { .group = "process",
      .name = "process_ask_forkserver",
      .setup = set_up,
      .prepare = prepare_server,
      .act = ask_server_and_join,
      .check = check_no_child_left,
      .stride = 5,
      .is_once = true },
    { .group = "process",
      .name = "process_start_forkserver",
      .setup = set_up,
      .prepare = no_preparation,
      .act = start_server_and_join,
      .check = check_no_child_left,
      .stride = 23,
      .is_once = true },
    { .group = "process",
      .name = "forkserver",
      .setup = set_up_server,
      .meanwhile = let_ask,
      .find = find_fork_server,
      .check = check_asked,
      .is_once = true },
    { .group = "process",
      .name = "thread_start_join",
      .setup = set_up,
      .prepare = no_preparation,
      .act = start_thread_and_join,
      .check = check_no_child_left,
      .stride = 7 },
    { .name = NULL },
};
