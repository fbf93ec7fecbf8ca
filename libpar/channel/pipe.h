/* SPDX-License-Identifier: MIT
 *
 * pipe.h: what a pipe is made of: two connection ends and a ring for each direction between them, one producer and one consumer
 * each: no locks.
 *
 *   pipe.c   the ends' life: making, giving, closing, freeing
 *   conn.c   what they do: sending, receiving, waiting
 *   parcel.c descriptors, and ends of other pipes, that are sent through
 *
 * A pipe is one block of the arena: the two ends, the lanes, the rings' bytes. Beside it each end has a descriptor, one half
 * of a socket pair, for event loops and nothing else: nobody sleeps on it. A lane's bell is armed at creation and by a
 * receiver that found the lane empty and had asked for its descriptor; the sender that finds it armed disarms it and sends one
 * byte.
 *
 * Shared state, by field of struct par_conn, struct lane and struct pipe:
 *   owner          who may use the end; written by the owner when it gives the end away, before the receiver exists. With
 *                  PARI_UNDER_WAY it is being sent through another pipe: nobody may use it, and it dies with its sender or with the
 *                  end that is to receive it, `carrier`; whoever receives it becomes its owner
 *   is_closed      set once by the owner; the release store comes after its last message, so who sees it sees all messages
 *   ring           see ring.h
 *   readable       the receiver sleeps on it; notified by the sender after each publication. The fence between the message and the
 *                  look at it is a light one: the receiver's, before it sleeps, is heavy and makes up for it
 *   writable       the sender sleeps on it; notified by the receiver when room for a batch is free
 *   bell_is_armed  by a seq_cst exchange on both sides, and the same fences: after it the sender rings, the receiver looks at the
 *                  ring again
 *   cpu            where its owner was when it last waited: a hint
 *   freed          by a seq_cst or: who marks the second end frees the block
 * If a process dies here: the other end finds its owner dead, drains what was published and reports the end of the stream. A
 * big message that was under way is found by the ring's records when the survivor frees its end.
 */
#ifndef PARI_PIPE_H
#define PARI_PIPE_H

#include "conn.h"
#include "ring.h"

#define PARI_MAX_PARCELS 8
#define PARI_UNDER_WAY (UINT64_C(1) << 63)

struct lane { /* one direction */
    struct pari_ring ring;
    _Alignas(PARI_CACHE_LINE) struct pari_eventcount readable;
    _Atomic uint32_t bell_is_armed;
    _Alignas(PARI_CACHE_LINE) struct pari_eventcount writable;
};

struct par_conn {
    struct pari_handle handle;
    struct par_conn *peer; /* constant, like all up to fd */
    struct lane *in;       /* NULL: it only sends */
    struct lane *out;      /* NULL: it only receives */
    uint64_t item_size;
    uint32_t side;
    int fd;                                              /* its owner's */
    _Alignas(PARI_CACHE_LINE) _Atomic pari_member owner; /* the line that the other end looks at */
    _Atomic bool is_closed;
    _Atomic int32_t cpu;
    struct par_conn *_Atomic carrier;  /* set before PARI_UNDER_WAY */
    _Alignas(PARI_CACHE_LINE) struct { /* the owner's line */
        pari_member member;            /* the other end's owner, as it was when it was last found alive */
        const _Atomic uint32_t *word;  /* its alive word */
        uint32_t value;                /* of that then; 0: it was not */
    } seen;
    pari_member watcher;          /* the owner that asked for its descriptor */
    int parcel[PARI_MAX_PARCELS]; /* descriptors that have come and were not received; -1: lost for want of room */
    unsigned n_parcels;
    bool is_stream;       /* its last wait ended with several messages */
    _Atomic bool is_busy; /* a thread is in a call; looked at in debug builds only */
};

struct pipe {
    struct par_conn end[2]; /* first, so that end[0] is the block's handle */
    _Atomic uint32_t freed; /* bit `side`: freed */
    struct lane lane[];     /* [0] towards end[0], [1] towards end[1]; then the rings' bytes */
};

static_assert(sizeof(struct par_conn) % PARI_CACHE_LINE == 0, "both ends begin on a line: they are handles");

/* Whose death is the end of it. */
static inline pari_member
pari_conn_owner(const struct par_conn *c)
{
    /* Relaxed: before a fork, which orders it, or by who receives it; the others find out sooner or later. */
    return atomic_load_explicit(&c->owner, memory_order_relaxed) & ~PARI_UNDER_WAY;
}

static inline bool
pari_conn_is_under_way(const struct par_conn *c)
{
    return (atomic_load_explicit(&c->owner, memory_order_relaxed) & PARI_UNDER_WAY) != 0;
}

/* May this process use it? It has joined if it may. */
static inline bool
pari_conn_is_mine(const struct par_conn *c)
{
    pari_member me = atomic_load_explicit(&pari_me, memory_order_relaxed);

    return atomic_load_explicit(&c->owner, memory_order_relaxed) == me && me != 0;
}

/* By this process; while a thread sleeps, by another thread, whose notify wakes it. */
static inline bool
pari_conn_is_closed(const struct par_conn *c)
{
    return atomic_load_explicit(&c->is_closed, memory_order_relaxed); /* nothing hangs on it */
}

/* Has its owner asked for the descriptor? Not if the one before did: the byte may have been taken out by that one. */
static inline bool
pari_conn_is_watched(const struct par_conn *c)
{
    return c->watcher == pari_conn_owner(c);
}

/* Is this an open end of this process? -1: EINVAL, EPERM, EBADF. */
int pari_conn_refuse(const par_conn *c);

static inline int
pari_conn_check(const par_conn *c)
{
    if (pari_likely(pari_handle_is(c, PARI_CONN) && pari_conn_is_mine(c) && !pari_conn_is_closed(c)))
        return 0;
    return pari_conn_refuse(c);
}

/* ---- conn.c, for pipe.c and parcel.c */

bool pari_conn_is_lost(const struct par_conn *c); /* under way to who will never receive it */

int pari_conn_check_sends(const struct par_conn *c, const void *data, size_t size);
void pari_conn_enter(struct par_conn *c);
void pari_conn_leave(struct par_conn *c);
int pari_conn_wait_for_room(struct par_conn *c, size_t size, par_time deadline);                 /* and the other end lives */
void pari_conn_put(struct par_conn *c, enum pari_ring_kind kind, const void *data, size_t size); /* there is room */
int pari_conn_next(struct par_conn *c, struct pari_message *m, par_time deadline);
void pari_conn_take(struct par_conn *c, const struct pari_message *m, void *buf);

/* ---- parcel.c */

void pari_parcels_fetch(
    struct par_conn *c); /* empty the bell's socket, as far as there is room for what comes with the bytes */
void pari_parcel_drop(struct par_conn *c, const struct pari_message *m);              /* that is skipped */
void pari_parcels_close(struct par_conn *c);                                          /* nobody will receive them */
void pari_parcel_abandon(const struct pari_ring *ring, const struct pari_message *m); /* nobody will receive this message */

/* ---- pipe.c */

void pari_conn_abandon(struct par_conn *c); /* an end that was under way is closed and freed */

#endif
