/* SPDX-License-Identifier: MIT
 *
 * relatives.c: the handles that the library hands out by itself: this process's own, its parent's, its children's.
 */
#include <stdlib.h>

#include "process_list.h"

static struct pari_relative *
new_relative(enum pari_role role, const char *name, pari_member member, pid_t pid)
{
    struct pari_relative *relative = pari_malloc(sizeof *relative);

    if (relative == NULL)
        return NULL;
    *relative = (struct pari_relative){ .handle = pari_process_handle(name), .role = role, .member = member, .pid = pid };
    if (relative->handle == NULL) {
        free(relative);
        return NULL;
    }
    return relative;
}

/* This process's own handle or its parent's, made at the first call; both live as long as the process. */
static par_process *
handle_of(enum pari_role role, const char *name, pari_member member, pid_t pid)
{
    struct pari_relative *known = pari_relative_with(role), *fresh;

    if (known != NULL)
        return known->handle;
    fresh = new_relative(role, name, member, pid);
    if (fresh == NULL)
        return NULL;
    known = pari_relative_list_only(fresh);
    if (known == NULL)
        return fresh->handle;
    pari_handle_free(fresh->handle);
    free(fresh);
    return known->handle;
}

par_process *
par_process_current(void)
{
    pari_member me = pari_self();

    return me ? handle_of(PARI_ROLE_SELF, pari_identity()->name, me, pari_self_pid()) : NULL;
}

par_process *
par_process_parent(void)
{
    const struct pari_identity *me = pari_identity();

    return me->parent ? handle_of(PARI_ROLE_PARENT, me->parent_name, me->parent, me->parent_pid) : pari_null(ENOENT);
}

size_t
par_process_active_children(par_process **list, size_t max)
{
    struct pari_relative *relative;
    uint64_t serial = 0;
    size_t n = 0;

    pari_child_reap_dropped();
    while ((relative = pari_relative_next_child(serial)) != NULL) {
        serial = relative->serial;
        if (pari_child_poll(relative->child) == 0) {
            if (list != NULL && n < max)
                list[n] = relative->handle;
            n++;
        }
        pari_relative_let_go(relative);
    }
    return n;
}
