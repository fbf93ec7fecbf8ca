/* SPDX-License-Identifier: MIT
 *
 * start.h: what the suites of the start methods have in common. The tests of `every method` get it as _i; those of `no fork` get
 * PAR_SPAWN and PAR_FORKSERVER.
 */
#ifndef START_H
#define START_H

#include "fixture.h"
#include "nap.h"

#include <par.h>
#include <signal.h>
#include <stdatomic.h>

#define SOON par_in(20)

static inline par_process *
start(int method, int (*fn)(void *arg), const void *arg, size_t size)
{
    par_process *process = par_process_start(fn, arg, size, &(par_process_opts){ .start_method = method });

    ck_assert_msg(process != NULL, "par_process_start: %s", par_error());
    return process;
}

static inline int
finish(par_process *process)
{
    int code;

    ck_assert_int_eq(par_process_join(process, SOON), 0);
    code = par_process_exitcode(process);
    par_process_free(process);
    return code;
}

static inline int
code_of(int method, int (*fn)(void *arg), const void *arg, size_t size)
{
    return finish(start(method, fn, arg, size));
}

static inline int
increment(void *arg)
{
    return arg == NULL ? 5 : ++*(int *)arg;
}

static inline int
stay(void *arg)
{
    (void)signal(SIGTERM, SIG_DFL); /* a fork has the test program's handlers */
    (void)signal(SIGINT, SIG_DFL);
    if (arg != NULL)
        atomic_store((_Atomic int *)arg, getpid());
    while (pause() != 0)
        ;
    return 0;
}

static inline par_pool *
new_pool(int method)
{
    par_pool *pool = par_pool_new(&(par_pool_opts){ .workers = 2, .start_method = method });

    ck_assert_msg(pool != NULL, "par_pool_new: %s", par_error());
    return pool;
}

#endif
