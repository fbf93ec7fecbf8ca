/* SPDX-License-Identifier: MIT
 *
 * connection.h: a client's connections to manager servers.
 */
#ifndef PARI_CONNECTION_H
#define PARI_CONNECTION_H

#include "../object/pickle.h"
#include "../os/socket.h"
#include "../shm/shm.h"
#include "frame.h"
#include "mailbox.h"

/* A server, as every process of the family knows it: part of the manager's handle and of each proxy's. */
struct pari_server {
    pari_member member;
    char address[PARI_ADDRESS_SIZE];
};

/* A stream to a server: one message goes out, one comes back. All calls: -1 and EPIPE (the server is gone), ETIMEDOUT, EINTR,
 * ENOMEM, EBADMSG, ...; the link is of no use then and must be closed. */
struct pari_link {
    int fd;                 /* -1: not open */
    struct pari_buffer out; /* the message to send, its header included */
    struct pari_inbox in;
    struct pari_mailbox *box; /* NULL: the socket does it alone */
    bool is_taken;            /* the mailbox, by the server: it is used */
};

int pari_link_open(struct pari_link *link, const struct pari_server *server, par_time deadline);
int pari_link_send(struct pari_link *link, const struct pari_server *server, par_time deadline);
const unsigned char *pari_link_receive(struct pari_link *link, const struct pari_server *server, size_t *length,
                                       par_time deadline);
void pari_link_close(struct pari_link *link);

/* The connection of this process to a server that all its threads use, one at a time. */
struct pari_connection {
    struct pari_connection *next; /* these four: under the private lock */
    pari_member server;
    unsigned n_users;
    bool is_over; /* the last user closes and frees it */

    struct pari_mutex mutex; /* held by the thread that asks; over what follows */
    struct pari_link link;
};

/* This process's connection to the server, held by the calling thread; opened or not. NULL: ETIMEDOUT, EINTR, ENOMEM. */
struct pari_connection *pari_connection_hold(pari_member server, par_time deadline);
void pari_connection_let_go(struct pari_connection *connection); /* keeps errno */

/* The server is no more: close this process's connection as soon as no thread uses it. */
void pari_connection_end(pari_member server);

#endif
