/* SPDX-License-Identifier: MIT
 *
 * service.h: what a manager's server does for one request: pure computation from a message to an answer.
 */
#ifndef PARI_SERVICE_H
#define PARI_SERVICE_H

#include "../object/object.h"
#include "message.h"
#include "store.h"

struct pari_service {
    struct pari_store store;
    const par_manager_type *types; /* of the program's own, or NULL */
    pid_t client;                  /* who asks the server itself; 0: not known */
    bool is_over;                  /* it was told to shut down */
    int refused;                   /* errno of the last request; 0: it was carried out */
    uint64_t offered, offer;       /* by the client that was accepted last: a mailbox's address (0 none) and number */
};

enum { PARI_SERVICE_DONE = 0, PARI_SERVICE_ACCEPTED = 1 };

/* Answer one message, asked of the server itself or of one of its objects: a whole frame is in `out`. -1: the message makes no sense,
 * or there is no memory even for an answer; there is none then. PARI_SERVICE_ACCEPTED: the client calls objects from now on. */
int pari_service_control(struct pari_service *service, const unsigned char *message, size_t length, struct pari_buffer *out);
int pari_service_call(struct pari_service *service, const unsigned char *message, size_t length, struct pari_buffer *out);

/* Answer with errno, before a request was read at all. -1 as above. */
int pari_service_refuse(struct pari_service *service, struct pari_buffer *out);

void pari_service_end(struct pari_service *service); /* free all objects */

/* ---- methods (methods.c) */

struct pari_method_call {
    par_obj *object;
    par_obj *args; /* a tuple with as many items as the method wants; it may take them */
    struct pari_buffer *out;
};

enum pari_absent { PARI_ABSENT_NOTHING, PARI_ABSENT_INDEX, PARI_ABSENT_KEY, PARI_ABSENT_VALUE };

/* A method of Python's list or dict. run writes the answer, or returns -1 and errno with the object as it was. */
struct pari_method { /* with few pointers, which the loader would have to set one by one */
    char name[15];
    uint8_t n_args;
    int (*run)(struct pari_method_call *call);
    enum pari_absent absent; /* what ENOENT means */
};

const struct pari_method *pari_method_find(const par_obj *object, const char *name);

/* The names of all methods of an object of this type, a tuple. */
par_obj *pari_method_names(const par_obj *object);

#endif
