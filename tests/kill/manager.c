/* SPDX-License-Identifier: MIT
 *
 * manager.c: a client inside a call, and the server while it serves one.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static par_manager *manager;
static par_list *list;

static void
make(void)
{
    manager = par_manager_start(NULL);
    expect_ready(manager != NULL);
    list = par_manager_list(manager, soon());
    expect_ready(list != NULL);
}

/* ---- the client dies */

static void
append_one(int which)
{
    atomic_store(&page->victim[which].result, par_list_append(list, par_int(which), par_in(10)));
}

static void
check_client(void)
{
    ssize_t n = par_list_len(list, soon());
    int n_ended = has_ended(0) + has_ended(1), n_victims = (page->victim[0].pid != 0) + (page->victim[1].pid != 0);

    expect_done(n);
    expect(LOST, n >= n_ended);
    expect(DUPLICATED, n <= n_victims);
    expect_done(par_list_append(list, par_int(9), soon()));
    expect(TORN, par_list_len(list, soon()) == n + 1);
    par_list_free(list);
    par_manager_free(manager);
}

/* ---- the server dies */

static int
client(int i)
{
    int error = 0;

    if (par_list_append(list, par_int(1), par_in(10)) != 0) /* it is connected */
        return BROKEN;
    helper_park(i);
    while (!atomic_load(&page->note[0]))
        sched_yield();
    for (int n = 0; n < 2 && error == 0; n++)
        error = par_list_append(list, par_int(1), par_in(10)) == 0 ? 0 : errno;
    atomic_store(&page->is_idle, 1);
    return error == 0 || error == EPIPE ? FINE : error == ETIMEDOUT ? HUNG : TORN;
}

/* The world's first child. */
static pid_t
find_server(int which)
{
    char path[64], text[64];
    int fd;
    ssize_t n;

    (void)which;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    expect_ready(n > 0);
    close(fd);
    text[n] = '\0';
    helper_start(0, client);
    for (par_time start = par_now(); !atomic_load(&page->is_parked[0]) || !is_asleep((pid_t)atol(text)); sched_yield())
        if (par_since(start) > 10)
            find(BROKEN, "the client has %sbeen served, the server does not sleep", page->is_parked[0] ? "" : "not ");
    return (pid_t)atol(text);
}

static void
begin_call(int which)
{
    (void)which;
    atomic_store(&page->note[0], 1);
}

static void
check_server(void)
{
    begin_call(0);
    helper_join(0);
    expect(HUNG, par_list_append(list, par_int(1), soon()) == -1 && errno == EPIPE);
    par_list_free(list);
    par_manager_free(manager);
}

const struct op manager_ops[] = {
    { .group = "manager", .name = "manager_client", .setup = make, .act = append_one, .check = check_client, .stride = 3 },
    { .group = "manager",
      .name = "manager_server",
      .setup = make,
      .meanwhile = begin_call,
      .find = find_server,
      .check = check_server,
      .is_once = true },
    { .name = NULL },
};
