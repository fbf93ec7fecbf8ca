/* SPDX-License-Identifier: MIT
 *
 * ledger.c: one byte for each item, shared by all and owned by nobody: a process that dies leaves what it has written.
 */
#include "storm.h"

#include <sys/mman.h>

#define MAX_ITEMS (INT64_C(1) << 26)

enum { PUT = 1, SEEN = 2, AGAIN = 4, DOING = 8, DONE = 16 };

struct ledger {
    _Atomic long next;
    _Atomic unsigned char item[MAX_ITEMS]; /* pages that are not touched cost nothing */
};

struct ledger *
ledger_new(void)
{
    void *at = mmap(NULL, sizeof(struct ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

void
ledger_free(struct ledger *ledger)
{
    if (ledger != NULL)
        (void)munmap(ledger, sizeof *ledger);
}

long
ledger_intend(struct ledger *ledger)
{
    return atomic_load(&ledger->next) < MAX_ITEMS - 1000 ? atomic_fetch_add(&ledger->next, 1) : -1;
}

void
ledger_put(struct ledger *ledger, long item)
{
    atomic_fetch_or(&ledger->item[item], PUT);
}

void
ledger_seen(struct ledger *ledger, long item)
{
    if (atomic_fetch_or(&ledger->item[item], SEEN) & SEEN)
        atomic_fetch_or(&ledger->item[item], AGAIN);
}

void
ledger_doing(struct ledger *ledger, long item)
{
    atomic_fetch_or(&ledger->item[item], DOING);
}

void
ledger_done(struct ledger *ledger, long item)
{
    atomic_fetch_or(&ledger->item[item], DONE);
}

struct tally
ledger_tally(const struct ledger *ledger)
{
    struct tally tally = { 0 };
    long n = atomic_load(&ledger->next);

    for (long i = 0; i < n; i++) {
        unsigned state = atomic_load(&ledger->item[i]);
        tally.n_twice += (state & AGAIN) != 0;
        tally.n_unseen += (state & PUT) && !(state & SEEN);
        tally.n_perhaps += !(state & PUT) && !(state & SEEN);
        tally.n_undone += (state & SEEN) && !(state & DOING);
        tally.n_doing += (state & DOING) && !(state & DONE);
    }
    return tally;
}
