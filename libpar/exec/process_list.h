/* SPDX-License-Identifier: MIT
 *
 * process_list.h: the handles of par_process that this process has: those of its children, its own, its parent's.
 */
#ifndef PARI_PROCESS_LIST_H
#define PARI_PROCESS_LIST_H

#include "exec.h"

struct par_process {
    struct pari_handle handle;
    char name[];
};

enum pari_role { PARI_ROLE_CHILD, PARI_ROLE_SELF, PARI_ROLE_PARENT };

/* What is behind a handle; private memory. All but the list's own fields is written before it is listed and never after. */
struct pari_relative {
    struct pari_relative *next; /* the list's */
    unsigned n_users;           /* the list's: the handle, and whoever walks the list */
    uint64_t serial;            /* the list's: ascending along it */
    par_process *handle;
    enum pari_role role;
    struct pari_child *child; /* PARI_ROLE_CHILD */
    pari_member member;       /* PARI_ROLE_PARENT */
    pid_t pid;
};

/* A new handle of that name; NULL: ENOSPC. */
par_process *pari_process_handle(const char *name);

void pari_relative_list(struct pari_relative *relative);

/* The same for a role that only one may have. NULL: it is listed; else another thread was quicker, and this is its relative. */
struct pari_relative *pari_relative_list_only(struct pari_relative *relative);

/* Take it off the list; it is freed, and its child dropped, once nobody walks over it any more. */
void pari_relative_forget(struct pari_relative *relative);

/* What is behind a handle of this process; NULL: EINVAL, EPERM. It stays as long as nobody frees the handle. */
struct pari_relative *pari_relative_of(const par_process *process);

struct pari_relative *pari_relative_with(enum pari_role role); /* the first; NULL: none */

/* The next child after that serial, which another thread may forget meanwhile: let it go. NULL: no more. */
struct pari_relative *pari_relative_next_child(uint64_t serial);
void pari_relative_let_go(struct pari_relative *relative);

#endif
