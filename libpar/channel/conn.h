/* SPDX-License-Identifier: MIT
 *
 * conn.h: how a pipe's end moves to a child (floor 3, for those who start processes), and what objects.c needs of it.
 *
 *     for each end: pari_conn_give_check(c)            all or nothing, the same end not twice
 *     for each end: keep[i] = pari_conn_fd(c); pari_conn_give(c, member)
 *     pari_fork(keep, n, ...)
 *       failed:     for each end: pari_conn_give_back(c)
 *       parent:     for each end: pari_conn_given(keep[i])
 *       child:      nothing: it owns the ends as soon as it is born into `member`
 *       child that is no fork:  pari_conn_settle(c, descriptor) for each end, before it is born
 */
#ifndef PARI_CONN_H
#define PARI_CONN_H

#include "../shm/shm.h"
#include <par/pipe.h>

/* 0: the calling process owns this end and it is open. -1: EINVAL, EPERM, EBADF. */
int pari_conn_give_check(const par_conn *c);

/* The descriptor that must stay open in the child. */
int pari_conn_fd(const par_conn *c);

/* Before the fork: the end belongs to `child`, a reserved member. From here on it is EPERM in this process. */
void pari_conn_give(par_conn *c, pari_member child);

/* In a child that is no fork: the end's descriptor has this number here. */
void pari_conn_settle(par_conn *c, int fd);

/* There was no fork: the end is this process's again. */
void pari_conn_give_back(par_conn *c);

/* In the parent after the fork: closes its copy of the descriptor. Takes what pari_conn_fd said before the fork, not the end:
 * the child may have freed that by now. */
void pari_conn_given(int fd);

/* What to sleep on until there may be a message of a receiving end, and the process whose death would be the end of the stream (0: this
 * one); then look. */
struct pari_word pari_conn_prepare(par_conn *c, pari_member *peer);
int pari_conn_check_receives(const par_conn *c); /* -1: EINVAL, EPERM, EBADF */

/* A copy of the next message, which stays: free() it. NULL with the errors of par_conn_recv_alloc. (For objects.c.) */
void *pari_conn_look(par_conn *c, size_t *size, par_time deadline);

#endif
