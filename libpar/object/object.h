/* SPDX-License-Identifier: MIT
 *
 * object.h: what par_obj offers inside the library: its layout for the files of this folder, and for the manager's server the
 * operations of Python's list and dict, and records.
 *
 * As in the public calls, a non-const object that is given is taken over, also on failure, and NULL for one is ENOMEM. The
 * first argument, the object that is worked on, is not taken over; of another type than the call's name says it is EINVAL.
 */
#ifndef PARI_OBJECT_H
#define PARI_OBJECT_H

#include "../os/os.h"
#include "buffer.h"

#include <par/obj.h>

/* ---- list: index -1 is the last item */

int pari_obj_list_extend(par_obj *list, par_obj *seq);             /* all items of a list or tuple; EINVAL: neither; ELOOP */
int pari_obj_list_insert(par_obj *list, ssize_t i, par_obj *item); /* i beyond an end means that end; ELOOP */
int pari_obj_list_set(par_obj *list, ssize_t i, par_obj *item);    /* ENOENT: no such index; ELOOP */
int pari_obj_list_del(par_obj *list, ssize_t i);                   /* ENOENT */
par_obj *pari_obj_list_pop(par_obj *list, ssize_t i);              /* the caller's; ENOENT */
const par_obj *pari_obj_list_get(const par_obj *list, ssize_t i);  /* borrowed; ENOENT */
int pari_obj_list_remove(par_obj *list, const par_obj *value);     /* the first one that equals value; ENOENT */
ssize_t pari_obj_list_index(const par_obj *list, const par_obj *value); /* ENOENT */
ssize_t pari_obj_list_count(const par_obj *list, const par_obj *value);
par_obj *pari_obj_list_slice(const par_obj *list, ssize_t from, ssize_t to); /* copies of list[from:to] */
int pari_obj_list_sort(par_obj *list); /* stable; EINVAL: two items have no order, the list is as it was; ENOMEM */
int pari_obj_list_reverse(par_obj *list);
int pari_obj_list_clear(par_obj *list);

/* Take item i, counted from 0, out of a list, tuple or record that nobody else sees, a message; those behind it move up. The
 * caller's; NULL: there is none. */
par_obj *pari_obj_seq_take(par_obj *seq, size_t i);

/* ---- dict: a key that cannot be one (list, dict, record, a tuple with one of them) is EINVAL */

const par_obj *pari_obj_dict_find(const par_obj *dict, const par_obj *key); /* the value, borrowed; NULL and ENOENT */
int pari_obj_dict_del(par_obj *dict, const par_obj *key);                   /* ENOENT */
par_obj *pari_obj_dict_pop(par_obj *dict, const par_obj *key);              /* the value, the caller's; ENOENT */
int pari_obj_dict_update(par_obj *dict, par_obj *pairs);                    /* all of another dict, or nothing; ELOOP */
par_obj *pari_obj_dict_keys(const par_obj *dict);                           /* a list of copies */
par_obj *pari_obj_dict_values(const par_obj *dict);
int pari_obj_dict_clear(par_obj *dict);

/* ---- order: what < of Python would say. -1 EINVAL: they have none */

enum { PARI_LESS = -1, PARI_SAME = 0, PARI_MORE = 1, PARI_UNORDERED = 2 }; /* unordered: a NaN is involved */

int pari_obj_order(const par_obj *a, const par_obj *b, int *order);

/* ---- records */

/* A record of that name, "builtins.IndexError", with a tuple of arguments. EINVAL: the table has no such name, or it is not a
 * tuple; ELOOP. */
par_obj *pari_obj_record(const char *name, par_obj *args) PAR_MUST_CHECK;

bool pari_obj_is_exception(const par_obj *obj); /* a record of one of Python's exceptions */

/* Text with NULs in it, as it comes from Python. EILSEQ: not UTF-8. */
par_obj *pari_obj_str(const char *text, size_t size) PAR_MUST_CHECK;

/* ---- layout, for this folder only */

struct pari_class;

/* Every object starts with this. Numbers end here, text and bytes follow in the same block. `height` is how many levels there
 * are, or more: it is not lowered when something is taken out, and counted anew when it stands in the way. */
struct par_obj {
    par_obj *parent; /* what it is part of; owns it */
    uint8_t type;
    uint8_t height; /* 0: not a container */
    bool is_shared; /* unpickle.c: copies of it have been made, so it must not change any more */
    union {
        bool boolean;
        int64_t integer;
        double real;
        size_t size; /* bytes of text, without the NUL that follows; items of a list, tuple or record; pairs of a dict */
    };
};

struct pari_text { /* str, bytes */
    par_obj obj;
    char data[];
};

struct pari_seq { /* list, tuple, record */
    par_obj obj;
    size_t capacity;
    par_obj **item;
    const struct pari_class *class; /* of a record */
    bool is_called;                 /* of a record: an instance; else the class itself */
};

struct pari_pair { /* a dict's entry; a deleted one has no key */
    uint64_t hash;
    par_obj *key;
    par_obj *value;
};

struct pari_dict {
    par_obj obj;
    size_t n_pairs; /* used entries of pair, the deleted ones included */
    size_t capacity;
    struct pari_pair *pair; /* in the order in which the keys came */
    uint32_t *index;        /* 2 * capacity slots; 0: free, else entry + 1; NULL while the dict is small */
};

par_obj *pari_obj_new(int type, size_t size); /* a block of `size` bytes, all zero but for the type */
bool pari_obj_is_seq(const par_obj *obj);     /* has items: list, tuple or record */
par_obj *pari_obj_seq(int type);              /* an empty one */
int pari_obj_seq_reserve(par_obj *seq, size_t n);
int pari_obj_seq_append(par_obj *seq, par_obj *item); /* of any type, for those who build it; takes item over */
void pari_obj_seq_free(par_obj *seq);                 /* all items and the array of them */

bool pari_obj_is_inside(const par_obj *obj, const par_obj *of); /* or the same; NULL is inside nothing */

/* May obj become part of parent? -1: ENOMEM NULL, EINVAL part of another or above parent, ELOOP too deep. */
int pari_obj_may_adopt(const par_obj *parent, par_obj *obj);
int pari_obj_has_room_below(const par_obj *parent, par_obj *obj,
                            unsigned without);             /* ELOOP; so many top levels of obj not counted */
void pari_obj_adopt(par_obj *parent, par_obj *obj);        /* it does */
par_obj *pari_obj_release(par_obj *obj);                   /* not part of anything any more */
void pari_obj_drop(par_obj *obj);                          /* free what is or was part of another */
void pari_obj_refuse(const par_obj *parent, par_obj *obj); /* free what could not be put into parent, unless it is above it */

/* Objects that are to be freed together later, each once however often it is discarded. A list starts NULL. */
void pari_obj_discard(par_obj **discarded, par_obj *obj);
void pari_obj_free_discarded(par_obj **discarded);

par_obj *pari_obj_dict_copy(const par_obj *dict);
void pari_obj_dict_free(par_obj *dict);
struct pari_pair *pari_obj_dict_pair(const par_obj *dict, const par_obj *key); /* NULL: no such key, or not a key */

/* The hash of a key: equal keys have equal ones. false: it cannot be a key. */
bool pari_obj_hash(const par_obj *key, uint64_t *hash);
uint64_t pari_hash_text(const char *text, size_t size);

bool pari_utf8_is_valid(const char *text, size_t size); /* lone surrogates are */
uint32_t pari_utf8_next(const char **text);             /* of valid text */

#define PARI_FLOAT_SIZE 40 /* more than the 24 that there are at most */
void pari_float_repr(double value, char text[static PARI_FLOAT_SIZE]);
void pari_repr(const par_obj *obj, struct pari_buffer *out);

/* The fixed table of names (record.c). */
enum { PARI_CLASS_EXCEPTION, PARI_CLASS_PLAIN, PARI_CLASS_LIST, PARI_CLASS_BYTES, PARI_CLASS_ENCODE, PARI_CLASS_TOKEN };

const struct pari_class *pari_class_find(const char *module, size_t module_size, const char *name, size_t name_size);
const char *pari_class_module(const struct pari_class *class, size_t *size); /* no NUL behind it */
const char *pari_class_name(const struct pari_class *class);                 /* without the module */
int pari_class_kind(const struct pari_class *class);
par_obj *pari_obj_class(const struct pari_class *class);                         /* the class itself, not an instance */
par_obj *pari_obj_instance(const struct pari_class *class, const par_obj *args); /* args: a tuple, stays the caller's */

#endif
