/* SPDX-License-Identifier: MIT
 *
 * pickle.h: par_obj as bytes and back: the plain-data part of Python's pickle.
 *
 * Written is protocol 3 without memo, which every Python 3 reads. Read are protocols 2 to 5 as Python's picklers write them.
 * Names of classes and functions are looked up in the fixed table of record.c; nothing is ever called. An object that the bytes
 * mention twice becomes two, each a copy.
 */
#ifndef PARI_PICKLE_H
#define PARI_PICKLE_H

#include "buffer.h"

#include <par/obj.h>

/* Append the bytes of the object to the buffer, behind what is there (a frame's header, say). The object stays the caller's.
 * After a failure the buffer is good for pari_buffer_free only.
 * Errors: ENOMEM, also when obj is NULL; EMSGSIZE a str or bytes object of 4 GiB or more. */
int pari_pickle(const par_obj *obj, struct pari_buffer *out);

/* The object that these bytes mean, the caller's. Memory and time are used in proportion to the bytes that are there (at worst
 * some three hundred times as much, and 64 KiB for references), never to a number in them.
 * Errors: EBADMSG malformed, also cut off or with bytes behind the end; EPROTONOSUPPORT a pickle, but with something that is
 * not plain data (par_error names it), or of another protocol; EOVERFLOW an int beyond 64 bits; ELOOP nested too deep or in
 * itself; EMSGSIZE references, or what is called, blow it up; ENOMEM. */
par_obj *pari_unpickle(const void *data, size_t size) PAR_MUST_CHECK;

#endif
