/* SPDX-License-Identifier: MIT
 *
 * bell.c: descriptors that become readable when an event count is notified.
 *
 * A notify cannot write to a descriptor of another process. It sends a byte to the ringer of each bell, a socket that is found by its
 * number from anywhere. What the program gets is an epoll descriptor over the ringer and a timer: a notifier that died between its change
 * and the ring is made good by the timer, as everywhere by the slices.
 *
 * Shared state: a bell's owner, by a CAS from nobody or a dead one to this process; then its number. A ring for a number that is being
 * changed meets nobody; the descriptor is readable at first, so nothing is missed.
 * Private state: the list of descriptors, under the private lock of the process. A forked child has none of them.
 * Lock order: none are taken beyond that.
 * If a process dies here: its bells are rung for nothing until somebody takes their places.
 */
#include "arena.h"

#include "../os/socket.h"

#include <stdlib.h>

#define TIMER_NS 500000000

struct descriptor {
    struct descriptor *next;
    const struct pari_belled *belled;
    uint64_t number; /* tells whether the bell is still there: its memory may serve something else */
    int epoll, ringer, timer;
};

static struct descriptor *descriptors;

/* ---- the list, under the private lock */

static void
forget(void)
{
    while (descriptors != NULL) {
        struct descriptor *d = descriptors;

        descriptors = d->next;
        free(d); /* its descriptors are closed in a child */
    }
}

static void
destroy(struct descriptor *d)
{
    pari_fd_close(d->epoll);
    pari_fd_close(d->ringer);
    pari_fd_close(d->timer);
    free(d);
}

/* The place of this process's bell; NULL: it has none. */
static struct pari_bell *
bell_of(struct pari_belled *belled)
{
    pari_member me = pari_self();

    for (int i = 0; i < PARI_MAX_BELLS; i++)
        if (atomic_load(&belled->bell[i].owner) == me)
            return &belled->bell[i];
    return NULL;
}

static struct descriptor *
find(struct pari_belled *belled)
{
    const struct pari_bell *bell = bell_of(belled);
    uint64_t number = bell != NULL ? atomic_load(&bell->number) : 0;
    struct descriptor *d = bell != NULL ? descriptors : NULL;

    while (d != NULL && (d->belled != belled || d->number != number))
        d = d->next;
    return d;
}

/* Those whose object others have freed. */
static void
sweep(void)
{
    for (struct descriptor **at = &descriptors; *at != NULL;) {
        struct descriptor *d = *at;

        if (find((struct pari_belled *)(uintptr_t)d->belled) == d)
            at = &d->next;
        else {
            *at = d->next;
            destroy(d);
        }
    }
}

static struct descriptor *
make(const struct pari_belled *belled)
{
    struct descriptor *d = pari_malloc(sizeof *d);

    if (d == NULL)
        return NULL;
    *d = (struct descriptor){ .belled = belled, .epoll = pari_epoll_new(), .ringer = -1, .timer = -1 };
    if (d->epoll >= 0 && (d->ringer = pari_ringer_new(&d->number)) >= 0 && (d->timer = pari_timer_new(TIMER_NS)) >= 0 &&
        pari_epoll_add(d->epoll, d->ringer, PARI_READABLE, NULL) == 0 &&
        pari_epoll_add(d->epoll, d->timer, PARI_READABLE, NULL) == 0)
        return d;
    destroy(d);
    return NULL;
}

/* NULL ENOSPC. */
static struct pari_bell *
claim(struct pari_belled *belled)
{
    struct pari_bell *mine = bell_of(belled); /* with a number of another life of this memory */

    for (int i = 0; i < PARI_MAX_BELLS && mine == NULL; i++) {
        pari_member owner = atomic_load(&belled->bell[i].owner);

        if (pari_member_is_dead(owner) &&
            atomic_compare_exchange_strong(&belled->bell[i].owner, &owner, pari_self())) /* or 0 */
            mine = &belled->bell[i];
    }
    return mine != NULL ? mine : pari_null(ENOSPC);
}

static struct descriptor *
open_new(struct pari_belled *belled)
{
    struct descriptor *d;
    struct pari_bell *bell;

    sweep();
    d = make(belled);
    if (d == NULL)
        return NULL;
    bell = claim(belled);
    if (bell == NULL) {
        destroy(d);
        return NULL;
    }
    atomic_store(&bell->number, d->number);
    atomic_fetch_or(&belled->ec.flags, PARI_HAS_BELLS);
    (void)pari_ringer_ring(d->number); /* look once: something may be there */
    d->next = descriptors;
    descriptors = d;
    return d;
}

/* ---- */

int
pari_bell_fd(struct pari_belled *belled)
{
    struct descriptor *d;
    int fd = -1, cancel = pari_cancel_off();

    (void)pari_at_fork(forget);
    pari_private_lock();
    d = find(belled);
    if (d == NULL)
        d = open_new(belled);
    if (d != NULL)
        fd = d->epoll;
    pari_private_unlock();
    pari_cancel_restore(cancel);
    return fd;
}

bool
pari_bell_drain(struct pari_belled *belled)
{
    const struct descriptor *d;

    if (pari_likely((atomic_load(&belled->ec.flags) & PARI_HAS_BELLS) == 0))
        return false;
    pari_private_lock();
    d = find(belled);
    if (d != NULL) {
        pari_ringer_drain(d->ringer);
        pari_ringer_drain(d->timer);
    }
    pari_private_unlock();
    return d != NULL;
}

void
pari_bells_ring(struct pari_belled *belled)
{
    for (int i = 0; i < PARI_MAX_BELLS; i++) {
        pari_member owner = atomic_load(&belled->bell[i].owner);

        if (owner != 0 && !pari_ringer_ring(atomic_load(&belled->bell[i].number)) && pari_member_is_dead(owner))
            (void)atomic_compare_exchange_strong(&belled->bell[i].owner, &owner, 0);
    }
}

void
pari_bell_close(struct pari_belled *belled)
{
    int saved = errno;

    if ((atomic_load(&belled->ec.flags) & PARI_HAS_BELLS) != 0) {
        for (int i = 0; i < PARI_MAX_BELLS; i++)
            atomic_store(&belled->bell[i].owner, 0);
        pari_private_lock();
        sweep();
        pari_private_unlock();
    }
    errno = saved;
}
