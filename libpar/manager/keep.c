/* SPDX-License-Identifier: MIT
 *
 * keep.c: giving queues and blocks of shared memory to a manager's server, and naming them.
 *
 * Until the server has taken it, it is this process's block, and swept with it. Where this process does not hear whether it was taken, it
 * withdraws its offer; if that comes too late, it ends its use of it.
 */
#include <par/shared.h>

#include "../channel/queue.h"
#include "../object/object.h"
#include "kept.h"
#include "proxy.h"

#include <errno.h>

static par_obj *
address_of(const void *kept)
{
    return par_int((int64_t)(intptr_t)kept);
}

static par_obj *
control(const par_manager *manager, const char *method, par_obj *args, par_time deadline)
{
    struct pari_server server;

    if (pari_manager_server(manager, &server) == 0)
        return pari_client_control(&server, method, args, deadline);
    par_obj_free(args);
    return NULL;
}

/* Give the server a block of this process's. False: it has not got it, or drops it again. */
static bool
give(par_manager *manager, const char *type, void *block, void (*drop)(void *block), par_time deadline)
{
    static _Atomic uint64_t n_offers;
    uint64_t offer = atomic_fetch_add(&n_offers, 1) + 1;
    struct pari_server server;
    par_obj *reply;
    int error;

    if (pari_manager_server(manager, &server) != 0) {
        drop(block);
        return false;
    }
    pari_heap_offer(block, offer);
    reply =
        pari_client_control(&server, "create", par_tuple(par_str(type), address_of(block), par_int((int64_t)offer)), deadline);
    error = errno;
    par_obj_free(reply);
    if (reply != NULL)
        return true;
    if (pari_heap_withdraw(block, offer))
        drop(block);
    else if (error == EPIPE && pari_member_is_dead(server.member))
        drop(block); /* it was taken by one that has died since, and nobody else knows of it */
    else
        pari_client_tell(&server, "release", par_tuple(address_of(block), par_int((int64_t)offer))); /* taken, unheard */
    errno = error;
    return false;
}

static void
drop_queue(void *queue)
{
    pari_queue_inherit(queue); /* the server may have been its maker for a while */
    par_queue_free(queue);
}

par_queue *
par_manager_queue(par_manager *manager, const par_queue_opts *opts, par_time deadline)
{
    par_queue *queue = pari_queue_make(opts);

    return queue != NULL && give(manager, PARI_KEPT_QUEUE, queue, drop_queue, deadline) ? queue : NULL;
}

void *
par_manager_shared(par_manager *manager, size_t n, size_t size, par_time deadline)
{
    void *block = size == 0 ? pari_null(EINVAL) : pari_heap_alloc(n, size, pari_self());

    return block != NULL && give(manager, PARI_KEPT_SHARED, block, par_shared_free, deadline) ? block : NULL;
}

int
par_manager_release(par_manager *manager, const void *kept, par_time deadline)
{
    par_obj *reply = control(manager, "release", par_tuple(address_of(kept)), deadline);

    par_obj_free(reply);
    return reply != NULL ? 0 : -1;
}

par_obj *
par_manager_name(par_manager *manager, const void *kept, par_time deadline)
{
    par_obj *ident = control(manager, "name", par_tuple(address_of(kept)), deadline);

    return ident != NULL ? pari_obj_record(PARI_TYPED_CLASS, par_tuple(ident)) : NULL;
}

static void *
find(par_manager *manager, const char *type, const par_obj *value, par_time deadline)
{
    const char *ident = pari_proxy_ident(value, PARI_TYPED_CLASS);
    par_obj *reply;
    void *kept;

    if (ident == NULL)
        return pari_null(EINVAL);
    reply = control(manager, "incref", par_tuple(par_str(ident), par_str(type)), deadline);
    if (reply == NULL)
        return NULL;
    kept = (void *)(intptr_t)par_obj_as_int(reply, 0);
    par_obj_free(reply);
    return pari_heap_is_block(kept) ? kept : pari_null(EBADMSG);
}

par_queue *
par_manager_queue_of(par_manager *manager, const par_obj *value, par_time deadline)
{
    return find(manager, PARI_KEPT_QUEUE, value, deadline);
}

void *
par_manager_shared_of(par_manager *manager, const par_obj *value, par_time deadline)
{
    return find(manager, PARI_KEPT_SHARED, value, deadline);
}
