/* SPDX-License-Identifier: MIT
 *
 * exec.h: what the files of this floor and the manager share: a child process as such (child.c), and who this process is to its
 * family (identity.c). par_process, the workers of a pool and the manager's server are all children.
 */
#ifndef PARI_EXEC_H
#define PARI_EXEC_H

#include <par/log.h>
#include <par/process.h>

#include "../shm/shm.h"

/* A child of this process. Private to it (never in the arena); in a forked child nothing may be done with it.
 * pid, member and pidfd do not change after start. exit and error may be read once poll returned 1 or wait returned 0. */
struct pari_child {
    struct pari_child *next; /* in the list of the dropped */
    pari_member member;      /* its slot; swept and released when its end is found */
    pid_t pid;
    int pidfd;          /* open until drop; -1: the kernel has none, or there was no descriptor to be had */
    int lifeline;       /* a daemon's: our end; -1 */
    pari_member foster; /* a forkserver's child: who reaps it and tells its end; 0: we do. This process itself: nobody does */
    int exit;           /* 0..255, -signal, or PAR_EXIT_UNKNOWN: somebody else took it, or main never ran */
    int error;          /* errno: why main never ran; 0 = it ran */
    bool is_ended, is_group;
};

struct pari_child_opts {
    const int *keep;        /* tracked descriptors that stay open in the child */
    unsigned n_keep;        /* at most PARI_MAX_KEEP */
    par_conn *const *ends;  /* the ends of pipes that they belong to, NULL for others; or NULL */
    int method;             /* PAR_FORK ...; 0: PAR_FORK */
    size_t arg_size;        /* not PAR_FORK: main gets a copy of so many bytes; 0: the pointer, into the arena or NULL */
    pari_member member;     /* reserved by the caller (who gives it things before the fork); 0: start reserves one */
    const char *name;       /* par_process_name(par_process_current()) in the child, private memory; NULL: its parent's */
    const char *identity;   /* "1:2", the prefix of its children's default names; NULL: its parent's */
    bool is_daemon;         /* killed when this process is gone, also when it makes no call */
    bool is_service;        /* pool and manager: default dispositions, empty mask, SIGINT ignored, stdin = /dev/null */
    void *drop;             /* private memory that is of use to the parent alone: the child frees its copy; NULL */
    const char *const *env; /* lines "NAME=value", and "NAME" of variables that it has not; NULL ends them; or NULL */
    int stdio[3];           /* its standard descriptors, as this process numbers them; 0: this process's own */
    bool is_group;          /* it leads a process group, which ends with it */
};

#define PARI_MAX_KEEP 16

/* Flush stdout and stderr, start a process by the method, and run main(arg) in the child, which leaves with main's result & 255 after
 * flushing its own stdout and stderr. The child is a member of the family before main runs. `arg` and the strings of `opts` are needed until
 * start returns. NULL: EAGAIN (no process or slot to be had), ENOMEM, ENOSPC, EMFILE, and those of pari_order_new;
 * nothing is left then, also opts->member is released. */
struct pari_child *pari_child_start(int (*main)(void *arg), void *arg, const struct pari_child_opts *opts);

/* All of these may be called by several threads at a time, but for drop. */
int pari_child_poll(struct pari_child *child);                    /* 1: it has ended and is reaped; 0: it runs */
int pari_child_wait(struct pari_child *child, par_time deadline); /* 0: ended; -1 ETIMEDOUT, EINTR (par_interrupt) */
int pari_child_kill(struct pari_child *child, int signal);        /* never hits another process; ended already is 0; -1 EPERM */

/* Close and free. A child that still runs is reaped by a later call of the library; a daemon's life line stays. NULL is fine.
 * */
void pari_child_drop(struct pari_child *child);

/* Reap the dropped that have ended meanwhile; every start does it. */
void pari_child_reap_dropped(void);

/* ---- finalizer.c */

void pari_finalize(void); /* call what this process has registered, the last first */

/* ---- identity.c: private to this process, inherited by fork */

struct pari_identity {
    const char *name;        /* "MainProcess" in the first process */
    const char *numbers;     /* "" there, "1:2" in the second child of the first child */
    const char *parent_name; /* NULL: no parent that counts (the first process, a guest) */
    pari_member parent;      /* 0 then */
    pid_t parent_pid;
};

const struct pari_identity *pari_identity(void);

/* In a child, once it is born: it is called so from now on. The strings must be private memory that nobody frees. */
void pari_identity_set(const struct pari_identity *identity);

/* The numbers of the next child of this process, "1:3" say; free() it. NULL: ENOMEM. */
char *pari_identity_next(void);

#endif
