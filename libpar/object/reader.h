/* SPDX-License-Identifier: MIT
 *
 * reader.h: the machine that a pickle is a program for: its bytes, its stack with marks, its memo.
 *
 * The memo borrows. So that it never points to freed memory, whatever leaves the stack without a place in another object is
 * discarded, not freed, and freed at the end. An object of which a copy has been made must not change any more (is_shared):
 * only an object that holds itself would.
 */
#ifndef PARI_READER_H
#define PARI_READER_H

#include "object.h"

struct pari_vector { /* grows; what is new is zero */
    void *data;
    size_t n;
    size_t capacity;
};

#define PARI_READER_FIRST 16 /* objects on the stack of a small pickle, which needs no memory for it */

struct pari_reader {
    const unsigned char *at, *end;
    size_t size;              /* of all bytes */
    size_t budget;            /* what copies may still cost, in bytes */
    struct pari_vector stack; /* par_obj *; NULL: has moved into another object */
    struct pari_vector marks; /* size_t: how many objects were on the stack then */
    struct pari_vector memo;  /* par_obj *, borrowed; NULL: no such number; n: how many there are */
    par_obj *discarded;
    bool is_stopped;
    par_obj *first[PARI_READER_FIRST]; /* the stack, until it outgrows this */
};

void pari_reader_init(struct pari_reader *r, const void *data, size_t size);
void pari_reader_free(struct pari_reader *r); /* keeps errno */

static inline size_t
pari_reader_left(const struct pari_reader *r)
{
    return (size_t)(r->end - r->at);
}

static inline par_obj **
pari_reader_stack(struct pari_reader *r)
{
    return r->stack.data;
}

/* All of these: -1 or NULL and EBADMSG when the bytes do not have it, ENOMEM. */

const unsigned char *pari_reader_take(struct pari_reader *r, uint64_t size);  /* the next bytes */
int pari_reader_number(struct pari_reader *r, size_t size, uint64_t *number); /* a little-endian one of 1 to 8 bytes */
const unsigned char *pari_reader_counted(struct pari_reader *r, size_t length_size,
                                         uint64_t *size);          /* a length and its bytes */
const char *pari_reader_line(struct pari_reader *r, size_t *size); /* up to a newline, which is skipped */

int pari_reader_push(struct pari_reader *r, par_obj *obj);     /* takes obj over; NULL is its maker's failure, passed on */
par_obj *pari_reader_peek(struct pari_reader *r, size_t down); /* the object so far below the top, above the last mark */
int pari_reader_mark(struct pari_reader *r);
int pari_reader_pop_mark(struct pari_reader *r, size_t *from);  /* the objects above it are stack[*from] and up */
size_t pari_reader_last_mark(const struct pari_reader *r);      /* 0: there is none */
void pari_reader_drop_from(struct pari_reader *r, size_t from); /* stack[from] and up, those not moved are discarded */
int pari_reader_move_item(struct pari_reader *r, par_obj *seq, size_t i); /* stack[i] to the end of seq; ELOOP */

int pari_reader_memoize(struct pari_reader *r, uint64_t number);     /* the top gets that number */
par_obj *pari_reader_recall(struct pari_reader *r, uint64_t number); /* borrowed */
int pari_reader_charge(struct pari_reader *r, const par_obj *obj);   /* for a copy of obj; EMSGSIZE over budget */
par_obj *pari_reader_copy(struct pari_reader *r, par_obj *obj);      /* both are shared from now on; EMSGSIZE over budget */

/* The opcodes about names (construct.c). */
int pari_load_global(struct pari_reader *r, unsigned argument);
int pari_load_stack_global(struct pari_reader *r, unsigned argument);
int pari_load_reduce(struct pari_reader *r, unsigned argument);
int pari_load_build(struct pari_reader *r, unsigned argument);

#endif
