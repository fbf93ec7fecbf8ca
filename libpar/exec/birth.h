/* SPDX-License-Identifier: MIT
 *
 * birth.h: how a process comes to be one of the family, whatever the start method: what child.c, order.c and forkserver.c share.
 */
#ifndef PARI_BIRTH_H
#define PARI_BIRTH_H

#include "exec.h"

struct pari_birth { /* in the new process */
    int (*main)(void *arg);
    void *arg;
    pari_member member;
    int line; /* its end of a daemon's life line; -1 */
    bool is_service, is_group;
    int stdio[3];       /* 0: as it is */
    char **environment; /* NULL: as it is */
    struct pari_identity identity;
    void *drop[2]; /* private memory that is of use to the parent alone */
};

/* Join the family, run main(arg), leave with its result. What cannot be done is told by the errno as exit code. */
_Noreturn void pari_child_live(const struct pari_birth *birth);

/* ---- order.c: what a process has to know that is no copy of its parent. It lies in the arena and is the new member's. */

struct pari_order {
    struct pari_code main;
    void *arg; /* NULL, in the arena, or the copy behind this */
    pari_member member, parent;
    pid_t parent_pid;
    int method, log_level; /* the parent's, which are the child's */
    bool is_service, is_daemon, is_group;
    unsigned stdio[3]; /* which of the descriptors is that one, plus 1; 0: none */
    unsigned n_env;    /* lines at `env`, one behind the other */
    unsigned n_fd;
    int fd[PARI_MAX_PASS]; /* as the parent numbers them; a daemon's life line is the last */
    par_conn *end[PARI_MAX_PASS];
    const char *name, *numbers, *parent_name, *env; /* behind this */
};

/* A pointer without a size, for a process that is no fork: NULL or into the arena, or -1, said: EINVAL. */
int pari_travels(const void *p);

/* NULL, partly said: EINVAL (the argument cannot travel, no function), ENOTSUP (no build id), ENOSPC. */
struct pari_order *pari_order_new(int (*main)(void *arg), const void *arg, const struct pari_child_opts *opts,
                                  const struct pari_birth *birth);

/* The same program, executed by a child of this process: its pid, -1 EAGAIN, ENOMEM. */
pid_t pari_order_exec(const struct pari_order *order);

/* In a new process: do as it says, with the descriptors under their numbers here; NULL: they are as it says. The order is read only
 * once the member is claimed: else it may be another one's by now. */
_Noreturn void pari_order_obey(const struct pari_order *order, pari_member member, unsigned attempt, const int *fd);

#define PARI_ORDER_SIZE ((sizeof(struct pari_order) + PARI_CACHE_LINE - 1) / PARI_CACHE_LINE * PARI_CACHE_LINE)

/* ---- forkserver.c */

/* Let this process's server, which is started if need be, fork a child for the order. -1: EAGAIN, ENOMEM, EMFILE, ...; then there is
 * none. Sets pid, pidfd and foster. */
int pari_forkserver_fork(struct pari_order *order, struct pari_child *child);

/* ---- method.c */

int pari_method(int asked);           /* PAR_FORK ...; -1, said: EINVAL, ENOTSUP */
void pari_method_allow(void);         /* spawn and forkserver */
void pari_method_inherit(int method); /* in a new process: its standard */

#endif
