/* SPDX-License-Identifier: MIT
 *
 * line.c: the line of a fair lock.
 *
 * Shared state: head and tail are tickets; place[ticket % PARI_LINE_MAX] names the member that drew it, 0 once it has left. All
 * are changed under the guard, but a place is cleared by its owner without it; all may be read without it, as hints that are
 * looked at again under the guard before head moves.
 * Lock order: the guard is taken with the lock free or about to be released, and nothing is taken under it.
 * If a process dies here: drawing is one store of tail after the place is filled, so the guard needs no repair. A dead member's
 * place is passed over by whoever finds it at the head. A thread that died while it held the lock, its process living on, is
 * recognised by the mark on the lock while the last ticket served is still at the head.
 */
#include "line.h"

#include <limits.h>

int
pari_line_init(struct pari_line *line)
{
    atomic_store(&line->serving, UINT64_MAX);
    return pari_mutex_init(&line->guard);
}

static int
guard(struct pari_line *line)
{
    int held = pari_mutex_enter(&line->guard);

    if (held == PARI_HELD_AFTER_DEATH)
        pari_mutex_recovered(&line->guard);
    return held < 0 ? -1 : 0;
}

static void
unguard(struct pari_line *line)
{
    (void)pari_mutex_unlock(&line->guard); /* held by this thread: cannot fail */
}

static bool
has_left(const struct pari_line *line, const _Atomic pari_member *place, const struct pari_mutex *lock, uint64_t ticket)
{
    pari_member member = atomic_load(&place[ticket % PARI_LINE_MAX]);

    if (member == 0 || pari_member_is_dead(member))
        return true;
    return atomic_load(&line->serving) == ticket && pari_mutex_owner_died(lock) && !pari_mutex_is_locked(lock);
}

/* Move head past those that have left or died. */
static void
advance(struct pari_line *line, const _Atomic pari_member *place, const struct pari_mutex *lock)
{
    uint64_t before, head;

    if (guard(line) != 0)
        return;
    before = head = atomic_load(&line->head);
    while (head < atomic_load(&line->tail) && has_left(line, place, lock, head))
        head++;
    atomic_store(&line->head, head);
    unguard(line);
    if (head != before)
        pari_eventcount_notify(&line->turn, INT_MAX);
}

static int
draw(struct pari_line *line, _Atomic pari_member *place, uint64_t *ticket)
{
    uint64_t tail;
    int result = 0;

    if (guard(line) != 0)
        return -1;
    tail = atomic_load(&line->tail);
    if (tail - atomic_load(&line->head) >= PARI_LINE_MAX)
        result = pari_fail(EAGAIN);
    else {
        atomic_store(&place[tail % PARI_LINE_MAX], pari_self());
        atomic_store(&line->tail, tail + 1);
        *ticket = tail;
    }
    unguard(line);
    return result;
}

/* Is it this ticket's turn, once those that left are passed over? */
static bool
is_turn(struct pari_line *line, const _Atomic pari_member *place, const struct pari_mutex *lock, uint64_t ticket)
{
    uint64_t head = atomic_load(&line->head);

    if (head < ticket && has_left(line, place, lock, head)) {
        advance(line, place, lock);
        head = atomic_load(&line->head);
    }
    return head >= ticket;
}

int
pari_line_enter(struct pari_line *line, _Atomic pari_member *place, struct pari_mutex *lock, uint64_t *ticket, par_time deadline)
{
    struct pari_nap nap = {0};

    if (draw(line, place, ticket) != 0)
        return -1;
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&line->turn);
        pari_member first = atomic_load(&place[atomic_load(&line->head) % PARI_LINE_MAX]);
        if (is_turn(line, place, lock, *ticket))
            return 0;
        if (pari_eventcount_wait(&line->turn, key, &nap, &first, 1, deadline) != 0) {
            int saved = errno;
            pari_line_leave(line, place, *ticket);
            return pari_fail(saved);
        }
    }
}

void
pari_line_leave(struct pari_line *line, _Atomic pari_member *place, uint64_t ticket)
{
    bool is_first = false;

    atomic_store(&place[ticket % PARI_LINE_MAX], 0);
    if (guard(line) != 0)
        return;
    if (atomic_load(&line->head) == ticket) {
        uint64_t head = ticket + 1;
        while (head < atomic_load(&line->tail) && atomic_load(&place[head % PARI_LINE_MAX]) == 0)
            head++;
        atomic_store(&line->head, head);
        is_first = true;
    }
    unguard(line);
    if (is_first)
        pari_eventcount_notify(&line->turn, INT_MAX);
}

int
pari_line_length(const struct pari_line *line, const _Atomic pari_member *place)
{
    int n = 0;

    for (uint64_t ticket = atomic_load(&line->head); ticket < atomic_load(&line->tail); ticket++) {
        pari_member member = atomic_load(&place[ticket % PARI_LINE_MAX]);
        n += member != 0 && !pari_member_is_dead(member);
    }
    return n;
}
