/* SPDX-License-Identifier: MIT
 *
 * client.h: asking a manager's server.
 */
#ifndef PARI_CLIENT_H
#define PARI_CLIENT_H

#include "connection.h"

/* Call a method of an object in the server, over the connection that this process keeps. `args` is a tuple and is taken over;
 * NULL: making it has failed, with errno. The result is the caller's. NULL and errno: see par/manager.h. */
par_obj *pari_client_ask(const struct pari_server *server, const char *ident, const char *method, par_obj *args,
                         par_time deadline);

/* The same for a method that has no result and cannot fail in the server, but for want of memory: if the request can be posted, the
 * server carries it out before it answers anybody's next request, and this returns at once. -1 and errno. */
int pari_client_post(const struct pari_server *server, const char *ident, const char *method, par_obj *args, par_time deadline);

/* Ask the server itself ("create", "shutdown", ...), over a connection of its own. */
par_obj *pari_client_control(const struct pari_server *server, const char *method, par_obj *args, par_time deadline);

/* The same, but neither wait for the server nor hear its answer; keeps errno. */
void pari_client_tell(const struct pari_server *server, const char *method, par_obj *args);

#endif
