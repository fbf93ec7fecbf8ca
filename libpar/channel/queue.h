/* SPDX-License-Identifier: MIT
 *
 * queue.h: what the files of the queue share: its layout and its two sides.
 *
 *   queue.c     the public noun: making, putting, getting, closing
 *   side.c      the producers' and the consumers' side: lock, repair, sleep
 *   account.c   who got how many messages and did how many tasks; join
 *   producer.c  the producers that a queue with `.producers` waits for
 */
#ifndef PARI_QUEUE_H
#define PARI_QUEUE_H

#include "ring.h"

#include <par/queue.h>

/* What one process has got and done. On demand, in chunks, by the process's slot. */
struct pari_account {
    _Alignas(PARI_CACHE_LINE) _Atomic pari_member member; /* 0: not in use. Changes under get_lock */
    _Atomic uint64_t n_got;                               /* changes under get_lock; read by task_done */
    _Atomic uint64_t n_done;                              /* changed by the process itself, at any time */
    uint64_t n_got_next;                                  /* part of the ring's record: n_got once the message is removed */
    pid_t pid;
};

#define PARI_ACCOUNTS_PER_CHUNK 64
#define PARI_ACCOUNT_CHUNKS (PARI_MAX_MEMBERS / PARI_ACCOUNTS_PER_CHUNK)

struct pari_producer {
    _Atomic pari_member member; /* 0: never used */
    _Atomic uint32_t has_left;
};

/* Totals of accounts that are closed, changed under the consumers' lock: what they are to become is written first, so that a
 * change that was cut off can be done again. */
struct pari_settlement {
    struct pari_account *account; /* being closed; NULL: the totals are right */
    uint64_t n_done;
    uint64_t n_lost;
};

struct par_queue {
    struct pari_handle handle;
    uint64_t maxsize; /* constant, like all up to `producer` */
    uint64_t item_size;
    _Atomic uint64_t put_link; /* the cells of the two locks */
    _Atomic uint64_t get_link;
    struct pari_mutex *put_lock;
    struct pari_mutex *get_lock;
    uint32_t n_producers;
    struct pari_producer *producer; /* a table of n_producers, probed from the slot on; entries never become unused again */

    struct pari_ring ring; /* its producer's line under put_lock, its consumer's under get_lock */

    _Alignas(PARI_CACHE_LINE) struct pari_belled readable; /* consumers sleep here */
    struct pari_eventcount writable;                       /* producers */
    struct pari_eventcount finished;                       /* joiners */
    _Atomic uint32_t is_closed;                            /* set once */

    /* Under get_lock; a chunk is there once its byte is 1. */
    _Alignas(PARI_CACHE_LINE) struct pari_settlement closing;
    uint64_t n_done_closed; /* tasks done by processes whose account is closed */
    uint64_t n_lost;        /* messages whose consumer died before task_done */
    uint64_t n_lost_told;
    pid_t lost_pid;
    _Atomic uint8_t has_chunk[PARI_ACCOUNT_CHUNKS];
    struct pari_account *chunk[PARI_ACCOUNT_CHUNKS];
};

/* As par_queue_new, but it is this process's alone, and swept after its death. */
par_queue *pari_queue_make(const par_queue_opts *opts);

/* This process is its maker from now on. */
void pari_queue_inherit(par_queue *q);

/* ---- side.c */

/* The lock of a side, which is held for a fraction of a microsecond unless its holder has lost the processor or died: as
 * pari_mutex_lock, but it is waited for some time beyond the deadline. */
int pari_side_lock(struct pari_mutex *lock, par_time deadline);

/* 0: the side is locked and in order. -1: ETIMEDOUT (the deadline has passed, and somebody was in there for some time after
 * it), EINTR, ENOTRECOVERABLE. */
int pari_queue_lock_put(par_queue *q, par_time deadline);
int pari_queue_lock_get(par_queue *q, par_time deadline);
void pari_queue_unlock_put(par_queue *q);
void pari_queue_unlock_get(par_queue *q);

/* What a put needs. */
struct pari_room {
    uint64_t bytes; /* of the ring */
    bool is_big;
};

/* Under put_lock: 1, 0, or -1 ENOTRECOVERABLE. */
int pari_queue_has_room(par_queue *q, struct pari_room need);

/* Without a lock: what was true at some moment of the call, or an overestimate by what others put meanwhile. */
bool pari_queue_looks_full(const par_queue *q, struct pari_room need);

/* What to sleep on until there may be a message; then look. */
struct pari_word pari_queue_prepare(par_queue *q);

/* Sleep until it is worth to lock the side and look. `nap`, zero at first, lives as long as the whole wait. -1: EPIPE,
 * ETIMEDOUT, EINTR. */
int pari_queue_wait_put(par_queue *q, struct pari_room need, struct pari_nap *nap, par_time deadline);
int pari_queue_wait_get(par_queue *q, struct pari_nap *nap, par_time deadline);

/* The next message, decoded under the consumers' lock and removed only if that worked: for a value of which nobody knows
 * whether it is one. NULL with the errors of a get or of decode. (queue.c, for objects.c) */
void *pari_queue_decode(par_queue *q, void *(*decode)(const void *bytes, size_t size), par_time deadline);

static inline bool
pari_queue_is_closed(const par_queue *q)
{
    return atomic_load_explicit(&q->is_closed, memory_order_acquire) != 0; /* partner: par_queue_close */
}

/* ---- account.c, under get_lock */

/* This process's account, made if need be. NULL: ENOSPC. */
struct pari_account *pari_account_mine(par_queue *q);
void pari_account_repair(par_queue *q, bool was_removed);
void pari_account_free_all(par_queue *q); /* with the queue */

/* ---- producer.c */

int pari_producer_register(par_queue *q); /* under put_lock. -1 EPERM */

/* Have all producers left or died? False for a queue without `.producers`. `live` (of size PARI_MAX_WORDS, or NULL) takes those
 * whose death might change that. */
bool pari_producer_all_gone(const par_queue *q, pari_member *live, unsigned *n_live);

#endif
