/* SPDX-License-Identifier: MIT
 *
 * mailbox.c: see mailbox.h.
 */
#include "mailbox.h"

#include <errno.h>
#include <string.h>

static uint32_t
number_of(const struct pari_mail *mail)
{
    return atomic_load_explicit(&mail->number, memory_order_acquire); /* partner: post */
}

static void
say_cpu(struct pari_mail *mail)
{
    int cpu = pari_cpu();

    if (cpu != atomic_load_explicit(&mail->cpu, memory_order_relaxed))
        atomic_store_explicit(&mail->cpu, cpu, memory_order_relaxed);
}

static bool
is_here(const struct pari_mail *mail)
{
    int cpu = atomic_load_explicit(&mail->cpu, memory_order_relaxed);

    return cpu < 0 || cpu == pari_cpu();
}

/* From the last store on it is there. */
static void
post(struct pari_mail *mail, uint32_t number, const void *data, size_t size)
{
    if (size > 0)
        memcpy(mail->bytes, data, size);
    mail->size = (uint32_t)size;
    say_cpu(mail);
    atomic_store_explicit(&mail->number, number, memory_order_release); /* partner: number_of */
}

/* Its size; -1 EBADMSG. */
static ssize_t
copy_out(const struct pari_mail *mail, void *data)
{
    uint32_t size = *(const volatile uint32_t *)&mail->size; /* read once: the other side may be out of its mind */

    if (size > PARI_MAILBOX_MAX)
        return pari_fail(EBADMSG);
    memcpy(data, mail->bytes, size);
    return (ssize_t)size;
}

/* ---- the client */

struct pari_mailbox *
pari_mailbox_new(pari_member server)
{
    static _Atomic uint64_t n_offers;
    struct pari_mailbox *box = pari_handle_new_private(PARI_MAILBOX, sizeof *box);

    if (box == NULL)
        return NULL;
    box->server = server;
    box->offer = atomic_fetch_add(&n_offers, 1);
    atomic_store(&box->request.cpu, -1);
    atomic_store(&box->answer.cpu, -1);
    pari_ring_init(&box->posts, box->posts_bytes, PARI_MAILBOX_RING);
    return box;
}

void
pari_mailbox_leave(struct pari_mailbox *box)
{
    int saved = errno;

    if (box != NULL)
        pari_heap_leave(box);
    errno = saved;
}

bool
pari_mailbox_ask(struct pari_mailbox *box, const void *data, size_t size)
{
    post(&box->request, atomic_load_explicit(&box->request.number, memory_order_relaxed) + 1, data, size); /* our own */
    atomic_thread_fence(memory_order_seq_cst); /* the request before the look; partner: rest */
    return !atomic_load_explicit(&box->is_watched, memory_order_relaxed);
}

static bool
is_answered(const struct pari_mailbox *box)
{
    return number_of(&box->answer) == atomic_load_explicit(&box->request.number, memory_order_relaxed); /* our own */
}

/* An answer comes in less time than a sleep and a wake-up take, unless the server waits for this very processor. */
static bool
look_for_answer(const struct pari_mailbox *box)
{
    int64_t end = is_here(&box->answer) ? 0 : pari_now_ns() + PARI_WAKE_NS;

    while (pari_now_ns() < end && !pari_is_interrupted())
        for (int i = 0; i < PARI_LOOKS; i++) {
            if (is_answered(box))
                return true;
            pari_cpu_relax();
        }
    return false;
}

static int
sleep_for_answer(struct pari_mailbox *box, par_time deadline)
{
    struct pari_nap nap = { .has_spun = true };

    for (;;) {
        uint32_t key = pari_eventcount_prepare(&box->answered);
        bool is_gone = atomic_load(&box->is_over) || pari_member_is_dead(box->server);

        if (is_answered(box))
            return 0;
        if (is_gone)
            return pari_fail(EPIPE);
        if (pari_eventcount_wait(&box->answered, key, &nap, &box->server, 1, deadline) != 0)
            return -1;
    }
}

ssize_t
pari_mailbox_await(struct pari_mailbox *box, void *data, par_time deadline)
{
    if (!look_for_answer(box) && sleep_for_answer(box, deadline) != 0)
        return -1;
    return copy_out(&box->answer, data);
}

/* A post is its turn and the request. The turn is taken before the store that publishes it, so that one that is posted after this one
 * was has a later turn. */
static void
put_post(struct pari_ring *ring, uint64_t turn, const void *data, size_t size)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */
    uint64_t at = tail + sizeof(struct pari_ring_header);

    pari_ring_write_header(ring, tail, sizeof turn + size, PARI_RING_SMALL);
    pari_ring_copy_in(ring, at, &turn, sizeof turn);
    pari_ring_copy_in(ring, at + sizeof turn, data, size);
    pari_ring_publish(ring, tail + pari_ring_need(ring, sizeof turn + size));
}

/* Does a message that takes so much lead over half of the ring? Only then the server's line is looked at. */
static bool
passes_half(struct pari_ring *ring, uint64_t need)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* our own */
    uint64_t half = PARI_MAILBOX_RING / 2;

    if (pari_likely(tail - ring->seen_head <= half))
        return false;
    ring->seen_head = pari_ring_head(ring);
    return tail - ring->seen_head > half && tail - need - ring->seen_head <= half;
}

enum pari_posted
pari_mailbox_post(struct pari_mailbox *box, const void *data, size_t size)
{
    uint64_t need = pari_ring_need(&box->posts, sizeof(uint64_t) + size);

    if (!atomic_load_explicit(&box->may_post, memory_order_relaxed) || pari_ring_room(&box->posts, need) != 1)
        return PARI_POST_REFUSED;
    put_post(&box->posts, atomic_fetch_add(pari_member_turns(box->server), 1), data, size);
    if (pari_likely(!passes_half(&box->posts, need)))
        return PARI_POST_LEFT;
    say_cpu(&box->request);
    return PARI_POST_LEFT_MANY;
}

/* ---- the server */

static bool
is_offer(const struct pari_mailbox *box, uint64_t offer, pid_t client)
{
    return pari_handle_check(box, PARI_MAILBOX) == 0 && box->server == pari_self() && box->offer == offer &&
           pari_member_pid(box->handle.creator) == client;
}

struct pari_mailbox *
pari_mailbox_take(uintptr_t address, uint64_t offer, pid_t client)
{
    struct pari_mailbox *box = (struct pari_mailbox *)address; /* checked by the next line */

    if (!is_offer(box, offer, client) || !pari_heap_share(box, box->handle.creator, pari_self()))
        return pari_null(EINVAL);
    if (is_offer(box, offer, client)) /* now that it cannot go away */
        return box;
    pari_heap_renounce(box);
    return pari_null(EINVAL);
}

void
pari_mailbox_free(struct pari_mailbox *box)
{
    if (box == NULL)
        return;
    atomic_store(&box->is_over, true);
    pari_eventcount_notify(&box->answered, 1);
    if (pari_heap_owner(box) == pari_self() || pari_member_is_dead(box->handle.creator))
        pari_handle_free(box);
    else
        pari_heap_renounce(box); /* the last touch */
}

bool
pari_mailbox_has_request(const struct pari_mailbox *box)
{
    return number_of(&box->request) != atomic_load_explicit(&box->answer.number, memory_order_relaxed); /* our own */
}

ssize_t
pari_mailbox_request(const struct pari_mailbox *box, unsigned char data[PARI_MAILBOX_MAX])
{
    ssize_t size;

    if (!pari_mailbox_has_request(box))
        return 0;
    size = copy_out(&box->request, data);
    return size != 0 ? size : pari_fail(EBADMSG); /* of no bytes */
}

bool
pari_mailbox_answer(struct pari_mailbox *box, const void *data, size_t size)
{
    bool fits = size <= PARI_MAILBOX_MAX;

    post(&box->answer, number_of(&box->request), data, fits ? size : 0);
    pari_eventcount_notify(&box->answered, 1);
    return fits;
}

bool
pari_mailbox_next_post(struct pari_mailbox *box, struct pari_message *post, uint64_t *turn)
{
    if (pari_ring_next(&box->posts, post) != 1 || post->body != NULL || post->length < sizeof *turn)
        return false;
    pari_ring_copy_out(&box->posts, post->position + sizeof(struct pari_ring_header), turn, sizeof *turn);
    return true;
}

bool
pari_mailbox_has_posts(const struct pari_mailbox *box, uint64_t bytes)
{
    return pari_ring_tail(&box->posts) - pari_ring_head(&box->posts) >= bytes;
}

size_t
pari_mailbox_read_post(const struct pari_mailbox *box, const struct pari_message *post, unsigned char data[PARI_MAILBOX_MAX])
{
    size_t size = post->length - sizeof(uint64_t);

    if (size > PARI_MAILBOX_MAX)
        return 0;
    pari_ring_copy_out(&box->posts, post->position + sizeof(struct pari_ring_header) + sizeof(uint64_t), data, size);
    return size;
}

void
pari_mailbox_drop_post(struct pari_mailbox *box, const struct pari_message *post)
{
    pari_ring_remove(&box->posts, post);
}

void
pari_mailbox_watch(struct pari_mailbox *box)
{
    atomic_store_explicit(&box->is_watched, true, memory_order_relaxed); /* too late costs a needless ring */
}

void
pari_mailbox_rest(struct pari_mailbox *box)
{
    atomic_store_explicit(&box->is_watched, false, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* before the caller's look; partner: ask */
}

bool
pari_mailbox_is_near(const struct pari_mailbox *box)
{
    return is_here(&box->request);
}
