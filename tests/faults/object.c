/* SPDX-License-Identifier: MIT
 *
 * object.c: dynamic values: made, copied, printed. Their pickles are tried where they travel: channel.c, manager.c.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

static par_obj *made, *other;

static void
release(void)
{
    par_obj_free(made);
    par_obj_free(other);
    made = other = NULL;
}

static int
build(void)
{
    other = NULL;
    made = par_obj_list();
    for (int i = 0; i < 10; i++)
        if (par_obj_append(made, par_tuple(par_int(i), par_str("item"), par_bytes("abc", 3))) != 0)
            goto fail;
    other = par_obj_dict();
    for (int i = 0; i < 10; i++)
        if (par_obj_set(other, par_int(i), par_float(i)) != 0)
            goto fail;
    if (par_obj_set(other, par_str("list"), made) != 0) { /* taken over, also when it fails */
        made = NULL;
        goto fail;
    }
    made = NULL;
    return 0;
fail:
    par_obj_free(made);
    par_obj_free(other);
    made = other = NULL;
    return -1;
}

static void
build_quietly(void)
{
    expect_ready(build() == 0);
}

static int
copy(void)
{
    made = par_obj_copy(other);
    if (made == NULL)
        return -1;
    expect(par_obj_equal(made, other));
    par_obj_free(made);
    made = NULL;
    return 0;
}

static int
repr(void)
{
    char *text = par_obj_repr(other);

    if (text == NULL)
        return -1;
    expect(strncmp(text, "{0: 0.0, 1: 1.0", 15) == 0);
    free(text);
    return 0;
}

static int
print(void)
{
    static FILE *null;

    if (null == NULL)
        QUIETLY(null = fopen("/dev/null", "w"));
    expect_ready(null != NULL);
    return par_obj_print(other, null);
}

#define GROUP .group = "object", .errors = ERRORS(ENOMEM)

const struct op object_ops[] = {
    { GROUP, .name = "obj_build", .act = build, .undo = release },
    { GROUP, .name = "obj_copy", .setup = build_quietly, .act = copy },
    { GROUP, .name = "obj_repr", .setup = build_quietly, .act = repr },
    { GROUP, .name = "obj_print", .setup = build_quietly, .act = print },
    { .name = NULL },
};
