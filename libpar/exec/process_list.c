/* SPDX-License-Identifier: MIT
 *
 * process_list.c: the handles of par_process that this process has.
 *
 * Shared state: none. A handle lies in the arena so that it can be checked as every other one, but holds only what never
 * changes (its name); it is private to its process, so the sweep takes it after that one's death. All else is in private
 * memory, in the list of this process's handles. A forked child forgets its parent's list; the handles are EPERM there. Lock
 * order: the private lock guards the list, and is held for nothing else here. If a process dies here: its handles are swept
 * with its slot.
 */
#include "process_list.h"

#include <stdlib.h>
#include <string.h>

static struct pari_relative *first, *last;
static uint64_t n_serials;

static void
forget_all(void)
{
    while (first != NULL) {
        struct pari_relative *relative = first;
        first = relative->next;
        free(relative->child);
        free(relative);
    }
    last = NULL;
}

par_process *
pari_process_handle(const char *name)
{
    size_t size = strlen(name) + 1;
    par_process *process = pari_handle_new_private(PARI_PROCESS, sizeof *process + size);

    if (process != NULL)
        memcpy(process->name, name, size);
    return process;
}

static void
append_locked(struct pari_relative *relative)
{
    relative->n_users = 1;
    relative->serial = ++n_serials;
    if (last != NULL)
        last->next = relative;
    else
        first = relative;
    last = relative;
}

static struct pari_relative *
find_locked(enum pari_role role)
{
    struct pari_relative *relative = first;

    while (relative != NULL && relative->role != role)
        relative = relative->next;
    return relative;
}

void
pari_relative_list(struct pari_relative *relative)
{
    (void)pari_at_fork(forget_all);
    pari_private_lock();
    append_locked(relative);
    pari_private_unlock();
}

struct pari_relative *
pari_relative_list_only(struct pari_relative *relative)
{
    struct pari_relative *earlier;

    (void)pari_at_fork(forget_all);
    pari_private_lock();
    earlier = find_locked(relative->role);
    if (earlier == NULL)
        append_locked(relative);
    pari_private_unlock();
    return earlier;
}

static void
take_off(struct pari_relative *relative)
{
    struct pari_relative *before = NULL;

    pari_private_lock();
    for (struct pari_relative *r = first; r != NULL && r != relative; r = r->next)
        before = r;
    if (before != NULL)
        before->next = relative->next;
    else
        first = relative->next;
    if (last == relative)
        last = before;
    pari_private_unlock();
}

void
pari_relative_forget(struct pari_relative *relative)
{
    take_off(relative);
    pari_relative_let_go(relative);
}

struct pari_relative *
pari_relative_of(const par_process *process)
{
    struct pari_relative *relative;

    if (pari_handle_check_mine(process, PARI_PROCESS) != 0)
        return NULL;
    pari_private_lock();
    for (relative = first; relative != NULL && relative->handle != process; relative = relative->next)
        ;
    pari_private_unlock();
    return relative ? relative : pari_null(EPERM);
}

struct pari_relative *
pari_relative_with(enum pari_role role)
{
    struct pari_relative *relative;

    pari_private_lock();
    relative = find_locked(role);
    pari_private_unlock();
    return relative;
}

static bool
is_child_after(const struct pari_relative *relative, uint64_t serial)
{
    return relative->serial > serial && relative->role == PARI_ROLE_CHILD;
}

struct pari_relative *
pari_relative_next_child(uint64_t serial)
{
    struct pari_relative *relative;

    pari_private_lock();
    for (relative = first; relative != NULL && !is_child_after(relative, serial); relative = relative->next)
        ;
    if (relative != NULL)
        relative->n_users++;
    pari_private_unlock();
    return relative;
}

void
pari_relative_let_go(struct pari_relative *relative)
{
    bool is_last;

    pari_private_lock();
    is_last = --relative->n_users == 0;
    pari_private_unlock();
    if (is_last) {
        pari_child_drop(relative->child);
        free(relative);
    }
}
