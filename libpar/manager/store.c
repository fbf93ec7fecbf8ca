/* SPDX-License-Identifier: MIT
 *
 * store.c: objects by name. A name is the object's place in an array and how often that place has been used, so that looking up is
 * one step and checks itself.
 */
#include "store.h"

#include "../object/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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

static void
give_back(struct pari_store *store, struct pari_object *object)
{
    object->next_free = store->first_free;
    store->first_free = (size_t)(object - store->object) + 1;
}

static bool
is_free(const struct pari_object *object)
{
    return object->value == NULL && object->type == NULL;
}

static void
begin_life(struct pari_store *store, struct pari_object *object, char ident[PARI_IDENT_SIZE])
{
    object->references = 1;
    object->generation++;
    store->n++;
    (void)snprintf(ident, PARI_IDENT_SIZE, "%" PRIx64, (uint64_t)object->generation << 32 | (uint64_t)(object - store->object));
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
    begin_life(store, object, ident);
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
    return !is_free(object) && object->generation == name >> 32 ? object : NULL;
}

/* ---- objects with a type, by what it has made */

static par_obj *
key_of(const void *state)
{
    return par_int((int64_t)(intptr_t)state);
}

const char *
pari_store_name(const struct pari_store *store, const void *state)
{
    par_obj *key = key_of(state);
    const par_obj *name = key != NULL && store->names != NULL ? pari_obj_dict_find(store->names, key) : NULL;

    par_obj_free(key);
    return name != NULL ? par_obj_as_str(name, NULL) : pari_null(ENOENT);
}

static int
remember_name(struct pari_store *store, const void *state, const char *ident)
{
    if (store->names == NULL)
        store->names = par_obj_dict();
    return par_obj_set(store->names, key_of(state), par_str(ident));
}

static void
forget_name(struct pari_store *store, const void *state)
{
    par_obj *key = key_of(state);

    if (key != NULL)
        (void)pari_obj_dict_del(store->names, key);
    par_obj_free(key);
}

static void
destroy(const par_manager_type *type, void *state)
{
    if (type->destroy != NULL)
        type->destroy(state);
}

static int
add_typed(struct pari_store *store, const par_manager_type *type, void *state, char ident[PARI_IDENT_SIZE])
{
    struct pari_object *object = take_place(store);

    if (object == NULL)
        return -1;
    begin_life(store, object, ident);
    if (remember_name(store, state, ident) != 0) {
        store->n--;
        give_back(store, object);
        return -1;
    }
    object->type = type;
    object->state = state;
    return 0;
}

int
pari_store_add_typed(struct pari_store *store, const par_manager_type *type, void *state, char ident[PARI_IDENT_SIZE])
{
    const char *name = pari_store_name(store, state);
    struct pari_object *object;

    if (name == NULL) {
        if (add_typed(store, type, state, ident) == 0)
            return 0;
        destroy(type, state);
        return pari_fail(ENOMEM);
    }
    object = pari_store_find(store, name);
    if (object->type != type || object->references == UINT32_MAX)
        return pari_fail(EEXIST);
    object->references++;
    (void)strcpy(ident, name); /* which was made for one of this size */
    return 0;
}

/* ---- the end of objects */

static void
end_life(struct pari_object *object)
{
    const par_manager_type *type = object->type;

    par_obj_free(object->value);
    object->value = NULL;
    object->type = NULL;
    if (type != NULL)
        destroy(type, object->state);
}

static void
drop(struct pari_store *store, struct pari_object *object)
{
    if (object->type != NULL)
        forget_name(store, object->state);
    end_life(object);
    store->n--;
    give_back(store, object);
}

void
pari_store_end(struct pari_store *store)
{
    for (size_t i = 0; i < store->n_places; i++)
        end_life(&store->object[i]);
    par_obj_free(store->names);
    free(store->object);
}

/* ---- objects that are named by the values of others */

const char *
pari_proxy_ident(const par_obj *value, const char *class)
{
    const char *name = par_obj_record_name(value);

    if (name == NULL || par_obj_len(value) != 1)
        return NULL;
    if (class != NULL
            ? strcmp(name, class) != 0
            : strcmp(name, PARI_LIST_CLASS) != 0 && strcmp(name, PARI_DICT_CLASS) != 0 && strcmp(name, PARI_TYPED_CLASS) != 0)
        return NULL;
    return par_obj_as_str(par_obj_item(value, 0), NULL);
}

/* Mark it and put it on the line of those whose values are to be looked at: its new head. */
static size_t
mark(struct pari_store *store, struct pari_object *object, size_t line)
{
    if (object == NULL || object->is_marked)
        return line;
    object->is_marked = true;
    object->next_free = line;
    return (size_t)(object - store->object) + 1;
}

/* Values are nested to a bounded depth, chains of objects are not: they go by the line. */
static size_t
mark_named(struct pari_store *store, const par_obj *value, size_t line)
{
    const char *ident = pari_proxy_ident(value, NULL);
    int type = par_obj_type(value);
    const par_obj *key, *item;
    size_t pos = 0;

    if (ident != NULL)
        return mark(store, pari_store_find(store, ident), line);
    if (type == PAR_DICT)
        while (par_obj_next(value, &pos, &key, &item))
            line = mark_named(store, item, line);
    else if (type == PAR_LIST || type == PAR_TUPLE)
        for (size_t i = 0; i < par_obj_len(value); i++)
            line = mark_named(store, par_obj_item(value, i), line);
    return line;
}

void
pari_store_collect(struct pari_store *store)
{
    size_t line = 0;

    for (size_t i = 0; i < store->n_places; i++)
        store->object[i].is_marked = is_free(&store->object[i]); /* free places are left alone */
    for (size_t i = 0; i < store->n_places; i++)
        if (store->object[i].references > 0)
            line = mark(store, &store->object[i], line);
    while (line != 0) {
        struct pari_object *object = &store->object[line - 1];
        line = mark_named(store, object->value, object->next_free);
    }
    store->n_held = 0;
    for (size_t i = 0; i < store->n_places; i++) {
        struct pari_object *object = &store->object[i];
        if (!object->is_marked)
            drop(store, object);
        else if (!is_free(object) && object->references == 0)
            store->n_held++;
    }
}

void
pari_store_release(struct pari_store *store, struct pari_object *object)
{
    if (object->references == 0 || --object->references > 0)
        return;
    if (store->may_nest)
        pari_store_collect(store);
    else
        drop(store, object);
}
