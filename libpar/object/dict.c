/* SPDX-License-Identifier: MIT
 *
 * dict.c: the pairs of a dict in the order in which their keys came, and an index over them.
 *
 * A deleted pair stays in the array without a key, so that the index needs no mark of its own for it: a search that meets its
 * slot goes on. When the array is full, the deleted ones are squeezed out, if they are at least half, or the array doubles. The
 * index has two slots for each place in the array, so a search always ends at a free one.
 */
#include "object.h"

#include <stdlib.h>
#include <string.h>

#define DICT_FIRST 8                       /* pairs; up to here a dict has no index and is searched from end to end */
#define DICT_MOST ((size_t)UINT32_MAX / 4) /* what the index can number */

/* What is looked for: an object, or text that is no object. */
struct probe {
    uint64_t hash;
    const par_obj *key;
    const char *text;
    size_t size;
};

static struct pari_dict *
dict_of(par_obj *obj)
{
    return (struct pari_dict *)obj;
}

/* 0, or -1: NULL is ENOMEM, another type EINVAL */
static int
check_dict(const par_obj *dict)
{
    if (!dict)
        return pari_fail(ENOMEM);
    return dict->type == PAR_DICT ? 0 : pari_fail(EINVAL);
}

static int
probe_init(struct probe *probe, const par_obj *key)
{
    *probe = (struct probe){ .key = key };
    if (!key)
        return pari_fail(ENOMEM);
    return pari_obj_hash(key, &probe->hash) ? 0 : pari_fail(EINVAL);
}

/* ---- search */

static bool
matches(const struct pari_pair *pair, const struct probe *probe)
{
    if (!pair->key || pair->hash != probe->hash)
        return false;
    if (probe->key)
        return par_obj_equal(pair->key, probe->key);
    return pair->key->type == PAR_STR && pair->key->size == probe->size &&
           memcmp(((const struct pari_text *)pair->key)->data, probe->text, probe->size) == 0;
}

static struct pari_pair *
dict_search(const struct pari_dict *dict, const struct probe *probe)
{
    size_t mask = 2 * dict->capacity - 1;
    uint32_t entry;

    if (!dict->index) {
        for (size_t i = 0; i < dict->n_pairs; i++) {
            if (matches(&dict->pair[i], probe))
                return &dict->pair[i];
        }
        return NULL;
    }
    for (size_t slot = probe->hash & mask; (entry = dict->index[slot]) != 0; slot = (slot + 1) & mask) {
        if (matches(&dict->pair[entry - 1], probe))
            return &dict->pair[entry - 1];
    }
    return NULL;
}

struct pari_pair *
pari_obj_dict_pair(const par_obj *dict, const par_obj *key)
{
    struct probe probe;

    if (check_dict(dict) != 0 || probe_init(&probe, key) != 0)
        return NULL;
    return dict_search((const struct pari_dict *)dict, &probe);
}

/* The pair of a key that must be there: ENOENT. */
static struct pari_pair *
dict_need(const par_obj *dict, const par_obj *key)
{
    struct probe probe;
    struct pari_pair *pair;

    if (check_dict(dict) != 0 || probe_init(&probe, key) != 0)
        return NULL;
    pair = dict_search((const struct pari_dict *)dict, &probe);
    return pair ? pair : pari_null(ENOENT);
}

const par_obj *
pari_obj_dict_find(const par_obj *dict, const par_obj *key)
{
    struct pari_pair *pair = dict_need(dict, key);

    return pair ? pair->value : NULL;
}

const par_obj *
par_obj_get(const par_obj *dict, const char *key)
{
    struct probe probe = { .text = key };
    struct pari_pair *pair;

    if (par_obj_type(dict) != PAR_DICT || !key)
        return NULL;
    probe.size = strlen(key);
    probe.hash = pari_hash_text(key, probe.size);
    pair = dict_search((const struct pari_dict *)dict, &probe);
    return pair ? pair->value : NULL;
}

bool
par_obj_next(const par_obj *dict, size_t *pos, const par_obj **key, const par_obj **value)
{
    const struct pari_dict *from = (const struct pari_dict *)dict;

    if (par_obj_type(dict) != PAR_DICT || !pos)
        return false;
    for (; *pos < from->n_pairs; ++*pos) {
        const struct pari_pair *pair = &from->pair[*pos];
        if (!pair->key)
            continue;
        if (key)
            *key = pair->key;
        if (value)
            *value = pair->value;
        ++*pos;
        return true;
    }
    return false;
}

/* ---- room */

static void
index_put(struct pari_dict *dict, size_t i)
{
    size_t mask = 2 * dict->capacity - 1, slot = dict->pair[i].hash & mask;

    if (!dict->index)
        return;
    while (dict->index[slot] != 0)
        slot = (slot + 1) & mask;
    dict->index[slot] = (uint32_t)(i + 1);
}

/* Squeeze the deleted pairs out and number the rest anew. */
static void
dict_squeeze(struct pari_dict *dict)
{
    size_t n = 0;

    if (dict->index)
        memset(dict->index, 0, 2 * dict->capacity * sizeof *dict->index);
    for (size_t i = 0; i < dict->n_pairs; i++) {
        if (!dict->pair[i].key)
            continue;
        dict->pair[n] = dict->pair[i];
        index_put(dict, n++);
    }
    dict->n_pairs = n;
}

static int
dict_grow(struct pari_dict *dict, size_t need)
{
    size_t capacity = dict->capacity ? dict->capacity : DICT_FIRST;
    struct pari_pair *pair;
    uint32_t *index = NULL;

    if (need > DICT_MOST)
        return pari_fail(ENOMEM);
    while (capacity < need)
        capacity *= 2;
    if (capacity > DICT_FIRST && !(index = pari_malloc(2 * capacity * sizeof *index)))
        return pari_fail(ENOMEM);
    pair = pari_realloc(dict->pair, capacity * sizeof *pair);
    if (!pair) {
        free(index);
        return pari_fail(ENOMEM);
    }
    free(dict->index);
    dict->index = index;
    dict->pair = pair;
    dict->capacity = capacity;
    dict_squeeze(dict);
    return 0;
}

/* Make room for so many more pairs. */
static int
dict_reserve(struct pari_dict *dict, size_t more)
{
    size_t need = dict->obj.size + more;

    if (more <= dict->capacity - dict->n_pairs)
        return 0;
    if (need <= dict->capacity / 2) {
        dict_squeeze(dict);
        return 0;
    }
    return dict_grow(dict, need > dict->capacity ? need : dict->capacity + 1);
}

/* Add a pair whose key is new; there is room. */
static void
dict_add(struct pari_dict *dict, const struct pari_pair *pair)
{
    dict->pair[dict->n_pairs] = *pair;
    index_put(dict, dict->n_pairs++);
    dict->obj.size++;
    pari_obj_adopt(&dict->obj, pair->key);
    pari_obj_adopt(&dict->obj, pair->value);
}

/* ---- change */

par_obj *
par_obj_dict(void)
{
    return pari_obj_new(PAR_DICT, sizeof(struct pari_dict));
}

void
pari_obj_dict_free(par_obj *obj)
{
    struct pari_dict *dict = dict_of(obj);

    for (size_t i = 0; i < dict->n_pairs; i++) {
        pari_obj_drop(dict->pair[i].key);
        pari_obj_drop(dict->pair[i].value);
    }
    free(dict->pair);
    free(dict->index);
    *dict = (struct pari_dict){ .obj = dict->obj };
    dict->obj.size = 0;
}

static void
replace_value(par_obj *dict, struct pari_pair *pair, par_obj *value)
{
    pari_obj_drop(pair->value);
    pair->value = value;
    pari_obj_adopt(dict, value);
}

/* Free what could not be stored, though the two be one, or one inside the other. */
static void
refuse_pair(const par_obj *dict, par_obj *key, par_obj *value)
{
    par_obj *discarded = NULL;

    if (!pari_obj_is_inside(dict, key))
        pari_obj_discard(&discarded, key);
    if (!pari_obj_is_inside(dict, value))
        pari_obj_discard(&discarded, value);
    pari_obj_free_discarded(&discarded);
}

int
par_obj_set(par_obj *dict, par_obj *key, par_obj *value)
{
    struct pari_pair *old;
    struct probe probe;

    if (check_dict(dict) != 0 || probe_init(&probe, key) != 0)
        goto fail;
    if (pari_obj_may_adopt(dict, key) != 0 || pari_obj_may_adopt(dict, value) != 0)
        goto fail;
    if (key == value) {
        errno = EINVAL;
        goto fail;
    }
    old = dict_search(dict_of(dict), &probe);
    if (old) {
        replace_value(dict, old, value);
        par_obj_free(key);
        return 0;
    }
    if (dict_reserve(dict_of(dict), 1) != 0)
        goto fail;
    dict_add(dict_of(dict), &(struct pari_pair){ probe.hash, key, value });
    return 0;
fail:
    refuse_pair(dict, key, value);
    return -1;
}

par_obj *
pari_obj_dict_pop(par_obj *dict, const par_obj *key)
{
    struct pari_pair *pair = dict_need(dict, key);
    par_obj *value;

    if (!pair)
        return NULL;
    value = pair->value;
    pari_obj_drop(pair->key);
    pair->key = NULL;
    pair->value = NULL;
    dict->size--;
    return pari_obj_release(value);
}

int
pari_obj_dict_del(par_obj *dict, const par_obj *key)
{
    par_obj *value = pari_obj_dict_pop(dict, key);

    if (!value)
        return -1;
    par_obj_free(value);
    return 0;
}

/* Move one pair of another dict to this one; there is room. */
static void
dict_take(par_obj *dict, const struct pari_pair *pair)
{
    struct probe probe = { .hash = pair->hash, .key = pair->key };
    struct pari_pair *old = dict_search(dict_of(dict), &probe);

    if (!old) {
        dict_add(dict_of(dict), pair);
        return;
    }
    replace_value(dict, old, pair->value);
    pari_obj_drop(pair->key);
}

int
pari_obj_dict_update(par_obj *dict, par_obj *pairs)
{
    if (check_dict(dict) != 0 || check_dict(pairs) != 0)
        goto fail;
    if (pairs->parent || pari_obj_is_inside(dict, pairs)) {
        errno = EINVAL;
        goto fail;
    }
    if (pari_obj_has_room_below(dict, pairs, 1) != 0 || dict_reserve(dict_of(dict), pairs->size) != 0)
        goto fail;
    for (size_t i = 0; i < dict_of(pairs)->n_pairs; i++) {
        if (dict_of(pairs)->pair[i].key)
            dict_take(dict, &dict_of(pairs)->pair[i]);
    }
    dict_of(pairs)->n_pairs = 0;
    par_obj_free(pairs);
    return 0;
fail:
    pari_obj_refuse(dict, pairs);
    return -1;
}

int
pari_obj_dict_clear(par_obj *dict)
{
    if (check_dict(dict) != 0)
        return -1;
    pari_obj_dict_free(dict);
    return 0;
}

/* ---- copies */

par_obj *
pari_obj_dict_copy(const par_obj *dict)
{
    const struct pari_dict *from = (const struct pari_dict *)dict;
    par_obj *copy = par_obj_dict();

    if (!copy || dict_reserve(dict_of(copy), dict->size) != 0)
        goto fail;
    for (size_t i = 0; i < from->n_pairs; i++) {
        struct pari_pair pair = { .hash = from->pair[i].hash };
        if (!from->pair[i].key)
            continue;
        pair.key = par_obj_copy(from->pair[i].key);
        pair.value = par_obj_copy(from->pair[i].value);
        if (!pair.key || !pair.value) {
            par_obj_free(pair.key);
            par_obj_free(pair.value);
            goto fail;
        }
        dict_add(dict_of(copy), &pair);
    }
    return copy;
fail:
    par_obj_free(copy);
    return NULL;
}

/* A list of copies of all keys, or of all values. */
static par_obj *
dict_list(const par_obj *dict, bool of_keys)
{
    const par_obj *key, *value;
    size_t pos = 0;
    par_obj *list;

    if (check_dict(dict) != 0)
        return NULL;
    list = par_obj_list();
    if (!list)
        return NULL;
    while (par_obj_next(dict, &pos, &key, &value)) {
        if (par_obj_append(list, par_obj_copy(of_keys ? key : value)) != 0) {
            par_obj_free(list);
            return NULL;
        }
    }
    return list;
}

par_obj *
pari_obj_dict_keys(const par_obj *dict)
{
    return dict_list(dict, true);
}

par_obj *
pari_obj_dict_values(const par_obj *dict)
{
    return dict_list(dict, false);
}
