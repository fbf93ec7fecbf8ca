/* SPDX-License-Identifier: MIT
 *
 * clock.c: the monotonic clock, deadlines, and the switch that lets a signal handler end a wait.
 */
#include "os.h"

#include <errno.h>
#include <time.h>

static _Atomic bool interrupted;
static _Thread_local int n_masks;

int64_t
pari_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

par_time
par_now(void)
{
    return PAR_TIME(pari_now_ns());
}

par_time
par_in(double seconds)
{
    int64_t now;

    if (!(seconds > 0)) /* zero, negative, NaN */
        return PAR_NOWAIT;
    if (seconds == __builtin_inf())
        return PAR_FOREVER;
    now = pari_now_ns();
    if (seconds >= (double)(INT64_MAX - now) / 1e9)
        return PAR_TIME(INT64_MAX);
    return PAR_TIME(now + (int64_t)(seconds * 1e9));
}

double
par_since(par_time start)
{
    int64_t moment = start.ns > 0 ? start.ns : 0; /* the clock has no negative moments; their difference could overflow */

    return (double)(pari_now_ns() - moment) / 1e9;
}

bool
pari_is_over(par_time deadline)
{
    if (deadline.ns == 0)
        return false;
    return deadline.ns < 0 || pari_now_ns() >= deadline.ns;
}

int64_t
pari_slice_end(par_time deadline, int64_t ns)
{
    int64_t end = pari_now_ns() + ns;

    return deadline.ns != 0 && deadline.ns < end ? deadline.ns : end;
}

void
par_interrupt(bool on)
{
    atomic_store(&interrupted, on);
}

bool
pari_is_interrupted(void)
{
    return n_masks == 0 && atomic_load_explicit(&interrupted, memory_order_relaxed); /* read again after each slice */
}

void
pari_interrupt_mask(int by)
{
    n_masks += by;
}
