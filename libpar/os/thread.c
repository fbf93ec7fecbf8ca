/* SPDX-License-Identifier: MIT
 *
 * thread.c: starting threads, and cancellation kept out of libpar's calls.
 */
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>

int
pari_thread(pthread_t *thread, size_t stack_size, bool detached, void *(*body)(void *), void *arg)
{
    pthread_attr_t attributes;
    int error;

    if (pari_fault(PARI_CALL_THREAD))
        return -1;
    if ((error = pthread_attr_init(&attributes)) != 0)
        return pari_fail(error);
    if (stack_size > 0)
        error = pthread_attr_setstacksize(&attributes, stack_size);
    if (error == 0 && detached)
        error = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (error == 0)
        error = pthread_create(thread, &attributes, body, arg);
    (void)pthread_attr_destroy(&attributes);
    return error ? pari_fail(error) : 0;
}

int
pari_thread_quiet(pthread_t *thread, bool detached, void *(*body)(void *), void *arg)
{
    sigset_t all, before;
    int started;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* it inherits this */
    started = pari_thread(thread, 0, detached, body, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

int
pari_cancel_off(void)
{
    int state = PTHREAD_CANCEL_ENABLE;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void
pari_cancel_restore(int state)
{
    (void)pthread_setcancelstate(state, &state);
}
