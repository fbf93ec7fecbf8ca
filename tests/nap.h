/* SPDX-License-Identifier: MIT
 *
 * nap.h: what a loop does between two looks at something that another process will change. It sleeps: with sched_yield the loops of
 * a few processes keep some kernels from running anything else for a minute.
 */
#ifndef NAP_H
#define NAP_H

#include <time.h>

static inline void
nap(void)
{
    struct timespec moment = { 0, 20000 };

    (void)nanosleep(&moment, NULL);
}

#endif
