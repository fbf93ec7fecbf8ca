/* SPDX-License-Identifier: MIT
 *
 * futex.c: sleeping on words of shared memory, on several at once where the kernel can (futex_waitv, Linux 5.16).
 *
 * Words are always waited for as shared ones, so that the code tested between threads is the code that runs between processes.
 */
#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif

struct waitv { /* the kernel's struct futex_waitv, which older headers lack */
    uint64_t expected;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static_assert(sizeof(struct waitv) == 24, "the kernel's layout");

static _Atomic bool has_no_waitv; /* learned at the first refusal; never unlearned */

/* ENOSYS from an old kernel, EPERM from a seccomp filter: both mean "not here". */
static bool
is_refused(int error)
{
    return error == ENOSYS || error == EPERM;
}

static long
futex_waitv(const struct pari_word *word, unsigned n, const struct timespec *until)
{
    struct waitv list[PARI_MAX_WORDS];

    if (pari_fault(PARI_CALL_FUTEX_WAITV))
        return -1;
    for (unsigned i = 0; i < n; i++)
        list[i] = (struct waitv){
            .expected = word[i].expected, .address = (uintptr_t)word[i].word, .flags = FUTEX_32, .reserved = 0
        };
    return syscall(SYS_futex_waitv, list, n, 0, until, CLOCK_MONOTONIC);
}

static long
futex_wait(const struct pari_word *word, const struct timespec *until)
{
    if (pari_fault(PARI_CALL_FUTEX_WAIT))
        return -1;
    return syscall(SYS_futex, word->word, FUTEX_WAIT_BITSET, word->expected, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

int
pari_futex_wait(const struct pari_word *word, unsigned n, int64_t until)
{
    struct timespec moment = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
    long result = -1;

    if (n > PARI_MAX_WORDS)
        n = PARI_MAX_WORDS;
    if (n > 1 && !atomic_load_explicit(&has_no_waitv, memory_order_relaxed)) {
        result = futex_waitv(word, n, &moment);
        if (result >= 0 || !is_refused(errno))
            goto done;
        atomic_store_explicit(&has_no_waitv, true, memory_order_relaxed);
    }
    result = futex_wait(word, &moment);
done:
    if (result >= 0 || errno == EAGAIN)
        return 0;
    return errno == ETIMEDOUT || errno == EINTR ? -1 : 0;
}

bool
pari_futex_has_several(void)
{
    return !atomic_load_explicit(&has_no_waitv, memory_order_relaxed);
}

int
pari_futex_wake(const _Atomic uint32_t *word, int n)
{
    int saved = errno;
    long woken = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); /* fails only for an unmapped word */

    errno = saved;
    return woken > 0 ? (int)woken : 0;
}

void
pari_pause(void)
{
    static const _Atomic uint32_t never;
    struct pari_word word = { &never, 0 };

    (void)pari_futex_wait(&word, 1, pari_now_ns() + 1000000);
}
