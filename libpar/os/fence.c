/* SPDX-License-Identifier: MIT
 *
 * fence.c: a fence of which one side pays for both: membarrier(2), Linux 4.16.
 *
 * Two sides that each store and then look at what the other stores must not both miss the other's store; a full fence between the
 * two on both sides makes sure of that. Where one side does it for every message and the other one only before it sleeps, the rare
 * side can let the kernel put a full fence into every running thread that has registered, and the frequent side needs none but the
 * compiler's. A process that could not register fences for itself; for one that cannot call the kernel see pari_fence_heavy.
 */
#include "os.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic bool pari_fence_is_light;

static bool
membarrier(int command)
{
    int saved = errno;
    bool is_done = !pari_fault(PARI_CALL_MEMBARRIER) && syscall(SYS_membarrier, command, 0) == 0;

    errno = saved;
    return is_done;
}

/* A forked child inherits the registration as it does the flag; an executed program has neither. */
void
pari_fence_register(void)
{
    static _Atomic bool is_asked; /* several threads may ask: the kernel says the same to all */

    if (!atomic_load_explicit(&is_asked, memory_order_relaxed)) {
        atomic_store(&pari_fence_is_light, membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED));
        atomic_store(&is_asked, true);
    }
}

bool
pari_fence_heavy(void)
{
    atomic_thread_fence(memory_order_seq_cst); /* for those who fence for themselves */
    return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
}
