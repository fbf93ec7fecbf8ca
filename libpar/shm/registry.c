/* SPDX-License-Identifier: MIT
 *
 * registry.c: who belongs to the family, and who is dead.
 *
 * Shared state: the slots. A slot's tag (generation, state) changes only under the registry's lock, except STARTING -> LIVE, which
 * the process itself does, by a CAS that fails if it was given up meanwhile; everyone reads it, since a member id carries the
 * generation it was made with. The alive word is a
 * robust mutex that a thread of the process holds for life: the kernel marks it when that thread ends. A record lock on byte
 * `slot` of the arena's file belongs to the process itself. Dead = the word is marked and the record lock is gone.
 * A daemon outlives its parent by the moment that its kill takes, and may be using what its parent owned, a job it works on: so the
 * parent's slot is released after those of its daemons.
 * Lock order: registry, then heap.
 * If a process dies here: each transition is one store, so the lock needs no repair. A slot that died STARTING is judged by the
 * pid its parent noted; if the parent is dead, too, and the byte is free, anyone may release it. A release that was cut off is begun again.
 */
#include "arena.h"

#include <limits.h>
#include <unistd.h>

enum slot_state { SLOT_FREE = 0, SLOT_STARTING, SLOT_LIVE, SLOT_DEAD /* being released */ };

#define NO_EXIT_CODE INT32_MIN
#define PATIENCE_NS 1000000000 /* of one whose byte another one has for a moment */

_Atomic pari_member pari_me;
pid_t pari_my_pid;

static enum slot_state
state_of(uint64_t tag)
{
    return (enum slot_state)(tag & 0xff);
}

static pari_member
member_of(unsigned index, uint64_t tag)
{
    return (tag >> 8) << PARI_SLOT_BITS | index;
}

/* The member's slot, or NULL if the slot has moved on to another generation or the id is no id. */
static struct pari_slot *
slot_of(pari_member member, uint64_t *tag)
{
    unsigned index = pari_slot_of(member);
    struct pari_slot *slot;

    if (pari_arena == NULL || member == 0 || index >= PARI_MAX_MEMBERS)
        return NULL;
    slot = pari_slot_at(index);
    *tag = atomic_load_explicit(&slot->tag, memory_order_acquire); /* partner: set_state */
    return *tag >> 8 == member >> PARI_SLOT_BITS && state_of(*tag) != SLOT_FREE ? slot : NULL;
}

static void
set_state(struct pari_slot *slot, uint64_t generation, enum slot_state state)
{
    atomic_store_explicit(&slot->tag, generation << 8 | state, memory_order_release); /* partner: slot_of */
}

static int
registry_lock(void)
{
    int held = pari_mutex_enter(&pari_arena->registry);

    if (held == PARI_HELD_AFTER_DEATH)
        pari_mutex_recovered(&pari_arena->registry);
    return held < 0 ? -1 : 0;
}

static void
registry_unlock(void)
{
    (void)pari_mutex_unlock(&pari_arena->registry); /* held by this thread: cannot fail */
}

/* ---- life and death */

static bool
record_is_held(const struct pari_slot *slot, unsigned index)
{
    int held = pari_record_is_held(pari_arena_fd, index);

    return held >= 0 ? held == 1 : pari_pid_exists(atomic_load(&slot->pid));
}

/* Not yet forked, forked and on its way, or dead before it was born: then it is a zombie, if its parent lives. Whose start was an
 * attempt has the byte before it begins; its pid may be another one's by now. */
static bool
starting_is_dead(const struct pari_slot *slot, unsigned index)
{
    pid_t pid = atomic_load(&slot->forked);
    bool has_begun = (uint32_t)atomic_load(&slot->start) != 0;

    return (has_begun || (pid != 0 && pari_pid_has_ended(pid)) || pari_member_is_dead(atomic_load(&slot->parent))) &&
           !record_is_held(slot, index);
}

bool
pari_member_is_dead(pari_member member)
{
    unsigned index = pari_slot_of(member);
    uint64_t tag;
    struct pari_slot *slot;

    if (member == pari_me && member != 0)
        return false;
    slot = slot_of(member, &tag);
    if (slot == NULL)
        return true;
    if (state_of(tag) != SLOT_LIVE)
        return state_of(tag) == SLOT_DEAD || starting_is_dead(slot, index);
    return pari_unlikely(!pari_mutex_is_locked(&slot->alive)) && !record_is_held(slot, index);
}

bool
pari_member_is_released(pari_member member)
{
    uint64_t tag;

    return slot_of(member, &tag) == NULL || state_of(tag) == SLOT_DEAD;
}

const _Atomic uint32_t *
pari_member_alive_word(pari_member member)
{
    return pari_mutex_word(&pari_slot_at(pari_slot_of(member) % PARI_MAX_MEMBERS)->alive);
}

_Atomic uint64_t *
pari_member_turns(pari_member member)
{
    return &pari_slot_at(pari_slot_of(member) % PARI_MAX_MEMBERS)->n_turns;
}

void
pari_member_doubt(pari_member member)
{
    unsigned index = pari_slot_of(member);
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);
    uint32_t word;

    if (slot == NULL || member == pari_me || state_of(tag) != SLOT_LIVE || !pari_pid_has_ended(atomic_load(&slot->pid)))
        return;
    word =
        atomic_load(pari_mutex_word(&slot->alive)); /* another one, should the slot have a new owner by the time of the mark */
    if (pari_record_is_held(pari_arena_fd, index) == 0 && atomic_load(&slot->tag) == tag)
        pari_mutex_mark(&slot->alive, word);
}

pid_t
pari_member_pid(pari_member member)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);

    return slot ? atomic_load(&slot->pid) : 0;
}

pari_member
pari_member_parent(pari_member member)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);

    return slot ? atomic_load(&slot->parent) : 0;
}

void
pari_member_set_exit(int code)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(pari_me, &tag);

    if (slot != NULL)
        atomic_store(&slot->exit_code, code);
}

int
pari_member_exit(pari_member member, int *code)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);
    int value = slot ? atomic_load(&slot->exit_code) : NO_EXIT_CODE;

    if (value == NO_EXIT_CODE)
        return -1;
    *code = value;
    return 0;
}

void
pari_member_tell_exit(pari_member member, int code)
{
    uint64_t tag;
    struct pari_slot *slot;

    if (registry_lock() != 0)
        return;
    slot = slot_of(member, &tag); /* as long as we have the lock it is not given to another one */
    if (slot != NULL)
        atomic_store(&slot->exit_code, code);
    registry_unlock();
    if (slot != NULL)
        (void)pari_futex_wake((const _Atomic uint32_t *)&slot->exit_code, INT_MAX);
}

const _Atomic uint32_t *
pari_member_exit_word(pari_member member, uint32_t *none)
{
    *none = (uint32_t)NO_EXIT_CODE;
    return (const _Atomic uint32_t *)&pari_slot_at(pari_slot_of(member) % PARI_MAX_MEMBERS)->exit_code;
}

/* ---- attempts to start one: generation << 40 | attempt << 32 | pid of who has begun it, so that one store settles it and a child
 * of another life of the slot counts for nothing */

static uint64_t
attempt_of(pari_member member, unsigned attempt)
{
    return (member >> PARI_SLOT_BITS) << 40 | (uint64_t)(attempt & 0xff) << 32;
}

bool
pari_member_begin(pari_member member, unsigned attempt)
{
    struct pari_slot *slot = pari_slot_at(pari_slot_of(member) % PARI_MAX_MEMBERS);
    uint64_t now = attempt_of(member, attempt);

    return atomic_compare_exchange_strong(&slot->start, &now, now | (uint32_t)getpid());
}

pid_t
pari_member_void(pari_member member, unsigned attempt)
{
    struct pari_slot *slot = pari_slot_at(pari_slot_of(member) % PARI_MAX_MEMBERS);
    uint64_t now = attempt_of(member, attempt), next = attempt_of(member, attempt + 1);

    if (atomic_compare_exchange_strong(&slot->start, &now, next))
        return 0;
    if (pari_member_is_dead(member) && atomic_load(&slot->pid) == 0 && atomic_compare_exchange_strong(&slot->start, &now, next))
        return 0;
    return (pid_t)(uint32_t)now;
}

/* ---- reservation and release */

/* Does anyone live that is to end with this one? */
static bool
has_live_daemons(pari_member member)
{
    if (atomic_load(&pari_slot_at(pari_slot_of(member))->has_bound) == 0)
        return false;
    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++) {
        const struct pari_slot *slot = pari_slot_at(i);
        uint64_t tag = atomic_load(&slot->tag);
        if (state_of(tag) != SLOT_FREE && atomic_load(&slot->is_bound) && atomic_load(&slot->parent) == member &&
            !pari_member_is_dead(member_of(i, tag)))
            return true;
    }
    return false;
}

/* Under the registry's lock, the member being dead. Sweeping twice is harmless, so a death in between is. False: it was born after
 * all, a moment ago. */
static bool
release_slot(struct pari_slot *slot, unsigned index, uint64_t tag)
{
    if (!atomic_compare_exchange_strong(&slot->tag, &tag, (tag & ~UINT64_C(0xff)) | SLOT_DEAD))
        return false;
    if (atomic_load(&slot->is_made))
        pari_mutex_mark(&slot->alive, atomic_load(pari_mutex_word(&slot->alive))); /* for those who remember it; mostly it is */
    pari_heap_sweep(member_of(index, tag));
    set_state(slot, tag >> 8, SLOT_FREE);
    return true;
}

void
pari_member_release(pari_member member)
{
    uint64_t tag;
    struct pari_slot *slot;
    int saved = errno;

    if (slot_of(member, &tag) != NULL && registry_lock() == 0) {
        slot = slot_of(member, &tag);
        if (slot != NULL && has_live_daemons(member))
            atomic_store(&slot->parent, 0); /* reaped: it is anyone's to release, later */
        else if (slot != NULL)
            (void)release_slot(slot, pari_slot_of(member), tag);
        registry_unlock();
    }
    errno = saved;
}

/* The dead that nobody will reap: their parent is dead, or they had none. */
static bool
is_abandoned(const struct pari_slot *slot, unsigned index, uint64_t tag)
{
    pari_member member = member_of(index, tag);

    return state_of(tag) != SLOT_FREE && pari_member_is_dead(atomic_load(&slot->parent)) && pari_member_is_dead(member) &&
           !has_live_daemons(member);
}

static int
sweep_locked(void)
{
    int n = 0;

    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++) {
        struct pari_slot *slot = pari_slot_at(i);
        uint64_t tag = atomic_load(&slot->tag);
        if (is_abandoned(slot, i, tag))
            n += release_slot(slot, i, tag);
    }
    return n;
}

int
pari_registry_sweep(void)
{
    int n;

    if (registry_lock() != 0)
        return 0;
    n = sweep_locked();
    registry_unlock();
    return n;
}

/* One that was killed while it claimed a slot has its byte for a moment longer than the registry's lock: the kernel gives back an
 * address space, with its robust mutexes, before the files. */
static bool
is_free(const struct pari_slot *slot, unsigned index)
{
    return state_of(atomic_load(&slot->tag)) == SLOT_FREE && pari_record_is_held(pari_arena_fd, index) != 1;
}

static int
prepare_slot(struct pari_slot *slot, pari_member parent)
{
    if (!atomic_load(&slot->is_made)) {
        if (pari_mutex_init(&slot->alive) != 0)
            return -1;
        atomic_store(&slot->is_made, 1);
    }
    atomic_store(&slot->parent, parent);
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->forked, 0);
    atomic_store(&slot->is_bound, 0);
    atomic_store(&slot->has_bound, 0);
    atomic_store(&slot->exit_code, NO_EXIT_CODE);
    return 0;
}

/* Without a parent to judge it, the record lock must speak for the newcomer from the first moment. */
static int
claim_slot(unsigned index, pari_member parent)
{
    if (prepare_slot(pari_slot_at(index), parent) != 0)
        return -1;
    return parent == 0 ? pari_record_lock(pari_arena_fd, index) : 0;
}

/* Of a slot that nobody has: its index. A byte that was free and is not any more is that of one which was given up, and comes to
 * be born only now: it will find that out. */
static int
claim_any(pari_member parent)
{
    uint32_t first = pari_arena->next_slot;

    for (unsigned i = 0; i < PARI_MAX_MEMBERS; i++) {
        unsigned index = (first + i) % PARI_MAX_MEMBERS;
        struct pari_slot *slot = pari_slot_at(index);
        uint64_t tag = atomic_load(&slot->tag);
        if (is_abandoned(slot, index, tag))
            (void)release_slot(slot, index, tag);
        if (!is_free(slot, index))
            continue;
        if (claim_slot(index, parent) == 0)
            return (int)index;
        if (errno != EAGAIN && errno != EACCES)
            return -1;
    }
    return pari_fail(EAGAIN);
}

static pari_member
reserve(pari_member parent)
{
    pari_member member = 0;
    int index;

    if (registry_lock() != 0)
        return 0;
    index = claim_any(parent);
    if (index >= 0) {
        struct pari_slot *slot = pari_slot_at((unsigned)index);
        uint64_t generation = (atomic_load(&slot->tag) >> 8) + 1;
        member = generation << PARI_SLOT_BITS | (unsigned)index;
        atomic_store(&slot->start, attempt_of(member, 0));
        set_state(slot, generation, SLOT_STARTING);
        pari_arena->next_slot = ((unsigned)index + 1) % PARI_MAX_MEMBERS;
    }
    registry_unlock();
    return member;
}

pari_member
pari_member_reserve(void)
{
    pari_member me = pari_self();

    return me ? reserve(me) : 0;
}

/* Hold the alive word for life. The last holder is dead or exec'ed, so it is free or marked. */
static int
take_alive_word(struct pari_slot *slot)
{
    int held = pari_mutex_lock(&slot->alive, PAR_NOWAIT);

    if (held < 0)
        return -1;
    if (held == PARI_HELD_AFTER_DEATH)
        pari_mutex_recovered(&slot->alive);
    pari_mutex_announce(&slot->alive);
    return 0;
}

/* A slot that was given up may still be somebody's who is born too late: until that one finds out it holds the byte for a moment. */
static int
lock_byte(const struct pari_slot *slot, unsigned index, uint64_t tag)
{
    int64_t end = pari_now_ns() + PATIENCE_NS;

    while (pari_record_lock(pari_arena_fd, index) != 0) {
        if ((errno != EAGAIN && errno != EACCES) || atomic_load(&slot->tag) != tag || pari_now_ns() > end)
            return -1;
        pari_pause();
    }
    return 0;
}

bool
pari_member_claim(pari_member member)
{
    unsigned index = pari_slot_of(member);
    uint64_t tag;
    const struct pari_slot *slot;
    bool is_ours = false;

    if (registry_lock() != 0)
        return false;
    slot = slot_of(member, &tag); /* while we have the lock it is not released; with the byte it does not look dead */
    if (slot != NULL && state_of(tag) == SLOT_STARTING)
        is_ours = lock_byte(slot, index, tag) == 0;
    registry_unlock();
    return is_ours;
}

int
pari_member_born(pari_member member)
{
    unsigned index = pari_slot_of(member);
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);

    if (slot == NULL || state_of(tag) != SLOT_STARTING)
        return pari_fail(EINVAL);
    if (lock_byte(slot, index, tag) != 0)
        return -1;
    /* Whose parent died may have been given up before the record lock was there to speak for it. */
    if (!atomic_compare_exchange_strong(&slot->tag, &tag, (tag & ~UINT64_C(0xff)) | SLOT_LIVE)) {
        (void)pari_record_unlock(pari_arena_fd, index);
        return pari_fail(EINVAL);
    }
    pari_my_pid = getpid();
    atomic_store(&slot->pid, pari_my_pid);
    if (take_alive_word(slot) != 0) {
        (void)pari_record_unlock(pari_arena_fd, index);
        return -1;
    }
    atomic_store_explicit(&pari_me, member, memory_order_release); /* partner: pari_self */
    return 0;
}

void
pari_member_bind(pari_member member)
{
    uint64_t tag;
    struct pari_slot *mine = slot_of(pari_me, &tag), *slot = slot_of(member, &tag);

    if (mine == NULL || slot == NULL)
        return;
    atomic_store(&mine->has_bound, 1);
    atomic_store(&slot->is_bound, 1);
}

void
pari_member_forked(pari_member member, pid_t pid)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(member, &tag);

    if (slot != NULL)
        atomic_store(&slot->forked, pid);
}

void
pari_member_refresh(void)
{
    uint64_t tag;
    struct pari_slot *slot = slot_of(pari_me, &tag);

    if (slot != NULL && pari_unlikely(!pari_mutex_is_locked(&slot->alive)))
        (void)take_alive_word(slot); /* another thread may be quicker; the record lock speaks for us meanwhile */
}

pid_t
pari_getpid(void)
{
    return getpid();
}

/* ---- joining */

static void
forget_me(void)
{
    atomic_store(&pari_me, 0);
}

static int
join_locked(void)
{
    pari_member member;

    if (pari_me != 0) /* another thread was quicker */
        return 0;
    if (pari_arena == NULL && pari_arena_make() != 0)
        return -1;
    member = reserve(0);
    if (member == 0)
        return -1;
    if (pari_member_born(member) != 0) {
        int error = errno;
        (void)pari_record_unlock(pari_arena_fd, pari_slot_of(member)); /* or the slot's next process could not lock it */
        pari_member_release(member);
        return pari_fail(error);
    }
    return 0;
}

pari_member
pari_join(void)
{
    int result, cancel = pari_cancel_off(); /* the lock is a plain one: nobody could take it again */

    if (pari_at_fork(forget_me) != 0)
        return 0;
    pari_private_lock();
    result = join_locked();
    pari_private_unlock();
    pari_cancel_restore(cancel);
    return result == 0 ? pari_me : 0;
}

int
pari_attach(const struct pari_arena_place *place)
{
    pari_fence_register(); /* the queues and pipes are there already */
    return pari_at_fork(forget_me) == 0 && pari_mutex_learn() == 0 ? pari_arena_attach(place) : -1;
}
