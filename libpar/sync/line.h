/* SPDX-License-Identifier: MIT
 *
 * line.h: the line of a fair lock: first come, first served, past the dead.
 */
#ifndef PARI_LINE_H
#define PARI_LINE_H

#include "../shm/shm.h"

#define PARI_LINE_MAX 4096 /* holder and waiters */

/* In the lock's cell: its guard guards the line, its attachment holds the places. */
struct pari_line {
    _Atomic uint64_t head, tail; /* tickets: served from head, drawn at tail */
    _Atomic uint64_t serving;    /* the ticket whose owner has got the lock last; by the lock's holder */
    struct pari_eventcount turn; /* notified when head moves */
};

#define PARI_LINE_SIZE (PARI_LINE_MAX * sizeof(pari_member)) /* of the attachment */

void pari_line_init(struct pari_line *line);

/* Draw a ticket and wait for its turn. 0, *ticket set: the caller is first in line. -1: ETIMEDOUT, EAGAIN (full), EINTR,
 * ENOTRECOVERABLE; not in line then. */
int pari_line_enter(struct pari_line *line, struct pari_cell *cell, uint64_t *ticket, par_time deadline);
void pari_line_leave(struct pari_line *line, struct pari_cell *cell, uint64_t ticket);
int pari_line_length(const struct pari_line *line, const struct pari_cell *cell);

#endif
