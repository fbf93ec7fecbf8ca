/* SPDX-License-Identifier: MIT
 *
 * backend_serial.c: the one worker of a serial pool is whoever maps.
 *
 * Nothing is started and nothing can die; map.c runs the items itself, at the seat that is made here. Only an initializer that
 * refuses makes it a worker that has ended.
 */
#include "crew.h"

#include <stdlib.h>
#include <string.h>

/* The seat, and a copy of initarg if that has a size. */
struct place {
    struct pari_seat seat;
    _Alignas(max_align_t) unsigned char copy[];
};

static int
serial_start(struct pari_crew *crew, unsigned index)
{
    const par_pool_opts *opts = &crew->opts;
    struct pari_worker *record = &crew->pool->worker[index];
    struct place *place = pari_malloc(sizeof *place + opts->initarg_size);
    struct pari_seat *before = pari_seat;
    void *initarg = (void *)opts->initarg;
    int refusal = 0;

    if (place == NULL)
        return -1;
    place->seat = (struct pari_seat){ .pool = crew->pool, .index = index, .record = record, .pid = pari_self_pid() };
    if (opts->initarg_size > 0)
        initarg = memcpy(place->copy, opts->initarg, opts->initarg_size);
    pari_seat = &place->seat;
    if (opts->initializer != NULL)
        refusal = opts->initializer(initarg, &place->seat.state);
    pari_seat = before;
    crew->hand[index].seat = &place->seat;
    atomic_store(&record->refusal, refusal);
    atomic_store(&record->phase, refusal == 0 ? PARI_WORKER_READY : PARI_WORKER_ENDED);
    return 0;
}

static bool
serial_ended(struct pari_crew *crew, unsigned index, struct pari_end *end)
{
    struct pari_hand *hand = &crew->hand[index];
    struct pari_seat *seat = hand->seat, *before = pari_seat;
    bool is_ready = atomic_load(&seat->record->phase) == PARI_WORKER_READY;

    if (is_ready && (atomic_load(&crew->pool->state) == PARI_POOL_OPEN || atomic_load(&crew->pool->is_busy) != 0))
        return false;
    pari_seat = seat;
    if (is_ready && crew->opts.finalizer != NULL)
        crew->opts.finalizer(seat->state);
    pari_seat = before;
    hand->seat = NULL;
    pari_seat_free_blocks(seat); /* of a task that called pthread_exit */
    free(seat->block);
    free(seat); /* the place begins with it */
    *end = (struct pari_end){ 0 };
    return true;
}

static void
serial_end(struct pari_crew *crew, unsigned index, int signal)
{
    (void)crew; /* the mapping thread looks at the job's stop between items */
    (void)index;
    (void)signal;
}

const struct pari_backend pari_backend_serial = { serial_start, serial_ended, serial_end, true };
