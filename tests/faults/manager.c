/* SPDX-License-Identifier: MIT
 *
 * manager.c: a manager's start, calls and end; faults in the client, and faults in the server.
 */
#include "faults.h"

#include <stdio.h>

static par_manager *m;
static par_list *list;
static par_dict *dict;

static int
start(void)
{
    return (m = par_manager_start(NULL)) != NULL ? 0 : -1;
}

static void
stop(void)
{
    par_manager_free(m);
    m = NULL;
}

static void
make(void)
{
    expect_ready(start() == 0 && (list = par_manager_list(m, soon())) != NULL && (dict = par_manager_dict(m, soon())) != NULL);
}

static int
new_list(void)
{
    return (list = par_manager_list(m, soon())) != NULL ? 0 : -1;
}

static void
drop_list(void)
{
    par_list_free(list);
}

static void
make_manager(void)
{
    expect_ready(start() == 0);
}

/* What the server took, and could not tell for want of memory here, ends with it. */
static int
keep(void)
{
    int *number;
    par_queue *queue;
    int result, error;

    QUIETLY(expect_ready(start() == 0));
    number = par_manager_value(m, int, soon());
    queue = number != NULL ? par_manager_queue(m, &(par_queue_opts){ .capacity = 4096 }, soon()) : NULL;
    result = queue != NULL ? 0 : -1;
    error = errno;
    QUIETLY({
        expect(number == NULL || par_manager_release(m, number, soon()) == 0);
        expect(queue == NULL || par_manager_release(m, queue, soon()) == 0);
        stop();
    });
    errno = error;
    return result;
}

static int
append(void)
{
    return par_list_append(list, par_str("value"), soon());
}

static int
get(void)
{
    par_obj *o;

    QUIETLY(expect_ready(append() == 0));
    o = par_list_get(list, -1, soon());
    if (o == NULL)
        return -1;
    expect(par_obj_len(o) == 5);
    par_obj_free(o);
    return 0;
}

static int
print(void)
{
    static FILE *null;

    if (null == NULL)
        QUIETLY(null = fopen("/dev/null", "w"));
    expect_ready(null != NULL);
    return par_list_print(list, null, soon());
}

static int
use_dict(void)
{
    par_obj *o;

    if (par_dict_set(dict, par_str("key"), par_int(5), soon()) != 0 || par_dict_add(dict, par_str("key"), 2, soon()) != 0)
        return -1;
    o = par_dict_get(dict, par_str("key"), soon());
    if (o == NULL)
        return -1;
    expect(par_obj_as_int(o, 0) == 7);
    par_obj_free(o);
    return par_dict_contains(dict, par_str("none"), soon()) == 0 ? 0 : -1;
}

/* A life with a server in distress: each call is done or says why; whoever asks again is served, unless the server never began. */
static int
live(void)
{
    par_obj *o = NULL;
    int result = -1, error;

    par_time deadline = point->is_persistent ? par_in(1) : soon(); /* a server that can never accept is waited for */

    if (start() != 0)
        return -1;
    list = par_manager_list(m, deadline);
    if (list != NULL && par_list_append(list, par_str("value"), deadline) == 0 && (o = par_list_copy(list, deadline)) != NULL)
        result = 0;
    error = errno;
    expect(result != 0 || par_obj_len(o) == 1);
    par_obj_free(o);
    par_list_free(list);
    QUIETLY(stop());
    errno = error;
    return result;
}

/* It ends, whether it could be asked or not. */
static int
end(void)
{
    QUIETLY(expect_ready(start() == 0));
    stop();
    return 0;
}

#define GROUP .group = "manager"
#define START_ERRORS ERRORS(EADDRINUSE, EAGAIN, ENOSPC, ENOMEM, EMFILE, ENFILE)
#define CALL_ERRORS ERRORS(ENOMEM, EPIPE, EMFILE, ENFILE, EAGAIN, ENOSPC)
#define LIFE_ERRORS ERRORS(ENOMEM, EPIPE, EMFILE, ENFILE, EAGAIN, ENOSPC, EADDRINUSE, ETIMEDOUT)

const struct op manager_ops[] = {
    { GROUP, .name = "manager_start", .act = start, .undo = stop, .errors = START_ERRORS, .is_cold = true },
    { GROUP, .name = "manager_free", .act = end, .errors = ERRORS(0), .is_slow = true },
    { GROUP, .name = "manager_list", .setup = make_manager, .act = new_list, .undo = drop_list, .errors = CALL_ERRORS },
    { GROUP, .name = "manager_keep", .act = keep, .errors = CALL_ERRORS },
    { GROUP, .name = "list_append", .setup = make, .act = append, .errors = CALL_ERRORS },
    { GROUP, .name = "list_get", .setup = make, .act = get, .errors = CALL_ERRORS },
    { GROUP, .name = "list_print", .setup = make, .act = print, .errors = CALL_ERRORS },
    { GROUP, .name = "dict", .setup = make, .act = use_dict, .errors = CALL_ERRORS },
    { GROUP, .name = "life_in_client", .act = live, .errors = LIFE_ERRORS },
    { GROUP, .name = "life_in_server", .act = live, .errors = LIFE_ERRORS, .where = IN_CHILDREN },
    { .name = NULL },
};
