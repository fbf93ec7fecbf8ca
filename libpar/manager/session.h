/* SPDX-License-Identifier: MIT
 *
 * session.h: one client, as the server sees it: its socket, its mailbox, the message that comes in and the answer that goes out.
 */
#ifndef PARI_SESSION_H
#define PARI_SESSION_H

#include "backlog.h"

struct pari_session {
    struct pari_session *next, **back; /* the server's list */
    bool is_hot;                       /* the server looks into its mailbox */
    int fd, watched;
    bool calls_objects; /* not yet: its next request is for the server itself, and its last */
    bool is_last;       /* to be closed once the answer has gone out */
    struct pari_inbox in;
    struct pari_buffer out;
    size_t sent;
    struct pari_mailbox *box; /* or NULL */
};

/* What all sessions have in common. */
struct pari_host {
    int epoll;
    struct pari_service service;
    struct pari_backlog backlog;
    bool has_served; /* set by each answer */
};

/* NULL, and the descriptor closed: there is no room. */
struct pari_session *pari_session_new(struct pari_host *host, int fd);
void pari_session_free(struct pari_session *session, struct pari_host *host); /* what it has posted is carried out */

/* Its socket is ready: send what is left, receive once, answer what has arrived in full. -1: free it. */
int pari_session_turn(struct pari_session *session, struct pari_host *host);

/* Answer what is in its mailbox. 1: a request was; 0: none; -1: free it. */
int pari_session_mail(struct pari_session *session, struct pari_host *host);

#endif
