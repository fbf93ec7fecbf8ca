/* SPDX-License-Identifier: MIT
 *
 * message.h: what a manager's client and server say to each other, as Python's managers do.
 *
 *     request   (ident, method, args, kwds)    ident None: the server itself is asked
 *     reply     (kind, payload)
 *
 * Each is one pickle in one frame.
 */
#ifndef PARI_MESSAGE_H
#define PARI_MESSAGE_H

#include "../object/pickle.h"
#include "frame.h"

#define PARI_REPLY_RETURN "#RETURN"                 /* the result */
#define PARI_REPLY_ERROR "#ERROR"                   /* an exception, as a record */
#define PARI_REPLY_TRACEBACK "#TRACEBACK"           /* text: the request itself was wrong, or the object is no more */
#define PARI_REPLY_UNSERIALIZABLE "#UNSERIALIZABLE" /* text: the result cannot be sent */

/* Write a whole frame; what was in the buffer before is replaced. -1: EMSGSIZE larger than a frame may be, ENOMEM. The objects
 * stay the caller's. */
int pari_message_request(struct pari_buffer *out, const char *ident, const char *method, const par_obj *args);
int pari_message_reply(struct pari_buffer *out, const char *kind, const par_obj *payload);

/* The reply of a method without a result, which is most of them: written and recognised as a whole. */
int pari_message_reply_none(struct pari_buffer *out);
bool pari_message_is_none(const unsigned char *message, size_t length);

#define PARI_NAME_SIZE 32

/* A request to an object as pari_message_request writes it, unless its names or arguments are long, without a value for the whole:
 * its names and its arguments, which are the caller's. False: to be read as any pickle, or not to be read at all. */
bool pari_message_read_request(const unsigned char *message, size_t length, char ident[PARI_NAME_SIZE],
                               char method[PARI_NAME_SIZE], par_obj **args);

/* A frame of no bytes: "look into the mailbox". */
void pari_message_bell(struct pari_buffer *out);

#endif
