/* SPDX-License-Identifier: MIT
 *
 * identity.c: who this process is to its family: its name, its number among its parent's children, its parent.
 *
 * Nothing here is shared: a child inherits the values by fork and then is given its own, before any user code runs in it. The
 * child of a plain fork() keeps the name, but has no parent that counts: libpar did not start it.
 */
#include "exec.h"

#include <stdio.h>
#include <stdlib.h>

static struct pari_identity me = { .name = "MainProcess", .numbers = "" };
static _Atomic unsigned n_named; /* children that were given a number */

const struct pari_identity *
pari_identity(void)
{
    return &me;
}

static void
forget_parent(void)
{
    me.parent_name = NULL;
    me.parent = 0;
    me.parent_pid = 0;
}

void
pari_identity_set(const struct pari_identity *identity)
{
    (void)pari_at_fork(forget_parent);
    me = *identity;
    atomic_store(&n_named, 0);
}

char *
pari_identity_next(void)
{
    unsigned number = atomic_fetch_add(&n_named, 1) + 1;
    int size = snprintf(NULL, 0, "%s:%u", me.numbers, number) + 1;
    char *numbers = pari_malloc((size_t)size);

    if (numbers != NULL)
        (void)snprintf(numbers, (size_t)size, "%s%s%u", me.numbers, *me.numbers ? ":" : "", number);
    return numbers;
}
