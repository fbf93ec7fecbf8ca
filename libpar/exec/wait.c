/* SPDX-License-Identifier: MIT
 *
 * wait.c: waiting for several things at a time.
 *
 * Everything of the library's is a word of shared memory to sleep on, and the kernel sleeps on many at once. It does not on words and
 * descriptors together: with a descriptor of the program in the list, all things are watched by theirs, and those that cannot have one
 * now are looked at each millisecond.
 * If a process dies here: nothing is shared. Of others, see the things themselves; a waker that dies between its change and its wake is
 * made good by the slices.
 */
#include <par/future.h>
#include <par/pipe.h>
#include <par/process.h>
#include <par/queue.h>
#include <par/wait.h>

#include "../channel/conn.h"
#include "../channel/queue.h"
#include "future.h"
#include "process_list.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>

#define ENDING_SLICE 200000 /* ns; a process whose alive word is marked can be reaped some microseconds later */
#define MIXED_SLICE 1000000
#define FUTURE_SLICE 20000000
#define FIRST_SLICE 10000000 /* also the last one of what is not slept on */
#define LAST_SLICE 500000000

struct waiting {
    par_waitable *list;
    size_t n, n_fds;     /* of the program */
    struct pollfd *poll; /* those of the program, and behind them those of the things */
    size_t n_poll;
    bool has_others; /* without a descriptor */
    struct pari_word word[PARI_MAX_WORDS];
    unsigned n_words;
    bool is_partial; /* more than there are words for */
    bool is_ending;  /* some process is about to be gone */
    bool has_future; /* whose worker may die: that is found by looking */
    int64_t slice;
};

/* ---- what is ready */

/* 0 of a call with PAR_NOWAIT is 1 here, and "not yet" is 0. */
static int
answer_of(int result)
{
    return result == 0 ? 1 : errno == ETIMEDOUT ? 0 : -1;
}

static int
look_at_queue(par_queue *queue)
{
    struct pari_nap nap = { .has_spun = true };

    if (pari_queue_wait_get(queue, &nap, PAR_NOWAIT) == 0 || errno == EPIPE)
        return 1;
    return errno == ETIMEDOUT ? 0 : -1;
}

static int
look_at_process(const par_process *process)
{
    errno = 0;
    if (par_process_is_alive(process))
        return 0;
    return errno == 0 ? 1 : -1;
}

static int
look_at_future(par_future *future)
{
    return answer_of(par_future_wait(&future, 1, PAR_ALL, PAR_NOWAIT) < 0 ? -1 : 0);
}

static int
look(const par_waitable *one)
{
    if (one->conn != NULL)
        return answer_of(par_conn_poll(one->conn, PAR_NOWAIT));
    if (one->queue != NULL)
        return look_at_queue(one->queue);
    if (one->process != NULL)
        return look_at_process(one->process);
    return one->future != NULL ? look_at_future(one->future) : 0;
}

static ssize_t
look_at_all(struct waiting *w)
{
    const struct pari_crew *visited = NULL;
    ssize_t n_ready = 0;
    size_t fd = 0;

    if (w->n_fds > 0)
        (void)pari_fd_poll_all(w->poll, w->n_fds, 0); /* interrupted: nothing is ready yet */
    for (size_t i = 0; i < w->n; i++) {
        par_waitable *one = &w->list[i];
        struct pari_crew *crew = one->future != NULL ? one->future->crew : NULL;
        int result;
        if (crew != NULL && crew != visited)
            pari_desk_visit(crew); /* once for all futures of a pool, mostly */
        visited = crew != NULL ? crew : visited;
        result = one->events != 0 ? w->poll[fd++].revents != 0 : look(one);
        if (result < 0)
            return -1;
        one->is_ready = result == 1;
        n_ready += result;
    }
    return n_ready;
}

/* ---- sleeping on words */

static void
add_word(struct waiting *w, struct pari_word word)
{
    if (word.word == NULL)
        return;
    for (unsigned i = 0; i < w->n_words; i++)
        if (w->word[i].word == word.word)
            return; /* futures of one pool, ends whose peers are in one process */
    if (w->n_words < PARI_MAX_WORDS)
        w->word[w->n_words++] = word;
    else
        w->is_partial = true;
}

static void
add_alive_word(struct waiting *w, pari_member member)
{
    const _Atomic uint32_t *alive;
    uint32_t value;

    if (member == 0)
        return;
    alive = pari_member_alive_word(member);
    value = atomic_load(alive);
    if (pari_mutex_word_is_held(value))
        add_word(w, (struct pari_word){ alive, value });
    else
        w->is_ending = true; /* or not born yet */
}

/* 0: this process itself. */
static pari_member
member_of(const par_process *process)
{
    const struct pari_relative *relative = pari_relative_of(process);

    if (relative == NULL || relative->role == PARI_ROLE_SELF)
        return 0;
    return relative->role == PARI_ROLE_CHILD ? relative->child->member : relative->member;
}

/* Before the look at what is ready. */
static void
prepare(struct waiting *w)
{
    w->n_words = 0;
    w->is_partial = w->is_ending = false;
    for (size_t i = 0; i < w->n; i++) {
        const par_waitable *one = &w->list[i];
        pari_member peer;
        if (one->conn != NULL) {
            add_word(w, pari_conn_prepare(one->conn, &peer));
            add_alive_word(w, peer);
        } else if (one->queue != NULL)
            add_word(w, pari_queue_prepare(one->queue));
        else if (one->future != NULL)
            add_word(w, pari_future_prepare(one->future));
        else if (one->process != NULL)
            add_alive_word(w, member_of(one->process));
    }
}

static int64_t
next_slice(struct waiting *w)
{
    bool is_whole = !w->is_partial && (w->n_words <= 1 || pari_futex_has_several());

    if (w->is_ending)
        return ENDING_SLICE;
    if (w->has_future)
        return FUTURE_SLICE;
    w->slice = w->slice == 0 || !is_whole ? FIRST_SLICE : w->slice * 2 < LAST_SLICE ? w->slice * 2 : LAST_SLICE;
    return w->slice;
}

static void
sleep_on_words(struct waiting *w, par_time deadline)
{
    static const _Atomic uint32_t never;

    if (w->n_words == 0)
        add_word(w, (struct pari_word){ &never, 0 });
    if (pari_futex_wait(w->word, w->n_words, pari_slice_end(deadline, next_slice(w))) != 0)
        return;
    for (unsigned i = 0; i < w->n_words; i++)
        if (atomic_load(w->word[i].word) != w->word[i].expected) {
            (void)pari_futex_wake(w->word[i].word, INT_MAX); /* a death wakes one sleeper: pass it on */
            w->slice = 0;
        }
}

/* ---- sleeping on descriptors */

static int
descriptor_of(const par_waitable *one)
{
    if (one->conn != NULL)
        return par_conn_fileno(one->conn);
    if (one->queue != NULL)
        return par_queue_fileno(one->queue);
    return one->future != NULL ? par_future_fileno(one->future) : par_process_fileno(one->process);
}

/* Before the look at what is ready: a descriptor that is asked for tells of what comes from then on, or has come. */
static void
fill_poll(struct waiting *w)
{
    w->n_poll = w->n_fds;
    w->has_others = false;
    for (size_t i = 0; i < w->n; i++) {
        int fd = w->list[i].events == 0 ? descriptor_of(&w->list[i]) : -1;

        if (fd >= 0)
            w->poll[w->n_poll++] = (struct pollfd){ .fd = fd, .events = POLLIN, .revents = 0 };
        else if (w->list[i].events == 0)
            w->has_others = true;
    }
}

static void
sleep_on_descriptors(struct waiting *w, par_time deadline)
{
    int64_t slice = w->has_others ? MIXED_SLICE : w->has_future ? FUTURE_SLICE : LAST_SLICE;

    (void)pari_fd_poll_all(w->poll, w->n_poll, pari_slice_end(deadline, slice)); /* then it is looked at */
}

/* ---- the call */

static int
check(const par_waitable *one)
{
    if ((one->conn != NULL) + (one->queue != NULL) + (one->process != NULL) + (one->future != NULL) + (one->events != 0) != 1)
        return pari_fail(EINVAL);
    if (one->conn != NULL)
        return pari_conn_check_receives(one->conn);
    if (one->queue != NULL)
        return pari_handle_check(one->queue, PARI_QUEUE);
    if (one->process != NULL)
        return pari_relative_of(one->process) != NULL ? 0 : -1;
    return one->future != NULL ? pari_future_check(one->future) : 0;
}

static int
begin(struct waiting *w)
{
    size_t n = 0, size;

    for (size_t i = 0; i < w->n; i++) {
        if (check(&w->list[i]) != 0)
            return -1;
        w->list[i].is_ready = false;
        w->n_fds += w->list[i].events != 0;
        w->has_future = w->has_future || w->list[i].future != NULL;
    }
    if (w->n_fds == 0)
        return 0;
    w->poll = pari_mul(w->n, sizeof *w->poll, &size) ? pari_malloc(size) : pari_null(ENOMEM);
    for (size_t i = 0; w->poll != NULL && i < w->n; i++)
        if (w->list[i].events != 0)
            w->poll[n++] = (struct pollfd){ .fd = w->list[i].fd, .events = w->list[i].events, .revents = 0 };
    return w->poll != NULL ? 0 : -1;
}

static ssize_t
wait_for(struct waiting *w, par_time deadline)
{
    for (;;) {
        bool is_over = pari_is_over(deadline);
        ssize_t n_ready;
        if (!is_over && w->n_fds == 0)
            prepare(w);
        else if (!is_over)
            fill_poll(w);
        n_ready = look_at_all(w);
        if (n_ready != 0)
            return n_ready;
        if (is_over)
            return pari_fail(ETIMEDOUT);
        if (pari_is_interrupted())
            return pari_fail(EINTR);
        if (w->n_fds > 0)
            sleep_on_descriptors(w, deadline);
        else
            sleep_on_words(w, deadline);
    }
}

ssize_t
par_wait(par_waitable *list, size_t n, par_time deadline)
{
    struct waiting w = { .list = list, .n = n };
    int cancel, error = errno;
    ssize_t result = -1;

    if (list == NULL || n == 0)
        return pari_fail(EINVAL);
    cancel = pari_cancel_off();
    if (pari_self() != 0 && begin(&w) == 0)
        result = wait_for(&w, deadline);
    if (result < 0)
        error = errno;
    free(w.poll);
    pari_cancel_restore(cancel);
    errno = error;
    return result;
}
