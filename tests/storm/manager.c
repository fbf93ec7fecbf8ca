/* SPDX-License-Identifier: MIT
 *
 * manager.c: clients that die, with a ledger of what they append; servers that are killed.
 */
#include "storm.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- clients */

static par_manager *manager;
static par_list *list;
static par_dict *dict;
static struct ledger *ledger;
static struct count {
    _Atomic long begun, ended;
} * count;

static void
set_up_manager(void)
{
    manager = par_manager_start(NULL);
    list = par_manager_list(manager, soon());
    dict = par_manager_dict(manager, soon());
    ledger = ledger_new();
    count = par_value(struct count);
    if (list == NULL || dict == NULL || ledger == NULL || count == NULL)
        found(&manager_part, TORN, "no manager: errno %d", errno);
}

static void
append(void)
{
    long item = ledger_intend(ledger);

    if (item < 0)
        return;
    if (par_list_append(list, par_int(item), soon()) == 0)
        ledger_put(ledger, item);
    else
        failed(manager_part, "append");
}

static void
add(void)
{
    atomic_fetch_add(&count->begun, 1);
    if (par_dict_add(dict, par_str("n"), 1, soon()) == 0)
        atomic_fetch_add(&count->ended, 1);
    else
        failed(manager_part, "add");
}

static void
manager_step(void)
{
    if (random_below(2) == 0)
        append();
    else
        add();
}

/* Only keepers pop: what a victim pops may die with it. */
static bool
pop(void)
{
    par_obj *value = par_list_pop(list, 0, soon());
    int64_t item = par_obj_as_int(value, -1);

    if (value == NULL) {
        if (errno != ENOENT)
            failed(manager_part, "pop");
        return false;
    }
    par_obj_free(value);
    expect(manager_part, TORN, item >= 0);
    if (item < 0)
        return true;
    ledger_seen(ledger, (long)item);
    ledger_doing(ledger, (long)item);
    ledger_done(ledger, (long)item);
    return true;
}

static void
keep_manager(int which)
{
    if (which != 0)
        manager_step();
    else if (!pop())
        nap();
}

static void
settle_manager(void)
{
    struct tally tally;
    par_obj *n;
    int64_t total;

    while (pop())
        ;
    tally = ledger_tally(ledger);
    if (tally.n_unseen > 0)
        found(&manager_part, LOST, "%ld items", tally.n_unseen);
    if (tally.n_twice > 0)
        found(&manager_part, DUPLICATED, "%ld items", tally.n_twice);
    n = par_dict_get(dict, par_str("n"), soon());
    total = par_obj_as_int(n, 0);
    par_obj_free(n);
    expect(manager_part, LOST, total >= atomic_load(&count->ended));
    expect(manager_part, DUPLICATED, total <= atomic_load(&count->begun));
}

static void
end_manager(void)
{
    par_dict_free(dict);
    par_list_free(list);
    par_manager_free(manager);
    par_shared_free(count);
    ledger_free(ledger);
}

struct part manager_part = { .name = "manager",
                             .n_keepers = 2,
                             .setup = set_up_manager,
                             .step = manager_step,
                             .keep = keep_manager,
                             .settle = settle_manager,
                             .teardown = end_manager };

/* ---- servers */

static volatile sig_atomic_t server_pid;

/* The keeper's only child. */
static pid_t
find_server(void)
{
    char path[64];
    FILE *file;
    int pid = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file != NULL)
        fclose(file);
    return pid;
}

static void
kill_server(int signal)
{
    (void)signal;
    if (server_pid > 0)
        (void)kill((pid_t)server_pid, SIGKILL); /* our child, which nobody has reaped */
}

static void
kill_server_within(long microseconds)
{
    struct sigevent on = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    struct itimerspec at = { .it_value = { 0, microseconds * 1000 } };
    static timer_t timer;
    static pid_t mine;

    if (mine != getpid()) {
        struct sigaction action = { .sa_handler = kill_server };
        mine = getpid();
        if (sigaction(SIGUSR1, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &on, &timer) != 0)
            found(&server_part, TORN, "no timer: errno %d", errno);
    }
    if (timer_settime(timer, 0, &at, NULL) != 0)
        found(&server_part, TORN, "no timer: errno %d", errno);
}

static void
use_until_it_dies(par_list *of_server)
{
    for (long n = 0;; n++) {
        ssize_t length;
        if (par_list_append(of_server, par_int(n), soon()) != 0)
            break;
        length = par_list_len(of_server, soon());
        if (length < 0)
            break;
        expect(server_part, LOST, length == n + 1);
    }
    if (errno != EPIPE)
        failed(server_part, "a call while the server dies");
    expect(server_part, TORN, par_list_append(of_server, par_int(0), soon()) == -1 && errno == EPIPE);
}

static void
keep_server(int which)
{
    par_manager *mine = par_manager_start(NULL);
    par_list *one = par_manager_list(mine, soon());

    (void)which;
    if (one == NULL) {
        failed(server_part, "a new manager");
    } else {
        server_pid = find_server();
        expect(server_part, TORN, server_pid > 0);
        kill_server_within(1 + (long)random_below((uint64_t)1 << random_below(14)));
        use_until_it_dies(one);
        server_pid = 0;
        count_kills(1);
    }
    par_list_free(one);
    par_manager_free(mine);
}

struct part server_part = { .name = "server", .n_keepers = 2, .keep = keep_server };
