/* SPDX-License-Identifier: MIT
 *
 * shm.h: the arena at one address, its allocator, the registry of processes, and the one way to sleep (floor 1).
 *
 * Life of a process in the family: the first libpar call joins it (pari_self); a child of par_process_start is born into the
 * slot its parent reserved (pari_member_reserve, pari_member_born); the child of a plain fork() joins at its first call as a guest.
 */
#ifndef PARI_SHM_H
#define PARI_SHM_H

#include "../os/os.h"

/* ---- members: the processes of the family (registry.c) */

/* A process for ever: slot index and the slot's generation; 0 is nobody. Fits an atomic word, so it can be stored in shared
 * objects as an owner and asked about after its death. */
typedef uint64_t pari_member;

#define PARI_MAX_MEMBERS 4096
#define PARI_SLOT_BITS 16

static inline unsigned
pari_slot_of(pari_member member)
{
    return (unsigned)(member & ((1u << PARI_SLOT_BITS) - 1));
}

/* This process, joining the family if need be; 0 with errno (ENOMEM, ENOSPC, EAGAIN: the registry is full, ...). Every public
 * call that touches shared memory begins with it. Costs one load once the process is a member. */
extern _Atomic pari_member pari_me; /* 0: not a member (yet, or not since the last fork) */
pari_member pari_join(void);
static inline pari_member
pari_self(void)
{
    pari_member me = atomic_load_explicit(&pari_me, memory_order_acquire); /* partner: the store at birth */
    return pari_likely(me != 0) ? me : pari_join();
}

extern pid_t pari_my_pid; /* written before pari_me */
pid_t pari_getpid(void);

/* getpid without the system call. */
static inline pid_t
pari_self_pid(void)
{
    return pari_likely(atomic_load_explicit(&pari_me, memory_order_acquire) != 0) ? pari_my_pid
                                                                                  : pari_getpid(); /* partner: birth */
}

/* Where it is, for a program that is started anew: there it must lie at the same address. */
struct pari_arena_place {
    int fd;
    uintptr_t at;
    uint64_t size;
};

/* In a program that was started anew: the arena is there, and a member that was reserved for it can be born. -1: EEXIST (something else
 * lies at its address), EINVAL (that is no arena), ENOMEM. */
int pari_attach(const struct pari_arena_place *place);

/* Birth. Parent before fork: reserve; child after fork: born (closes nothing, allocates nothing); parent when fork failed, or once
 * the child is reaped and its exit code read: release. */
pari_member pari_member_reserve(void);    /* 0 with errno: EAGAIN, ENOSPC */
int pari_member_born(pari_member member); /* in the child: makes it pari_self() */

/* Where the start of one member may be tried again, because who was to fork it has died: the child says which attempt it is of, before
 * anything else. False: that attempt does not count any more. The parent makes an attempt void: 0; or the pid of who has begun, unless
 * that one died before its birth. */
bool pari_member_claim(
    pari_member member); /* in a child that is no fork, first: if it was not given up, it is not from now on */
bool pari_member_begin(pari_member member, unsigned attempt);
pid_t pari_member_void(pari_member member, unsigned attempt);

void pari_member_bind(pari_member member);              /* in the parent, before fork: it is a daemon, and ends soon after us */
void pari_member_forked(pari_member member, pid_t pid); /* in the parent: who is to be born, so that all see its early death */
/* Sweeps what the dead left, then the slot may be used again: now or, if daemons of the dead still live, after their end. */
void pari_member_release(pari_member member);

/* Is it dead? Exact for one that has died by any signal, exited or exec'ed; false for the STARTING child of a live parent
 * that has not begun; true for 0. A load when it lives. */
bool pari_member_is_dead(pari_member member);
bool pari_member_is_released(pari_member member);    /* or about to be: its blocks are swept, or will be */
pid_t pari_member_pid(pari_member member);           /* 0 if not known any more */
pari_member pari_member_parent(pari_member member);  /* 0: none */
void pari_member_set_exit(int code);                 /* this process, right before it ends: a second source for its parent */
int pari_member_exit(pari_member member, int *code); /* 0, or -1: there is no code */
void pari_member_tell_exit(pari_member member, int code); /* by who has reaped it in its parent's place, who is woken */
const _Atomic uint32_t *pari_member_exit_word(pari_member member, uint32_t *none); /* to sleep on while it has that value */
const _Atomic uint32_t *pari_member_alive_word(pari_member member);                /* to sleep on */
/* Counts what is left for this member by many others, each in a place of its own: what has a lower number was left first. It may be
 * counted on after the member's death. */
_Atomic uint64_t *pari_member_turns(pari_member member);

/* ---- sleeping (nap.c) */

#define PARI_WAKE_NS 50000 /* what a wake-up across processors takes: so long a look is worth while */
#define PARI_LOOKS 32      /* between two questions for the time */

/* A series of bounded naps: zero-initialise one per wait, and call pari_nap in a loop around the predicate. */
struct pari_nap {
    int64_t slice; /* the last one's length */
    bool has_spun;
};

/* Sleep while *word == expected, at most until the deadline and never longer than a slice (10 ms doubling to 500 ms). A first nap
 * spins for up to 2 us before. Wakes early when one of the peers dies. 0: look at the predicate and the peers again.
 * -1: ETIMEDOUT, EINTR (par_interrupt). Peers that are 0 are passed over; at most PARI_MAX_WORDS - 1 are watched, the rest are
 * found by the slices. */
int pari_nap(struct pari_nap *nap, const _Atomic uint32_t *word, uint32_t expected, const pari_member *peers, unsigned n_peers,
             par_time deadline);

/* An event count: how sleepers and wakers of a shared object meet without losing a wake-up.
 *   sleeper: do { key = prepare(); if (predicate) break; wait(key) } ...        waker: make the predicate true; notify();
 * Bit 0: somebody may sleep; the other bits count notifications. All zero is ready. If a process dies between its commit and its
 * notify, or after having been woken and before it ran, the others' slices find the predicate. */
struct pari_eventcount {
    _Atomic uint32_t word;
    _Atomic uint32_t flags;
};

enum {
    PARI_MUST_FENCE = 1, /* a sleeper could not make the heavy fence: wakers make a full one */
    PARI_HAS_BELLS = 2   /* it is that of a struct pari_belled, and has been asked for a descriptor */
};

uint32_t pari_eventcount_prepare(struct pari_eventcount *ec);

/* Look on for so long, on a processor that nobody else needs, before the sleep: true if it was notified since the key. */
bool pari_eventcount_look(const struct pari_eventcount *ec, uint32_t key, int64_t ns);

/* Between the prepare and the look of a sleeper whose wakers use pari_eventcount_notify_light. */
void pari_eventcount_fence(struct pari_eventcount *ec);

/* Until notified, a peer died or a slice ended: 0 = look again; -1 as pari_nap. */
int pari_eventcount_wait(struct pari_eventcount *ec, uint32_t key, struct pari_nap *nap, const pari_member *peers,
                         unsigned n_peers, par_time deadline);
void pari_eventcount_notify(struct pari_eventcount *ec, int n); /* a fence and a load when nobody sleeps; signal-safe */

/* The same for a waker that is quicker than a fence: the sleepers, who call pari_eventcount_fence, make it for both. Was there
 * perhaps one? */
static inline bool
pari_eventcount_notify_light(struct pari_eventcount *ec, int n)
{
    uint32_t flags = atomic_load_explicit(&ec->flags, memory_order_relaxed);

    pari_fence_light((flags & PARI_MUST_FENCE) != 0); /* the commit before the look */
    if (pari_likely((atomic_load_explicit(&ec->word, memory_order_relaxed) & 1) == 0))
        return false;
    pari_eventcount_notify(ec, n);
    return true;
}

/* ---- descriptors for event loops (bell.c): an event count that several processes can have a descriptor of, readable when it has been
 * notified. A bell is a sleeper that does not sleep: its owner prepares the event count, looks, and goes back to its loop. */

#define PARI_MAX_BELLS 8

struct pari_belled {
    struct pari_eventcount ec; /* first: a notify finds the bells behind it */
    struct pari_bell {
        _Atomic pari_member owner; /* 0: nobody */
        _Atomic uint64_t number;   /* of its ringer */
    } bell[PARI_MAX_BELLS];
};

/* This process's descriptor, the same at each call; it stays ours. It is readable at first, after each notify that follows a prepare,
 * and twice a second, in case that who was to notify has died. -1: ENOSPC (so many live processes have one), EMFILE, ENFILE, ENOMEM. */
int pari_bell_fd(struct pari_belled *belled);

/* Make the descriptor unreadable, before the prepare and the look. False: this process has none. */
bool pari_bell_drain(struct pari_belled *belled);

void pari_bells_ring(struct pari_belled *belled); /* a notify's; safe in a signal handler */

/* By whoever is about to free the memory: this process's descriptor is closed, others close theirs by and by. Keeps errno. */
void pari_bell_close(struct pari_belled *belled);
void pari_bell_close(
    struct pari_belled *belled); /* before the memory goes: this process's descriptor, if it has one; keeps errno */

/* ---- the arena (arena.c) */

struct pari_arena_place pari_arena_place(void); /* the caller is a member */

bool pari_in_arena(const void *p);
bool pari_in_heap(const void *p);  /* and there is memory: it may be read */
size_t pari_arena_committed(void); /* bytes the arena has grown to */

/* Where the heap begins and how far it reaches, as far as this process has seen: it only grows. */
extern _Atomic uintptr_t pari_seen_start, pari_seen_length;

void pari_seen(const void *p); /* which is in the heap */

/* Is this an aligned address in the heap for certain? False says nothing. The alignment is a power of two, at most a page. */
static inline bool
pari_heap_has(const void *p, uintptr_t alignment)
{
    uintptr_t length = atomic_load_explicit(&pari_seen_length, memory_order_acquire); /* partner: pari_seen; before the start */
    uintptr_t offset = (uintptr_t)p - atomic_load_explicit(&pari_seen_start, memory_order_relaxed); /* the same from then on */

    return offset < length && (offset & (alignment - 1)) == 0;
}

/* ---- the heap (heap.c): blocks of the arena, zeroed, 64-byte aligned, usable in every member */

/* `owner` 0: the family's, never swept. A member: the library's own block, swept after that member's death.
 * NULL: ENOSPC (the arena is full), EOVERFLOW. The call joins the family if need be. */
void *pari_heap_alloc(size_t n, size_t size, pari_member owner);
int pari_heap_free(void *block);               /* -1 EINVAL: not a live block. Returns the cells of locks inside it */
bool pari_heap_is_block(const void *block);    /* the start of a live block? */
size_t pari_heap_length(const void *block);    /* n of its allocation; 0 if it is no block */
size_t pari_heap_in_use(void);                 /* bytes in live blocks: for leak tests */
void *pari_heap_lock_words(const void *block); /* 16 zeroed bytes in the block's header, for par_lock_of; NULL if no block */

/* ---- whose a block is (owner.c) */

void pari_heap_own(void *block, pari_member owner); /* one store */
/* A block of this process's that nobody else knows yet is offered under a number, which no other offer of this process has; who adopts it
 * makes it the family's. One alone of adopt and withdraw is true. */
void pari_heap_offer(void *block, uint64_t offer);
bool pari_heap_adopt(void *block, pari_member from, uint64_t offer);
bool pari_heap_withdraw(void *block, uint64_t offer);
/* Until *fate is `keep`, the block belongs to its owner; from then on to the family. `fate` must outlive the owner's sweep. */
void pari_heap_fate(void *block, const _Atomic uint8_t *fate, uint8_t keep);
/* The block is its owner's and, when that one leaves it or dies, the heir's; once the heir's slot is released it is freed instead. The
 * heir frees it when its owner has left it or is dead. False: it is no live block of that owner's, or has an heir. */
bool pari_heap_share(void *block, pari_member owner, pari_member heir);
void pari_heap_leave(void *block);    /* by its owner, who must not touch it any more */
void pari_heap_renounce(void *block); /* by its heir, who must not touch it any more: it is freed if its owner has left it */
pari_member pari_heap_owner(const void *block);
void pari_heap_sweep(pari_member dead); /* free what a dead member owned */

/* ---- cells (cell.c): type-stable memory behind the small public locks. A cell begins with a robust mutex, initialised once and
 * never given other content as long as the arena lives (the kernel may still write to a mutex after its unlock). */

struct pari_cell {
    struct pari_mutex mutex;
    _Atomic uintptr_t home; /* address of the public object it serves; 0 = none any more */
    uint32_t next;          /* the heap's list of cells that live in one page */
    uint32_t kind;          /* enum pari_cell_kind */
    _Alignas(8) unsigned char state[256 - 2 * sizeof(struct pari_mutex) - 24]; /* the object's own fields, zeroed; the first 8
                                                                                  bytes are on the mutex's line */
    struct pari_mutex guard;      /* a second one, for what is done while the first is held by a user */
    _Atomic uintptr_t attachment; /* a block that lives and dies with the cell, or 0 */
};

enum pari_cell_kind {
    PARI_CELL_LOCK = 1,
    PARI_CELL_RLOCK,
    PARI_CELL_SEMAPHORE,
    PARI_CELL_CONDITION,
    PARI_CELL_BARRIER,
    PARI_CELL_QUEUE,
    PARI_CELL_RWLOCK
};

/* The cell if it is plain to see, else NULL, which says nothing. A link that holds the address of its own cell is right: garbage, and
 * the copy of a lock, are recognised by the home. */
static inline struct pari_cell *
pari_cell_quick(const _Atomic uint64_t *link, enum pari_cell_kind kind)
{
    struct pari_cell *cell;

    if (pari_unlikely(!pari_heap_has(link, 8)))
        return NULL;
    cell = (struct pari_cell *)(uintptr_t)atomic_load_explicit(link, memory_order_acquire); /* partner: pari_cell_publish */
    return pari_likely(pari_heap_has(cell, 64) && cell->kind == kind &&
                       atomic_load_explicit(&cell->home, memory_order_relaxed) == (uintptr_t)link)
               ? cell
               : NULL;
}

struct pari_cell *pari_cell_find_or_make(_Atomic uint64_t *link, enum pari_cell_kind kind);
struct pari_cell *pari_cell_find(const _Atomic uint64_t *link, enum pari_cell_kind kind);

/* The cell of the object at `home`, whose first 8 bytes are `*link`: made and published by one CAS if the link is 0.
 * NULL: EINVAL (not inside the arena, or `*link` is garbage, a copy of another object, or of another kind), ENOSPC. */
static inline struct pari_cell *
pari_cell_of(_Atomic uint64_t *link, enum pari_cell_kind kind)
{
    struct pari_cell *cell = pari_cell_quick(link, kind);

    return pari_likely(cell != NULL) ? cell : pari_cell_find_or_make(link, kind);
}

/* The same, but never makes one: NULL ENOENT. */
static inline struct pari_cell *
pari_cell_look(const _Atomic uint64_t *link, enum pari_cell_kind kind)
{
    struct pari_cell *cell = pari_cell_quick(link, kind);

    return pari_likely(cell != NULL) ? cell : pari_cell_find(link, kind);
}

/* For objects with options: a cell that is not published yet, with a zeroed attachment of so many bytes; then publish it.
 * -1 EBUSY: the link has a cell already; the new one is dropped. */
struct pari_cell *pari_cell_make(_Atomic uint64_t *link, enum pari_cell_kind kind, size_t attachment);
int pari_cell_publish(struct pari_cell *cell);

/* ---- handles: blocks that start with who made them */

enum pari_kind {
    PARI_PROCESS = 1,
    PARI_THREAD,
    PARI_CONN,
    PARI_QUEUE,
    PARI_POOL,
    PARI_MANAGER,
    PARI_LIST_PROXY,
    PARI_DICT_PROXY,
    PARI_MAILBOX,
    PARI_FUTURE,
    PARI_IMAP,
    PARI_SHM,
    PARI_SHAREABLE_LIST,
    PARI_NAMESPACE_PROXY,
    PARI_TYPED_PROXY,
    PARI_PQUEUE
};

struct pari_handle {
    uint64_t key; /* pari_handle_key(kind); 0: freed */
    pari_member creator;
};

static inline uint64_t
pari_handle_key(enum pari_kind kind)
{
    return UINT64_C(0x6872617000000000) | (uint64_t)kind;
}

/* A zeroed block of `size` bytes that starts with a valid pari_handle made by this process; the family's until freed. */
void *pari_handle_new(enum pari_kind kind, size_t size);
void *pari_handle_new_private(enum pari_kind kind, size_t size); /* of use to this process alone: swept after its death */
void pari_handle_free(void *handle);                             /* keeps errno; the handle is EINVAL from then on */

/* Is it certainly a live handle of that kind? False says nothing. */
static inline bool
pari_handle_is(const void *handle, enum pari_kind kind)
{
    return pari_likely(pari_heap_has(handle, 64)) && ((const struct pari_handle *)handle)->key == pari_handle_key(kind);
}

/* 0 = a live handle of that kind; -1 EINVAL (NULL, freed, another kind, not in the arena). Joins the family if need be. */
int pari_handle_check_slowly(const void *handle, enum pari_kind kind);

static inline int
pari_handle_check(const void *handle, enum pari_kind kind)
{
    if (pari_likely(pari_handle_is(handle, kind) &&
                    atomic_load_explicit(&pari_me, memory_order_acquire) != 0)) /* partner: birth */
        return 0;
    return pari_handle_check_slowly(handle, kind);
}

int pari_handle_check_mine(const void *handle, enum pari_kind kind); /* and made by this process, else EPERM */

#endif
