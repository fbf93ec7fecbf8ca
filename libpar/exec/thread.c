/* SPDX-License-Identifier: MIT
 *
 * thread.c: par_thread: a function in a thread, with the same shape as a process.
 *
 * Shared state: none. As with par_process, the handle in the arena holds only the name; the thread's record is private memory.
 * It is used by the handle, by the thread itself and by the start; who leaves last frees it. The list of records and their
 * users are guarded by the private lock; state is atomic, and changed is where starters and joiners sleep. code is written
 * before state says ENDED.
 *
 * A thread leaves its function by returning, by pthread_exit or by cancellation: a cleanup handler makes sure that ENDED is
 * said in each case. After that it only runs the destructors of its thread-specific data, so the joiner who comes first joins
 * the pthread itself, for a bounded while; if that is not enough, the free detaches it.
 * A forked child forgets the list: the threads are its parent's. The record of the forking thread stays usable there, since
 * its function may return in the child as well.
 * If a process dies here: its handles are swept with its slot.
 */
#include <par/thread.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exec.h"

#define START_SECONDS 10
#define LEAVE_NS 100000000 /* how long a join waits for the destructors of an ended thread */

struct par_thread {
    struct pari_handle handle;
    char name[];
};

enum state { STATE_STARTING, STATE_RUNNING, STATE_ENDED, STATE_ABANDONED };

struct record {
    struct record *next;
    struct par_thread *handle; /* NULL once it is freed */
    unsigned n_users;
    bool is_joined; /* or being joined */
    pthread_t pthread;
    int (*fn)(void *arg);
    void *arg;
    _Atomic int state; /* enum state */
    int code;
    struct pari_eventcount changed;
    _Alignas(max_align_t) unsigned char copy[]; /* of the argument */
};

static struct record *records;
static _Thread_local struct record *mine;

static void
forget_records(void)
{
    records = NULL;
    mine = NULL;
}

/* ---- the list of this process's handles */

static void
append(struct record *record)
{
    pari_private_lock();
    record->next = records;
    records = record;
    pari_private_unlock();
}

/* The record of a handle of this process, or NULL: EINVAL, EPERM. */
static struct record *
record_of(const par_thread *thread)
{
    struct record *record;

    if (pari_handle_check_mine(thread, PARI_THREAD) != 0)
        return NULL;
    pari_private_lock();
    for (record = records; record != NULL && record->handle != thread; record = record->next)
        ;
    pari_private_unlock();
    return record ? record : pari_null(EPERM);
}

static void
take_off(struct record *record)
{
    struct record **link = &records;

    pari_private_lock();
    while (*link != NULL && *link != record)
        link = &(*link)->next;
    if (*link != NULL)
        *link = record->next;
    record->handle = NULL;
    pari_private_unlock();
}

static void
let_go(struct record *record)
{
    int saved = errno;
    bool is_last;

    pari_private_lock();
    is_last = --record->n_users == 0;
    pari_private_unlock();
    if (is_last)
        free(record);
    errno = saved;
}

static enum state
state_of(const struct record *record)
{
    return (enum state)atomic_load_explicit(&record->state, memory_order_acquire); /* partner: finish */
}

/* ---- inside the thread */

static void
finish(struct record *record, int code)
{
    mine = NULL;
    record->code = code;
    atomic_store_explicit(&record->state, STATE_ENDED, memory_order_release); /* partner: state_of */
    pari_eventcount_notify(&record->changed, INT_MAX);
    let_go(record);
}

static void
finish_early(void *arg)
{
    finish(arg, PAR_EXIT_UNKNOWN);
}

static bool
begin(struct record *record)
{
    int expected = STATE_STARTING;

    if (!atomic_compare_exchange_strong(&record->state, &expected, STATE_RUNNING))
        return false;
    mine = record;
    pari_eventcount_notify(&record->changed, INT_MAX);
    return true;
}

static void *
body(void *arg)
{
    struct record *record = arg;
    int code;

    if (!begin(record)) {
        let_go(record);
        return NULL;
    }
    pthread_cleanup_push(finish_early, record);
    code = record->fn(record->arg);
    (void)pari_cancel_off(); /* for good: too late to be cancelled */
    pthread_cleanup_pop(0);
    finish(record, code);
    return NULL;
}

/* ---- start */

static struct record *
new_record(int (*fn)(void *arg), const void *arg, size_t arg_size)
{
    struct record *record;

    if (arg_size > SIZE_MAX - sizeof *record)
        return pari_null(EOVERFLOW);
    record = pari_malloc(sizeof *record + arg_size);
    if (record == NULL)
        return NULL;
    if (arg_size > 0)
        memcpy(record->copy, arg, arg_size);
    record->fn = fn;
    record->arg = arg_size > 0 ? record->copy : (void *)(uintptr_t)arg;
    return record;
}

static par_thread *
new_handle(const char *given)
{
    static _Atomic unsigned n_threads;
    char name[32];
    par_thread *thread;
    size_t size;

    if (given == NULL) {
        (void)snprintf(name, sizeof name, "Thread-%u", atomic_fetch_add(&n_threads, 1) + 1);
        given = name;
    }
    size = strlen(given) + 1;
    thread = pari_handle_new_private(PARI_THREAD, sizeof *thread + size);
    if (thread != NULL)
        memcpy(thread->name, given, size);
    return thread;
}

static int
wait_until_it_runs(struct record *record)
{
    struct pari_nap nap = { 0 };
    par_time deadline = par_in(START_SECONDS);

    while (state_of(record) == STATE_STARTING) {
        uint32_t key = pari_eventcount_prepare(&record->changed);
        if (state_of(record) != STATE_STARTING)
            break;
        if (pari_eventcount_wait(&record->changed, key, &nap, NULL, 0, deadline) != 0)
            return -1;
    }
    return 0;
}

/* 0: it runs. -1: it did not in time, and never will. */
static int
wait_or_abandon(struct record *record)
{
    int expected = STATE_STARTING, result;

    pari_interrupt_mask(+1); /* this wait is bounded by the scheduler; a start that fails now and then helps nobody */
    result = wait_until_it_runs(record);
    pari_interrupt_mask(-1);
    if (result != 0 && atomic_compare_exchange_strong(&record->state, &expected, STATE_ABANDONED))
        return pari_fail(EAGAIN);
    return 0;
}

/* 0, or -1: the thread then never runs fn. */
static int
run(struct record *record, size_t stack_size)
{
    record->n_users++; /* the thread */
    if (pari_thread(&record->pthread, stack_size, false, body, record) != 0) {
        record->n_users--;
        return -1;
    }
    if (wait_or_abandon(record) == 0)
        return 0;
    (void)pthread_detach(record->pthread); /* it exists and nobody has joined it: cannot fail */
    return pari_fail(EAGAIN);
}

static void
forget(struct record *record, par_thread *thread)
{
    int saved = errno;

    take_off(record);
    let_go(record);
    pari_handle_free(thread);
    errno = saved;
}

par_thread *
par_thread_start(int (*fn)(void *arg), const void *arg, size_t arg_size, const par_thread_opts *opts)
{
    static const par_thread_opts defaults;
    struct record *record;
    par_thread *thread;

    if (fn == NULL || (arg == NULL && arg_size > 0))
        return pari_null(EINVAL);
    if (opts == NULL)
        opts = &defaults;
    if (pari_self() == 0)
        return NULL;
    (void)pari_at_fork(forget_records);
    record = new_record(fn, arg, arg_size);
    if (record == NULL)
        return NULL;
    record->handle = thread = new_handle(opts->name);
    if (thread == NULL) {
        free(record);
        return NULL;
    }
    record->n_users = 2; /* the handle, which the thread may free as soon as it runs, and this function */
    append(record);
    if (run(record, opts->stack_size) != 0) {
        forget(record, thread);
        thread = NULL;
    }
    let_go(record);
    return thread;
}

/* ---- the end */

/* One thread joins the pthread, so that its stack is given back; who comes second finds it joined or being joined. */
static bool
claim_join(struct record *record)
{
    bool is_mine;

    pari_private_lock();
    is_mine = !record->is_joined;
    record->is_joined = true;
    pari_private_unlock();
    return is_mine;
}

/* The thread has ended but for its destructors. */
static void
join_pthread(struct record *record, par_time deadline)
{
    int64_t ns = deadline.ns == PAR_NOWAIT.ns ? 0 : LEAVE_NS;
    struct timespec until;
    int cancel;

    if (!claim_join(record))
        return;
    cancel = pari_cancel_off();                  /* nobody else would join it any more */
    (void)clock_gettime(CLOCK_REALTIME, &until); /* all that pthread_timedjoin_np knows; a jump costs one short wait */
    until.tv_sec += (until.tv_nsec + ns) / 1000000000;
    until.tv_nsec = (until.tv_nsec + ns) % 1000000000;
    if (pthread_timedjoin_np(record->pthread, NULL, &until) != 0) {
        pari_private_lock();
        record->is_joined = false;
        pari_private_unlock();
    }
    pari_cancel_restore(cancel);
}

int
par_thread_join(par_thread *thread, par_time deadline)
{
    struct record *record = record_of(thread);
    struct pari_nap nap = { 0 };

    if (record == NULL)
        return -1;
    if (record == mine)
        return pari_fail(EDEADLK);
    while (state_of(record) != STATE_ENDED) {
        uint32_t key = pari_eventcount_prepare(&record->changed);
        if (state_of(record) == STATE_ENDED)
            break;
        if (pari_eventcount_wait(&record->changed, key, &nap, NULL, 0, deadline) != 0)
            return -1;
    }
    join_pthread(record, deadline);
    return 0;
}

void
par_thread_free(par_thread *thread)
{
    int saved = errno;
    struct record *record = thread ? record_of(thread) : NULL;

    if (record != NULL) {
        if (record == mine)
            (void)pthread_detach(pthread_self()); /* nobody else may join it any more: cannot fail */
        else if (claim_join(record) && pthread_tryjoin_np(record->pthread, NULL) != 0)
            (void)pthread_detach(record->pthread);
        forget(record, thread);
    }
    errno = saved;
}

int
par_thread_exitcode(const par_thread *thread)
{
    struct record *record = record_of(thread);

    if (record == NULL)
        return PAR_EXIT_UNKNOWN;
    return state_of(record) == STATE_ENDED ? record->code : PAR_EXIT_RUNNING;
}

bool
par_thread_is_alive(const par_thread *thread)
{
    struct record *record = record_of(thread);

    return record != NULL && state_of(record) != STATE_ENDED;
}

const char *
par_thread_name(const par_thread *thread)
{
    return record_of(thread) ? thread->name : NULL;
}

par_thread *
par_thread_current(void)
{
    par_thread *thread = NULL;

    if (mine != NULL) {
        pari_private_lock();
        thread = mine->handle;
        pari_private_unlock();
    }
    return thread ? thread : pari_null(ENOENT);
}
