/* SPDX-License-Identifier: MIT
 *
 * proxy.h: what list and dict proxies have in common: a handle that names an object of a server.
 */
#ifndef PARI_PROXY_H
#define PARI_PROXY_H

#include <par/manager.h>

#include "client.h"
#include "store.h"

/* Written once, before it is given out. */
struct pari_proxy {
    struct pari_handle handle;
    struct pari_server server;
    char ident[PARI_IDENT_SIZE];
};

/* The server of a manager (manager.c). -1 EINVAL: no manager. */
int pari_manager_server(const par_manager *manager, struct pari_server *server);

/* Make an object in the manager's server, and a handle of `size` bytes for it. `args`, a tuple, is taken over: the type ("list",
 * "dict"), and what that wants. */
void *pari_proxy_new(par_manager *manager, par_obj *args, enum pari_kind kind, size_t size, par_time deadline);
void pari_proxy_free(void *proxy, enum pari_kind kind);

/* A value that names the object, a record of this class (store.h); and a new handle to the one that a value names. */
par_obj *pari_proxy_value(const void *proxy, enum pari_kind kind, const char *class);
void *pari_proxy_of(par_manager *manager, const par_obj *value, const char *class, enum pari_kind kind, size_t size,
                    par_time deadline);

/* Call a method of the object: its result, or NULL and errno. `args` is a tuple and is taken
 * over; NULL: making it has failed, with errno. */
par_obj *pari_proxy_get(const void *proxy, enum pari_kind kind, const char *method, par_obj *args, par_time deadline);
int pari_proxy_do(const void *proxy, enum pari_kind kind, const char *method, par_obj *args, par_time deadline); /* no result */
/* The same for a method that can fail in the server for want of memory alone, with these arguments if they can be kept there, which is
 * looked at here: it need not have been carried out yet, but will be before anything else that is asked of the server from now on. */
int pari_proxy_post(const void *proxy, enum pari_kind kind, const char *method, par_obj *args, par_time deadline);
ssize_t pari_proxy_count(const void *proxy, enum pari_kind kind, const char *method, par_obj *args, par_time deadline);

/* Its text and a newline. */
int pari_proxy_print(const void *proxy, enum pari_kind kind, FILE *file, par_time deadline);

#endif
