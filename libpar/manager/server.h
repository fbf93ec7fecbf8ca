/* SPDX-License-Identifier: MIT
 *
 * server.h: the manager's server process.
 */
#ifndef PARI_SERVER_H
#define PARI_SERVER_H

#include <par/manager.h>

#include "connection.h"

/* What a server needs of the system: made in the parent, so that a failure is start's errno and clients can connect before the
 * server has run at all. */
struct pari_server_sockets {
    int listener, epoll;
};

struct pari_server_start {
    struct pari_server_sockets sockets;
    const par_manager_type *types; /* or NULL */
};

/* -1: EINVAL, EADDRINUSE, EMFILE, ...; nothing is left then. An empty address is replaced by a fresh one. */
int pari_server_open(struct pari_server_sockets *sockets, char address[PARI_ADDRESS_SIZE]);
void pari_server_close(struct pari_server_sockets *sockets); /* keeps errno */

/* The body of the server process: serves until it is told to end. `start` is a struct pari_server_start. Returns its exit
 * code. */
int pari_server_main(void *start);

#endif
