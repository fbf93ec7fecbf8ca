/* SPDX-License-Identifier: MIT
 *
 * line.c: the line of a fair lock.
 *
 * Shared state: head and tail are tickets; the place of a ticket names the member that drew it, 0 once it has left. All are
 * changed under the cell's guard, but a place is cleared by its owner without it; all may be read without it, as hints that are
 * looked at again under the guard before head moves.
 * Lock order: the guard is taken with the lock free or about to be released, and nothing is taken under it.
 * If a process dies here: drawing is one store of tail after the place is filled, so the guard needs no repair. A dead member's
 * place is passed over by whoever finds it at the head. A thread that died while it held the lock, its process living on, is
 * recognised by the mark on the lock while the last ticket served is still at the head.
 */
#include "line.h"

#include <limits.h>

void
pari_line_init(struct pari_line *line)
{
    atomic_store(&line->serving, UINT64_MAX);
}

static _Atomic pari_member *
place_of(const struct pari_cell *cell, uint64_t ticket)
{
    /* Relaxed: constant once the cell is published. */
    return (_Atomic pari_member *)atomic_load_explicit(&cell->attachment, memory_order_relaxed) + ticket % PARI_LINE_MAX;
}

static int
guard(struct pari_cell *cell)
{
    int held = pari_mutex_enter(&cell->guard);

    if (held == PARI_HELD_AFTER_DEATH)
        pari_mutex_recovered(&cell->guard);
    return held < 0 ? -1 : 0;
}

static void
unguard(struct pari_cell *cell)
{
    (void)pari_mutex_unlock(&cell->guard); /* held by this thread: cannot fail */
}

static bool
has_left(const struct pari_line *line, const struct pari_cell *cell, uint64_t ticket)
{
    pari_member member = atomic_load(place_of(cell, ticket));

    if (member == 0 || pari_member_is_dead(member))
        return true;
    return atomic_load(&line->serving) == ticket && pari_mutex_owner_died(&cell->mutex) && !pari_mutex_is_locked(&cell->mutex);
}

/* Move head past those that have left or died. */
static void
advance(struct pari_line *line, struct pari_cell *cell)
{
    uint64_t before, head;

    if (guard(cell) != 0)
        return;
    before = head = atomic_load(&line->head);
    while (head < atomic_load(&line->tail) && has_left(line, cell, head))
        head++;
    atomic_store(&line->head, head);
    unguard(cell);
    if (head != before)
        pari_eventcount_notify(&line->turn, INT_MAX);
}

static int
draw(struct pari_line *line, struct pari_cell *cell, uint64_t *ticket)
{
    uint64_t tail;
    int result = 0;

    if (guard(cell) != 0)
        return -1;
    tail = atomic_load(&line->tail);
    if (tail - atomic_load(&line->head) >= PARI_LINE_MAX)
        result = pari_fail(EAGAIN);
    else {
        atomic_store(place_of(cell, tail), pari_self());
        atomic_store(&line->tail, tail + 1);
        *ticket = tail;
    }
    unguard(cell);
    return result;
}

/* Is it this ticket's turn, once those that left are passed over? */
static bool
is_turn(struct pari_line *line, struct pari_cell *cell, uint64_t ticket)
{
    uint64_t head = atomic_load(&line->head);

    if (head < ticket && has_left(line, cell, head)) {
        advance(line, cell);
        head = atomic_load(&line->head);
    }
    return head >= ticket;
}

int
pari_line_enter(struct pari_line *line, struct pari_cell *cell, uint64_t *ticket, par_time deadline)
{
    struct pari_nap nap = { 0 };

    if (draw(line, cell, ticket) != 0)
        return -1;
    if (is_turn(line, cell, *ticket))
        return 0; /* nobody has been told that somebody waits */
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&line->turn);
        pari_member first = atomic_load(place_of(cell, atomic_load(&line->head)));
        if (is_turn(line, cell, *ticket))
            return 0;
        if (pari_eventcount_wait(&line->turn, key, &nap, &first, 1, deadline) != 0) {
            int saved = errno;
            pari_line_leave(line, cell, *ticket);
            return pari_fail(saved);
        }
    }
}

void
pari_line_leave(struct pari_line *line, struct pari_cell *cell, uint64_t ticket)
{
    bool is_first = false;

    atomic_store(place_of(cell, ticket), 0);
    if (guard(cell) != 0)
        return;
    if (atomic_load(&line->head) == ticket) {
        uint64_t head = ticket + 1;
        while (head < atomic_load(&line->tail) && atomic_load(place_of(cell, head)) == 0)
            head++;
        atomic_store(&line->head, head);
        is_first = true;
    }
    unguard(cell);
    if (is_first)
        pari_eventcount_notify(&line->turn, INT_MAX);
}

int
pari_line_length(const struct pari_line *line, const struct pari_cell *cell)
{
    int n = 0;

    for (uint64_t ticket = atomic_load(&line->head); ticket < atomic_load(&line->tail); ticket++) {
        pari_member member = atomic_load(place_of(cell, ticket));
        n += member != 0 && !pari_member_is_dead(member);
    }
    return n;
}
