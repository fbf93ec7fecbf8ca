/* SPDX-License-Identifier: MIT
 *
 * store.c: objects by name. A name is the object's place in an array and how often that place has been used, so that looking up is
 * one step and checks itself.
 */
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define FIRST_CAPACITY 16

static int
grow(struct pari_store *store)
{
    size_t capacity = store->capacity == 0 ? FIRST_CAPACITY : store->capacity * 2, size;
    struct pari_object *object;

    if (!pari_mul(capacity, sizeof *object, &size) || capacity > UINT32_MAX)
        return pari_fail(ENOMEM);
    object = pari_realloc(store->object, size);
    if (object == NULL)
        return -1;
    store->object = object;
    store->capacity = capacity;
    return 0;
}

/* A free place, one of a dropped object first. NULL: ENOMEM. */
static struct pari_object *
take_place(struct pari_store *store)
{
    struct pari_object *object;

    if (store->first_free != 0) {
        object = &store->object[store->first_free - 1];
        store->first_free = object->next_free;
        return object;
    }
    if (store->n_places == store->capacity && grow(store) != 0)
        return NULL;
    object = &store->object[store->n_places++];
    *object = (struct pari_object){ 0 };
    return object;
}

int
pari_store_add(struct pari_store *store, par_obj *value, char ident[PARI_IDENT_SIZE])
{
    struct pari_object *object = take_place(store);

    if (object == NULL) {
        par_obj_free(value);
        return -1;
    }
    object->value = value;
    object->references = 1;
    object->generation++;
    store->n++;
    (void)snprintf(ident, PARI_IDENT_SIZE, "%" PRIx64, (uint64_t)object->generation << 32 | (uint64_t)(object - store->object));
    return 0;
}

struct pari_object *
pari_store_find(struct pari_store *store, const char *ident)
{
    char *end;
    uint64_t name = strtoull(ident, &end, 16);
    struct pari_object *object;

    if (*end != '\0' || (uint32_t)name >= store->n_places)
        return NULL;
    object = &store->object[(uint32_t)name];
    return object->value != NULL && object->generation == name >> 32 ? object : NULL;
}

void
pari_store_release(struct pari_store *store, struct pari_object *object)
{
    if (--object->references > 0)
        return;
    par_obj_free(object->value);
    object->value = NULL;
    object->next_free = store->first_free;
    store->first_free = (size_t)(object - store->object) + 1;
    store->n--;
}
