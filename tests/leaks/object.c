/* SPDX-License-Identifier: MIT
 *
 * object.c: dynamic values of each kind, each copied, compared, printed, and pickled through one pipe.
 */
#include "leaks.h"

#include <stdlib.h>

static par_conn *end[2];

static void
open_pipe(void)
{
    must(par_pipe(end, NULL) == 0);
}

static void
close_pipe(void)
{
    par_conn_free(end[0]);
    par_conn_free(end[1]);
}

/* Takes the value over. */
static void
use(par_obj *value)
{
    par_obj *copy = par_obj_copy(value), *back;
    char *text = par_obj_repr(value);

    must(copy != NULL && text != NULL && par_obj_equal(value, copy));
    must(par_conn_send_obj(end[1], copy, soon()) == 0);
    must((back = par_conn_recv_obj(end[0], soon())) != NULL);
    must(par_obj_equal(value, back));
    free(text);
    par_obj_free(value);
    par_obj_free(back);
}

static void
cycle_none(void)
{
    use(par_none());
}

static void
cycle_bool(void)
{
    use(par_bool(true));
}

static void
cycle_int(void)
{
    use(par_int(1234567890123));
}

static void
cycle_float(void)
{
    use(par_float(1.5));
}

static void
cycle_str(void)
{
    use(par_str("a text of some length, so that it is memory of its own"));
}

static void
cycle_bytes(void)
{
    use(par_bytes("\0\1\2", 3));
}

static void
cycle_list(void)
{
    par_obj *list = par_obj_list();

    must(list != NULL);
    for (int i = 0; i < 10; i++)
        must(par_obj_append(list, par_int(i)) == 0);
    use(list);
}

static void
cycle_tuple(void)
{
    use(par_tuple(par_int(1), par_str("two"), par_tuple(par_float(3.0))));
}

static void
cycle_dict(void)
{
    par_obj *dict = par_obj_dict();

    must(dict != NULL);
    for (int i = 0; i < 10; i++)
        must(par_obj_set(dict, par_int(i % 8), par_str("value")) == 0);
    use(dict);
}

const struct subject object_subjects[] = {
    { "none", open_pipe, cycle_none, close_pipe }, { "bool", open_pipe, cycle_bool, close_pipe },
    { "int", open_pipe, cycle_int, close_pipe },   { "float", open_pipe, cycle_float, close_pipe },
    { "str", open_pipe, cycle_str, close_pipe },   { "bytes", open_pipe, cycle_bytes, close_pipe },
    { "list", open_pipe, cycle_list, close_pipe }, { "tuple", open_pipe, cycle_tuple, close_pipe },
    { "dict", open_pipe, cycle_dict, close_pipe }, { NULL, NULL, NULL, NULL },
};
