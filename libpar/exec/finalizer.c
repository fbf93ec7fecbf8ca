/* SPDX-License-Identifier: MIT
 *
 * finalizer.c: what is to be done when this process ends by itself.
 *
 * Private to the process: the list, under the private lock. A forked child forgets it: it is its parent's.
 */
#include "exec.h"

#include <stdlib.h>

struct finalizer {
    struct finalizer *next;
    void (*fn)(void *arg);
    void *arg;
};

static struct finalizer *last; /* registered last: the first to be called */
static bool is_registered;     /* with exit, which forks inherit */

static void
forget_all(void)
{
    while (last != NULL) {
        struct finalizer *f = last;
        last = f->next;
        free(f);
    }
}

static struct finalizer *
take_last(void)
{
    struct finalizer *f;

    pari_private_lock();
    f = last;
    if (f != NULL)
        last = f->next;
    pari_private_unlock();
    return f;
}

void
pari_finalize(void)
{
    struct finalizer *f;

    while ((f = take_last()) != NULL) { /* one may register another */
        f->fn(f->arg);
        free(f);
    }
}

int
par_at_exit(void (*fn)(void *arg), void *arg)
{
    struct finalizer *f;
    int result = 0;

    if (fn == NULL)
        return pari_fail(EINVAL);
    f = pari_malloc(sizeof *f);
    if (f == NULL || pari_at_fork(forget_all) != 0) {
        free(f);
        return -1;
    }
    *f = (struct finalizer){ .fn = fn, .arg = arg };
    pari_private_lock();
    if (!is_registered)
        result = atexit(pari_finalize);
    is_registered = result == 0;
    if (result == 0) {
        f->next = last;
        last = f;
    }
    pari_private_unlock();
    if (result == 0)
        return 0;
    free(f);
    return pari_fail(ENOMEM);
}
