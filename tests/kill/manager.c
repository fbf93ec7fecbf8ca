/* SPDX-License-Identifier: MIT
 *
 * manager.c: a client inside a call, and the server while it serves one.
 */
#include "kill.h"

#include "../../libpar/shm/shm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static par_manager *manager;
static par_list *list;
static par_dict *dict;

static void
make(void)
{
    manager = par_manager_start(NULL);
    expect_ready(manager != NULL);
    list = par_manager_list(manager, soon());
    expect_ready(list != NULL && par_list_len(list, soon()) == 0); /* the world's own link is there */
    leak_mark();
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
    leak_check_soon(0);
    par_list_free(list);
    par_manager_free(manager);
}

/* A list that nobody knows may stay in the server. */
static void
make_list(int which)
{
    par_list *mine = par_manager_list(manager, par_in(10));

    (void)which;
    (void)par_list_append(mine, par_int(1), par_in(10));
    par_list_free(mine);
}

static void
check_lists(void)
{
    expect(TORN, par_list_len(list, soon()) == 0);
    for (int i = 0; i < 2; i++) {
        par_list *another = par_manager_list(manager, soon());
        expect(HUNG, another != NULL && par_list_append(another, par_int(1), soon()) == 0);
        par_list_free(another);
    }
    leak_check_soon(2 * 512); /* handles that nobody knows */
    par_list_free(list);
    par_manager_free(manager);
}

/* A queue and a block that nobody knows may stay in the server's keeping. */
static void
keep_two(int which)
{
    par_queue *queue = par_manager_queue(manager, &(par_queue_opts){ .capacity = 4096 }, par_in(10));
    int *number = par_manager_value(manager, int, par_in(10));

    (void)which;
    (void)par_queue_put(queue, "", 1, par_in(10));
    (void)par_manager_release(manager, number, par_in(10));
    (void)par_manager_release(manager, queue, par_in(10));
}

static void
check_kept(void)
{
    par_queue *queue = par_manager_queue(manager, NULL, soon());
    char byte;

    expect(TORN, par_list_len(list, soon()) == 0);
    expect(HUNG, queue != NULL && par_queue_put(queue, "x", 1, soon()) == 0 && par_queue_get(queue, &byte, 1, soon()) == 1);
    expect(TORN, par_manager_release(manager, queue, soon()) == 0);
    par_list_free(list);
    par_manager_free(manager);
    leak_check_soon(0); /* whatever it kept ended with it */
}

static void
set_up_kept(void)
{
    leak_mark();
    manager = par_manager_start(NULL);
    expect_ready(manager != NULL);
    list = par_manager_list(manager, soon());
    expect_ready(list != NULL);
}

static void
set_up_dict(void)
{
    make();
    dict = par_manager_dict(manager, soon());
    expect_ready(dict != NULL);
    expect_ready(par_dict_set(dict, par_str("both"), par_int(0), soon()) == 0);
    leak_mark();
}

static void
change_dict(int which)
{
    (void)par_dict_set(dict, par_int(which), par_str("mine"), par_in(10));
    (void)par_dict_set(dict, par_str("both"), par_int(which + 1), par_in(10));
    par_obj_free(par_dict_get(dict, par_str("both"), par_in(10)));
}

static void
check_dict(void)
{
    ssize_t n = par_dict_len(dict, soon());
    par_obj *both;

    expect_done(n);
    expect(LOST, n >= 1 + has_ended(0) + has_ended(1) && n <= 3);
    both = par_dict_get(dict, par_str("both"), soon());
    expect(TORN, both != NULL && par_obj_as_int(both, -1) >= has_ended(0) && par_obj_as_int(both, -1) <= 2);
    par_obj_free(both);
    leak_check_soon(0);
    par_dict_free(dict);
    par_list_free(list);
    par_manager_free(manager);
}

/* ---- the owner dies: its server ends with it */

static void
set_up_owner(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* an orphan comes to the world */
    leak_mark();
}

static void
start_and_use(int which)
{
    par_manager *mine = par_manager_start(NULL);
    par_list *one = par_manager_list(mine, par_in(10));

    (void)which;
    (void)par_list_append(one, par_int(1), par_in(10));
    par_list_free(one);
    par_manager_free(mine);
}

static void
check_owner(void)
{
    par_time start = par_now();

    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        if (par_since(start) > PATIENCE)
            find(LEAKED, "a server stays");
        nap();
    }
    leak_check(1024); /* the handles of the manager and the list, which are the family's */
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
        nap();
    for (int n = 0; n < 2 && error == 0; n++)
        error = par_list_append(list, par_int(1), par_in(10)) == 0 && par_list_len(list, par_in(10)) > 0 ? 0 : errno;
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
    for (par_time start = par_now(); !atomic_load(&page->is_parked[0]) || !is_asleep((pid_t)atol(text)); nap())
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
    { .group = "manager", .name = "manager_list", .setup = make, .act = make_list, .check = check_lists, .stride = 11 },
    { .group = "manager", .name = "manager_keep", .setup = set_up_kept, .act = keep_two, .check = check_kept, .stride = 11 },
    { .group = "manager", .name = "manager_dict", .setup = set_up_dict, .act = change_dict, .check = check_dict, .stride = 11 },
    { .group = "manager",
      .name = "manager_owner",
      .setup = set_up_owner,
      .act = start_and_use,
      .check = check_owner,
      .stride = 11,
      .is_once = true },
    { .group = "manager",
      .name = "manager_server",
      .setup = make,
      .meanwhile = begin_call,
      .find = find_server,
      .check = check_server,
      .is_once = true },
    { .name = NULL },
};
