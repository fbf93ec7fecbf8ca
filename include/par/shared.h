/* SPDX-License-Identifier: MIT
 *
 * par/shared.h: shared values and arrays: plain C pointers that mean the same in every process of the family.
 *
 * A block lives in the arena, one range of memory that every process which descends from the first one sees at the same address,
 * also when the block was allocated after the fork. So a pointer to a block may be stored in another block or sent through a
 * queue. A block lives until somebody frees it, also after the process that allocated it has ended; when the last process of the
 * family ends, all of it is gone. Nothing ever appears in /dev/shm.
 *
 *     int *squares = par_array(int, 4);
 *     long *sum = par_value(long);
 *     par_lock_acquire(par_lock_of(sum), PAR_FOREVER);
 *     *sum += 30;
 *     par_lock_release(par_lock_of(sum));
 *     par_atomic_add(&squares[0], 1);
 */
#ifndef PAR_SHARED_H
#define PAR_SHARED_H

#include "base.h"

PAR_BEGIN_DECLS

/* Give a block back; NULL is fine. Any process may do it, once; it is the caller's mistake if others still use it. The locks
 * inside the block go with it. Keeps errno. A pointer that is no block is ignored.
 * Safe: any thread, forked child. */
PAR_API void par_shared_free(void *block);

/* n zeroed elements of `size` bytes each, aligned to 64 bytes; n may be 0. The result is the caller's (that is, the family's)
 * until par_shared_free.
 * Errors: EINVAL size is 0; EOVERFLOW n * size; ENOSPC shared memory is full (see PAR_ARENA_LIMIT in libpar(7)); ENOMEM, EMFILE,
 * ENFILE, EAGAIN the arena could not be made or joined.
 * Safe: any thread, forked child. */
PAR_API void *par_shared_alloc(size_t n, size_t size) PAR_ALLOC_SIZE(1, 2) PAR_RELEASED_BY(par_shared_free) PAR_MUST_CHECK;

/* A copy of the string that every process can read: for pointers inside shared structs and items.
 * Errors: EINVAL s is NULL; else as par_shared_alloc.
 * Safe: any thread, forked child. */
PAR_API char *par_shared_strdup(const char *s) PAR_RELEASED_BY(par_shared_free) PAR_MUST_CHECK;

/* One zeroed T, n zeroed T: par_value(int), par_array(double, 1000). */
#define par_value(T) ((T *)par_shared_alloc(1, sizeof(T)))
#define par_array(T, n) ((T *)par_shared_alloc((n), sizeof(T)))

/* The n of the block's allocation (of a string its length with the NUL); 0, with EINVAL, if it is not the start of a block.
 * Safe: any thread, forked child. */
PAR_API size_t par_shared_length(const void *block);

/* Does p point into shared memory? Then it means the same in every process of the family.
 * Safe: any thread, forked child, signal handler. */
PAR_API bool par_is_shared(const void *p);

/* ---- one integer or pointer, changed by many without a lock
 *
 * Each is a single step for every thread of every process, in an order that all agree on (sequentially consistent); who dies in one
 * has made it or has not. `p` points to an integer or a pointer of at most 8 bytes, aligned to its size, and not to an _Atomic
 * one, which has C's own operations. What two of them do in a row belongs under a lock.
 * Safe: any thread, forked child, signal handler. */

#define par_atomic_load(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define par_atomic_store(p, value) __atomic_store_n((p), (value), __ATOMIC_SEQ_CST)

/* The value after n was added; integers only. Wraps around without a word, signed ones as well. */
#define par_atomic_add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

/* The value before. */
#define par_atomic_exchange(p, value) __atomic_exchange_n((p), (value), __ATOMIC_SEQ_CST)

/* If *p is *expected, it becomes `value`: true. Else *expected becomes what *p is: false. */
#define par_atomic_compare_exchange(p, expected, value) \
    __atomic_compare_exchange_n((p), (expected), (value), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

PAR_END_DECLS

#endif
