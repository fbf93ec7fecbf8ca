/* SPDX-License-Identifier: MIT
 *
 * kept.c: see kept.h.
 *
 * The client makes it as a block of its own, so that it is swept should the client die, and asks the server to take it; from then on it
 * is the family's, and the server frees it. Everybody uses it without the server.
 * If the server is killed: what it kept stays until the arena goes, since others may be using it.
 */
#include "kept.h"

#include "../channel/queue.h"

#include <par/shared.h>

#include <errno.h>
#include <string.h>

static const par_manager_method no_methods[] = { { NULL, NULL } };

static void
free_queue(void *queue)
{
    par_queue_free(queue);
}

static const par_manager_type types[] = {
    { .name = PARI_KEPT_QUEUE, .destroy = free_queue, .methods = no_methods },
    { .name = PARI_KEPT_SHARED, .destroy = par_shared_free, .methods = no_methods },
};

const par_manager_type *
pari_kept_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

bool
pari_kept_is(const struct pari_object *object)
{
    return object->type == &types[0] || object->type == &types[1];
}

void *
pari_kept_take(const par_manager_type *type, uintptr_t address, uint64_t offer, pid_t client)
{
    void *block = (void *)address; /* checked by the next lines */
    bool is_queue = type == &types[0];
    pari_member owner;

    if (client <= 0 || (is_queue ? pari_handle_check(block, PARI_QUEUE) != 0 : !pari_heap_is_block(block)))
        return pari_null(EINVAL);
    owner = pari_heap_owner(block);
    if (pari_member_pid(owner) != client || !pari_heap_adopt(block, owner, offer))
        return pari_null(EINVAL);
    if (is_queue)
        pari_queue_inherit(block);
    return block;
}
