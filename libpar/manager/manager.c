/* SPDX-License-Identifier: MIT
 *
 * manager.c: starting and ending a manager's server.
 *
 * Shared state: the handle, written once before it is given out. Only its creator frees it.
 * Private state: the list of server processes that this process has started, under the private lock. A forked child inherits it and
 * finds nothing in it: it is asked for by servers whose handles are the parent's.
 * If the server dies here: its clients get EPIPE; what is left of it is reaped by free. If the owner dies: the server is killed by
 * its life line.
 */
#include "../exec/exec.h"
#include "kept.h"
#include "proxy.h"
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 1.0 /* seconds for each of: to end when asked, by SIGTERM, by SIGKILL */

struct par_manager {
    struct pari_handle handle;
    struct pari_server server;
};

struct started {
    struct started *next;
    struct pari_child *child;
};

static struct started *started;

/* ---- the servers of this process */

static void
remember(struct started *s)
{
    pari_private_lock();
    s->next = started;
    started = s;
    pari_private_unlock();
}

/* The child is the caller's from now on; NULL: another thread was faster. */
static struct pari_child *
take_child(pari_member server)
{
    struct started **at = &started, *found;
    struct pari_child *child;

    pari_private_lock();
    while (*at != NULL && (*at)->child->member != server)
        at = &(*at)->next;
    found = *at;
    if (found != NULL)
        *at = found->next;
    pari_private_unlock();
    child = found != NULL ? found->child : NULL;
    free(found);
    return child;
}

/* ---- start */

static int
choose_address(char address[PARI_ADDRESS_SIZE], const par_manager_opts *opts)
{
    address[0] = '\0';
    if (opts == NULL || opts->address == NULL)
        return 0;
    if (!pari_address_is_valid(opts->address))
        return pari_fail(EINVAL);
    (void)strcpy(address, opts->address); /* a valid one fits */
    return 0;
}

static int
check_types(const par_manager_type *types)
{
    static const char *const taken[] = { "list", "dict", PARI_KEPT_QUEUE, PARI_KEPT_SHARED };

    for (const par_manager_type *type = types; type != NULL && type->name != NULL; type++) {
        if (type->create == NULL || type->methods == NULL)
            return pari_fail(EINVAL);
        for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
            if (strcmp(type->name, taken[i]) == 0)
                return pari_fail(EINVAL);
    }
    return 0;
}

static struct pari_child *
start_server(char address[PARI_ADDRESS_SIZE], const par_manager_type *types)
{
    struct pari_server_start start = { .types = types };
    struct pari_server_sockets *sockets = &start.sockets;
    struct pari_child *child = NULL;
    int cancel = pari_cancel_off();

    if (pari_server_open(sockets, address) != 0)
        goto out;
    child = pari_child_start(pari_server_main, &start,
                             &(struct pari_child_opts){ .keep = (int[]){ sockets->listener, sockets->epoll },
                                                        .n_keep = 2,
                                                        .name = "Manager",
                                                        .is_daemon = true,
                                                        .is_service = true });
    pari_server_close(sockets);
out:
    pari_cancel_restore(cancel);
    return child;
}

par_manager *
par_manager_start(const par_manager_opts *opts)
{
    char address[PARI_ADDRESS_SIZE];
    const par_manager_type *types = opts != NULL ? opts->types : NULL;
    par_manager *manager;
    struct started *s;

    if (choose_address(address, opts) != 0 || check_types(types) != 0)
        return NULL;
    manager = pari_handle_new(PARI_MANAGER, sizeof *manager);
    s = manager != NULL ? pari_malloc(sizeof *s) : NULL;
    if (s == NULL || (s->child = start_server(address, types)) == NULL) {
        pari_handle_free(manager);
        free(s);
        return NULL;
    }
    manager->server.member = s->child->member;
    memcpy(manager->server.address, address, sizeof address);
    remember(s);
    par_log(PAR_LOG_INFO, "a manager serves at %s, pid %d", address, (int)s->child->pid);
    return manager;
}

/* ---- end */

static void
end_server(const struct pari_server *server, struct pari_child *child)
{
    par_obj_free(pari_client_control(server, "shutdown", par_obj_tuple(0, NULL), par_in(PATIENCE)));
    if (pari_child_wait(child, par_in(PATIENCE)) != 0) {
        (void)pari_child_kill(child, SIGTERM); /* whether it helps is seen by waiting */
        if (pari_child_wait(child, par_in(PATIENCE)) != 0) {
            (void)pari_child_kill(child, SIGKILL);
            (void)pari_child_wait(child, par_in(PATIENCE)); /* if not now, it is reaped later */
        }
    }
    pari_child_drop(child);
}

void
par_manager_free(par_manager *manager)
{
    int saved = errno;
    struct pari_child *child;

    if (manager != NULL && pari_handle_check_mine(manager, PARI_MANAGER) == 0) {
        child = take_child(manager->server.member);
        if (child != NULL) {
            end_server(&manager->server, child);
            pari_connection_end(manager->server.member);
            pari_handle_free(manager);
        }
    }
    errno = saved;
}

const char *
par_manager_address(const par_manager *manager)
{
    return pari_handle_check(manager, PARI_MANAGER) == 0 ? manager->server.address : NULL;
}

int
pari_manager_server(const par_manager *manager, struct pari_server *server)
{
    if (pari_handle_check(manager, PARI_MANAGER) != 0)
        return -1;
    *server = manager->server;
    return 0;
}
