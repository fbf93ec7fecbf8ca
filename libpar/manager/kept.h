/* SPDX-License-Identifier: MIT
 *
 * kept.h: queues and blocks of shared memory in the server's keeping: the types that the server has without being told.
 */
#ifndef PARI_KEPT_H
#define PARI_KEPT_H

#include "store.h"

#define PARI_KEPT_QUEUE "queue"
#define PARI_KEPT_SHARED "shared"

const par_manager_type *pari_kept_type(const char *name); /* NULL: none of these */
bool pari_kept_is(const struct pari_object *object);

/* Take over what the client with this pid offers. NULL EINVAL: it is no such thing, not that client's, or no offer any more. */
void *pari_kept_take(const par_manager_type *type, uintptr_t address, uint64_t offer, pid_t client);

#endif
