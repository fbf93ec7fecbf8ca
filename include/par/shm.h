/* SPDX-License-Identifier: MIT
 *
 * par/shm.h: shared memory with a name, for programs that are no relatives, Python's multiprocessing.shared_memory among them.
 *
 *     par_shm *shm = par_shm_create("frames", 640 * 480, NULL);      another program:   par_shm *shm = par_shm_attach("frames");
 *     memcpy(par_shm_data(shm), frame, par_shm_size(shm));                               show(par_shm_data(shm));
 *     par_shm_free(shm);                                                                 par_shm_free(shm);
 *
 * For processes of one family par/shared.h is simpler and leaves nothing behind. A segment is the file /dev/shm/NAME, of exactly the
 * size asked for, readable and writable by its user alone, and nothing but the user's bytes is in it. What the processes agree on
 * about its use is theirs; the library's locks and queues cannot live there.
 *
 * A name ends with its creator: by par_shm_free, or by death. No process watches for that. A segment is marked as one that its
 * creator holds (by a lock of the kernel's, which ends with the process), so that the next one who comes upon it knows: a
 * par_shm_attach finds nothing, a par_shm_create takes the name, par_shm_sweep removes it. `.persistent` ones stay until par_shm_unlink.
 * Memory that is mapped stays usable whatever becomes of the name.
 *
 * Names are those of Python: without a slash, but one in front is passed over. (A Python before 3.13 that attaches removes the name
 * when it ends; later ones do not with track=False.)
 */
#ifndef PAR_SHM_H
#define PAR_SHM_H

#include <par/base.h>

PAR_BEGIN_DECLS

typedef struct par_shm par_shm;
typedef struct par_shareable_list par_shareable_list;
typedef struct par_obj par_obj;

typedef struct par_shm_opts {
    bool persistent; /* the name stays when its creator is gone, until par_shm_unlink */
    PAR_RESERVED;
} par_shm_opts;

/* Unmap a segment. If this process has created it and it is not persistent, its name goes, too. NULL is fine; in another process than
 * its creator's it does nothing. Keeps errno.
 * Safe: any thread, but nobody else may use it any more. */
PAR_API void par_shm_free(par_shm *shm);

/* Make a segment of `size` zeroed bytes, whose memory is there (it is reserved at once). name NULL: one is made up.
 * Errors: EINVAL (size 0, a name that is none), EEXIST (there is one, and its creator lives or it is persistent), ENAMETOOLONG, ENOSPC
 * (no room in /dev/shm, or above RLIMIT_FSIZE), EACCES (no right to /dev/shm), ENOENT (no /dev/shm), EMFILE, ENFILE, ENOMEM.
 * Safe: any thread. */
PAR_API par_shm *par_shm_create(const char *name, size_t size, const par_shm_opts *opts) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_shm_free);

/* Map an existing segment, of whatever size it is.
 * Errors: ENOENT (there is none, or its creator is gone), EINVAL (a name that is none; the segment is empty), ENAMETOOLONG, EACCES
 * (another user's), EMFILE, ENFILE, ENOMEM, ENOSPC.
 * Safe: any thread. */
PAR_API par_shm *par_shm_attach(const char *name) PAR_MUST_CHECK PAR_RELEASED_BY(par_shm_free);

/* Its bytes, aligned to a page; its size; its name. NULL and 0: EINVAL. A forked child has the same bytes at the same address.
 * Safe: any thread, forked child. */
PAR_API void *par_shm_data(const par_shm *shm);
PAR_API size_t par_shm_size(const par_shm *shm);
PAR_API const char *par_shm_name(const par_shm *shm);

/* Remove a name. Who has the segment mapped keeps it.
 * Errors: ENOENT, EINVAL, ENAMETOOLONG, EACCES, EPERM (another user's).
 * Safe: any thread. */
PAR_API int par_shm_unlink(const char *name);

/* Remove the names of all segments of this user's whose libpar creators are gone: how many. Those of other programs, of Python say,
 * and persistent ones are never touched. `tell` (or NULL) is called for each one that was removed.
 * Errors: those of opendir(3).
 * Safe: any thread. */
PAR_API ssize_t par_shm_sweep(void (*tell)(const char *name, size_t size, void *arg), void *arg);

/* ---- a list in a segment, as Python's ShareableList lays it out */

/* Unmap, as par_shm_free.
 * Safe: any thread, but nobody else may use it any more. */
PAR_API void par_shareable_list_free(par_shareable_list *list);

/* A list of fixed length of int, float, bool, str, bytes and None, in a segment of its own that Python can attach, too. Items may be
 * replaced in place; a str or bytes has room for 8 * (n / 8 + 1) bytes, n being what it has at first. The items are copied; `items`
 * (a list or tuple) stays the caller's. There is no lock: two that change one item at a time agree on one elsewhere.
 * Errors: those of par_shm_create; EINVAL also for an item of another type, or a str or bytes of 10^7 bytes, or one that ends in a zero
 * byte, which the format cannot tell from padding.
 * Safe: any thread. */
PAR_API par_shareable_list *par_shareable_list_create(const char *name, const par_obj *items,
                                                      const par_shm_opts *opts) PAR_MUST_CHECK
    PAR_RELEASED_BY(par_shareable_list_free);

/* Errors: those of par_shm_attach; EBADMSG (the segment is no such list).
 * Safe: any thread. */
PAR_API par_shareable_list *par_shareable_list_attach(const char *name) PAR_MUST_CHECK PAR_RELEASED_BY(par_shareable_list_free);

/* Its length, and its segment's name; -1, NULL: EINVAL.
 * Safe: any thread. */
PAR_API ssize_t par_shareable_list_len(const par_shareable_list *list);
PAR_API const char *par_shareable_list_name(const par_shareable_list *list);

/* A copy of item i (from the end if negative), the caller's, for par_obj_free.
 * Errors: ENOENT (no such index), EBADMSG (the bytes there make no sense), ENOMEM, EINVAL.
 * Safe: any thread. */
PAR_API par_obj *par_shareable_list_get(const par_shareable_list *list, ssize_t i) PAR_MUST_CHECK;

/* Replace item i by a value, which is taken over, also when the call fails. It may be of another type if it fits.
 * Errors: ENOENT, EINVAL (as above), EMSGSIZE (longer than the item's room), EBADMSG, ENOMEM (the value is NULL).
 * Safe: any thread; others must not read the item meanwhile. */
PAR_API int par_shareable_list_set(par_shareable_list *list, ssize_t i, par_obj *value);

/* How often the value is among the items, and where it is first; numbers compare as in Python, 1 == 1.0 == True.
 * Errors: EINVAL, EBADMSG, ENOMEM; index also ENOENT (nowhere).
 * Safe: any thread. */
PAR_API ssize_t par_shareable_list_count(const par_shareable_list *list, const par_obj *value);
PAR_API ssize_t par_shareable_list_index(const par_shareable_list *list, const par_obj *value);

PAR_END_DECLS

#endif
