/* SPDX-License-Identifier: MIT
 *
 * store.h: the objects of a manager's server, by name. Private to the server process, which has one thread.
 */
#ifndef PARI_STORE_H
#define PARI_STORE_H

#include <par/manager.h>

#include "../os/os.h"

#define PARI_IDENT_SIZE 20 /* lower-case hexadecimal digits and a NUL; opaque to clients */

/* A name is never given twice, so that the proxy of a dropped object finds nothing. */
struct pari_object {
    par_obj *value;               /* a list or a dict; or NULL */
    const par_manager_type *type; /* of one that is neither; NULL as well: the place is free */
    void *state;                  /* what the type has made: no other object of the store has the same */
    uint32_t references;          /* proxies' owners: at zero it is dropped, unless the value of another one names it */
    uint32_t generation;
    uint64_t offer;   /* of what is kept: its client's number */
    size_t next_free; /* index + 1: of a free place; while marking, of a marked object whose value is to be looked at */
    bool is_marked;
};

struct pari_store {
    struct pari_object *object;
    size_t n, n_places, capacity, first_free; /* objects; places used so far; places; index + 1, 0 = none */
    size_t n_held;                            /* objects without references, named by others when they were last looked for */
    bool may_nest;                            /* some value may name an object */
    par_obj *names;                           /* of the objects with a type, by their state; NULL: there were none */
};

/* Keep a value, which is taken over, with one reference; its name goes to `ident`. -1 ENOMEM. */
int pari_store_add(struct pari_store *store, par_obj *value, char ident[PARI_IDENT_SIZE]);

/* The same with what a type has made; if the store has it already, that one gets one more reference. -1: ENOMEM, and it is destroyed;
 * EEXIST: another type has made it. */
int pari_store_add_typed(struct pari_store *store, const par_manager_type *type, void *state, char ident[PARI_IDENT_SIZE]);

/* NULL: there is no object of that name. Valid until the next add. */
struct pari_object *pari_store_find(struct pari_store *store, const char *ident);
const char *pari_store_name(const struct pari_store *store, const void *state); /* of the object with that state; NULL ENOENT */
void pari_store_end(struct pari_store *store);                                  /* drop all */

/* A value that names an object is a record of one of these classes, with the object's name. */
#define PARI_LIST_CLASS "multiprocessing.managers.ListProxy"
#define PARI_DICT_CLASS "multiprocessing.managers.DictProxy"
#define PARI_TYPED_CLASS "multiprocessing.managers.AutoProxy"
#define PARI_PROXY_TEXT "Proxy" /* what the pickle of each has in it */

const char *pari_proxy_ident(const par_obj *value, const char *class); /* NULL: it is none of that class (NULL: of any) */

/* Drop those that have no references and are named by no value that is kept. */
void pari_store_collect(struct pari_store *store);

/* One reference less; the last takes the object along. */
void pari_store_release(struct pari_store *store, struct pari_object *object);

#endif
