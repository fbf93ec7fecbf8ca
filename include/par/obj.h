/* SPDX-License-Identifier: MIT
 *
 * par/obj.h: dynamic values, for what Python would just pass along.
 *
 *     par_obj *list = par_obj_list();
 *     par_obj_append(list, par_int(1));
 *     par_obj_append(list, par_tuple(par_str("two"), par_float(2.0)));
 *     par_obj_print(list, stdout);                           [1, ('two', 2.0)]
 *     par_obj_free(list);
 *
 * A par_obj is private memory of the process that made it. It goes to other processes through par_conn_send_obj,
 * par_queue_put_obj and the manager, as bytes that Python's pickle understands.
 *
 * Ownership: a call that is given a par_obj (an argument that is not const) takes it over, also when it fails, and then frees
 * it. NULL as such an argument is ENOMEM, so constructors can be written in place: the outermost call tells of a failure
 * anywhere in it. What is returned as const is borrowed: it lives as long as the object it is part of is neither changed nor
 * freed. An object is part of one other at most: giving it away a second time, or into its own inside, is EINVAL and leaves it
 * where it is.
 *
 * Keys of a dict are none, bool, int, float, str, bytes and tuples of these. Keys that are equal are the same key, as in
 * Python: 1, 1.0 and true are one. A dict keeps the order in which its keys came.
 *
 * Text is UTF-8; as in Python it may hold NULs and lone surrogates when it came from there. An int has 64 bits.
 *
 * Objects are nested PAR_OBJ_MAX_DEPTH levels at most (a list of ints has one level); more is ELOOP.
 *
 * An object is used by one thread at a time; while nobody changes it, many may read it.
 */
#ifndef PAR_OBJ_H
#define PAR_OBJ_H

#include <par/base.h>

#include <stdlib.h>

PAR_BEGIN_DECLS

typedef struct par_obj par_obj;

#define PAR_OBJ_MAX_DEPTH 100

/* What a par_obj is. A record is one of the few classes of Python that a manager's messages need: an exception, a slice, a
 * Token; it has a name, "builtins.IndexError", and its arguments as items. */
enum { PAR_NONE, PAR_BOOL, PAR_INT, PAR_FLOAT, PAR_STR, PAR_BYTES, PAR_LIST, PAR_TUPLE, PAR_DICT, PAR_RECORD };

/* Free an object with all that is inside it. NULL is fine, errno is kept. An object that is part of another is left alone: it
 * goes with that one.
 * Safe: any thread, forked child. */
PAR_API void par_obj_free(par_obj *obj);

/* ---- making values: the object is the caller's. */

/* None.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_none(void) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* True or False.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_bool(bool value) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* An integer.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_int(int64_t value) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* A floating point number, infinities and NaN included.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_float(double value) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* A copy of NUL-terminated text.
 * Errors: EINVAL text is NULL; EILSEQ it is not UTF-8 (par_bytes takes anything); ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_str(const char *text) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* A copy of `size` bytes; data may be NULL if size is 0.
 * Errors: EINVAL data is NULL; ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_bytes(const void *data, size_t size) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free) PAR_READS(1, 2);

/* A tuple of n objects, which it takes over; item may be NULL if n is 0. The array stays the caller's. par_tuple(a, b, ...)
 * fills in both arguments.
 * Errors: EINVAL item is NULL, or an object is part of another or given twice; ELOOP nested too deep; EOVERFLOW no array has so
 * many; ENOMEM, also when one of the objects is NULL.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_obj_tuple(size_t n, par_obj *const *item) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* An empty list.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_obj_list(void) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* An empty dict.
 * Errors: ENOMEM.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_obj_dict(void) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* A copy of an object with all that is inside it.
 * Errors: ENOMEM, also when obj is NULL.
 * Safe: any thread, forked child. */
PAR_API par_obj *par_obj_copy(const par_obj *obj) PAR_MUST_CHECK PAR_RELEASED_BY(par_obj_free);

/* ---- changing */

/* Put an object at the end of a list, which takes it over.
 * Errors: EINVAL list is not a list, or item is part of another object or holds this list; ELOOP nested too deep; ENOMEM, also
 * when list or item is NULL.
 * Safe: any thread, forked child. */
PAR_API int par_obj_append(par_obj *list, par_obj *item);

/* Store a value under a key, replacing the value that was there (the old key stays). The dict takes both over.
 * Errors: EINVAL dict is not a dict, key cannot be a key, or one of the two is part of another object or holds this dict; ELOOP
 * nested too deep; ENOMEM, also when one of the three is NULL.
 * Safe: any thread, forked child. */
PAR_API int par_obj_set(par_obj *dict, par_obj *key, par_obj *value);

/* ---- reading: these never fail, they say `otherwise`, 0, NULL or false. NULL may be given for any object. */

/* PAR_NONE .. PAR_RECORD; -1 of NULL.
 * Safe: any thread, forked child. */
PAR_API int par_obj_type(const par_obj *obj);

/* The value of an int, 0 or 1 of a bool; otherwise `otherwise`.
 * Safe: any thread, forked child. */
PAR_API int64_t par_obj_as_int(const par_obj *obj, int64_t otherwise);

/* The value of a float, or of an int or a bool as a double; otherwise `otherwise`.
 * Safe: any thread, forked child. */
PAR_API double par_obj_as_float(const par_obj *obj, double otherwise);

/* The text of a str, NUL-terminated and borrowed; par_obj_len tells its bytes if it may hold NULs itself. Otherwise
 * `otherwise`.
 * Safe: any thread, forked child. */
PAR_API const char *par_obj_as_str(const par_obj *obj, const char *otherwise);

/* The contents of a bytes object, borrowed, and their number in *size (size may be NULL). NULL and 0 for anything else.
 * Safe: any thread, forked child. */
PAR_API const void *par_obj_as_bytes(const par_obj *obj, size_t *size);

/* The name of a record with its module, "builtins.IndexError", borrowed; NULL for anything else.
 * Safe: any thread, forked child. */
PAR_API const char *par_obj_record_name(const par_obj *obj);

/* How many items a list, tuple, dict or record has, how many bytes a bytes object or the UTF-8 of a str; 0 of anything else.
 * Safe: any thread, forked child. */
PAR_API size_t par_obj_len(const par_obj *obj);

/* Item i of a list, tuple or record, counted from 0, borrowed; NULL past the end and for anything else.
 * Safe: any thread, forked child. */
PAR_API const par_obj *par_obj_item(const par_obj *seq, size_t i);

/* The value that a dict has under a str key, borrowed; NULL if there is no such key, or no dict.
 * Safe: any thread, forked child. */
PAR_API const par_obj *par_obj_get(const par_obj *dict, const char *key);

/* Walk over a dict in the order of its keys: start with *pos = 0 and call until it is false. key and value are borrowed, and
 * may be NULL if not wanted. Values may be replaced on the way; keys must not be added.
 * Safe: any thread, forked child. */
PAR_API bool par_obj_next(const par_obj *dict, size_t *pos, const par_obj **key, const par_obj **value);

/* Do they have the same value, as == of Python? Numbers compare exactly across int, float and bool; a NaN equals nothing; dicts
 * compare without order. NULL equals nothing.
 * Safe: any thread, forked child. */
PAR_API bool par_obj_equal(const par_obj *a, const par_obj *b);

/* ---- printing as Python prints: [1, 4, 9, 16], {'a': None}, (1,), 1e+16. Characters that Python would escape are escaped,
 * except that code points without a meaning yet are printed, since which these are changes from year to year. */

/* Write the object, without a newline, to a stream; it is handed to stdio in one piece.
 * Errors: EINVAL file is NULL; ENOMEM, also when obj is NULL; what writing to the file gives.
 * Safe: any thread, forked child. */
PAR_API int par_obj_print(const par_obj *obj, FILE *file);

/* The object as text; free() it.
 * Errors: ENOMEM, also when obj is NULL.
 * Safe: any thread, forked child. */
PAR_API char *par_obj_repr(const par_obj *obj) PAR_MUST_CHECK PAR_RELEASED_BY(free);

PAR_END_DECLS

/* par_tuple(par_int(1), par_str("one")): a tuple of these objects; par_tuple() is the empty one. */
#ifdef __cplusplus
template <class... T>
inline par_obj *
par_tuple(T... item)
{
    par_obj *items[] = { nullptr, item... };
    return par_obj_tuple(sizeof...(item), items + 1);
}
#else
#define par_tuple(...) \
    par_obj_tuple(sizeof((par_obj *[]){ NULL, __VA_ARGS__ }) / sizeof(par_obj *) - 1, (par_obj *[]){ NULL, __VA_ARGS__ } + 1)
#endif

#endif
