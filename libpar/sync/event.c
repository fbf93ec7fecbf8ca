/* SPDX-License-Identifier: MIT
 *
 * event.c: a flag to wait for; two words in the user's own memory, so that a signal handler can set it.
 *
 * Shared state: `flag`, changed by CAS: bit 0 is the flag, the other bits count how often it was set, so that a waiter sees a set
 * that was cleared before it ran. `waiters` is an event count.
 * If a process dies here: each change is one CAS; a setter that died before its notify is found by the waiters' slices.
 */
#include <par/sync.h>

#include "../shm/shm.h"

#include <limits.h>

struct event {
    _Atomic uint64_t flag;
    struct pari_eventcount waiters;
};

static_assert(sizeof(struct event) == sizeof(par_event), "the public struct is this one");

static struct event *
event_of(const par_event *e)
{
    if (!pari_in_heap(e) || ((uintptr_t)e & 7) != 0)
        return pari_null(EINVAL);
    return (struct event *)(uintptr_t)e;
}

int
par_event_set(par_event *e)
{
    struct event *event = event_of(e);
    uint64_t flag;

    if (event == NULL)
        return -1;
    flag = atomic_load(&event->flag);
    do
        if (flag & 1)
            return 0;
    while (!atomic_compare_exchange_weak(&event->flag, &flag, flag + 3));
    pari_eventcount_notify(&event->waiters, INT_MAX);
    return 0;
}

int
par_event_clear(par_event *e)
{
    struct event *event = event_of(e);

    if (event == NULL)
        return -1;
    atomic_fetch_and(&event->flag, ~UINT64_C(1));
    return 0;
}

bool
par_event_is_set(const par_event *e)
{
    const struct event *event = event_of(e);

    return event != NULL && (atomic_load(&event->flag) & 1);
}

int
par_event_wait(par_event *e, par_time deadline)
{
    struct event *event = event_of(e);
    struct pari_nap nap = { 0 };
    uint64_t at_first, now;

    if (event == NULL)
        return -1;
    at_first = atomic_load(&event->flag);
    for (;;) {
        uint32_t key = pari_eventcount_prepare(&event->waiters);
        now = atomic_load(&event->flag);
        if ((now & 1) || now >> 1 != at_first >> 1)
            return 0;
        if (pari_eventcount_wait(&event->waiters, key, &nap, NULL, 0, deadline) != 0)
            return -1;
    }
}
