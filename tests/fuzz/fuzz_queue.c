/* SPDX-License-Identifier: MIT
 *
 * fuzz_queue.c: the records that a dead process leaves in a queue, damaged in any way: the repair of both sides, then every call that
 * a survivor may make. They end, with any result.
 */
#include "fuzz.h"

#include "../../libpar/channel/queue.h"

#define CAPACITY 4096
#define BODY_SIZE 3000
#define MESSAGE_SIZE 64

static par_queue *q;
static struct pari_account *account; /* this process's */
static struct pari_body *body;

static void
begin(void)
{
    static const unsigned char content[BODY_SIZE];
    char message[MESSAGE_SIZE] = "";

    if (q == NULL) {
        q = par_queue_new(&(par_queue_opts){ .capacity = CAPACITY });
        must(q != NULL && par_queue_put(q, message, sizeof message, PAR_NOWAIT) == 0);
        must(par_queue_get(q, message, sizeof message, PAR_NOWAIT) == MESSAGE_SIZE);
        account = q->ring.get.note;
    }
    if (!pari_heap_is_block(body))
        body = pari_body_new(content, sizeof content);
    must(account != NULL && body != NULL);
    memset(&q->closing, 0, sizeof q->closing);
    memset(account, 0, sizeof *account);
    memset((char *)&q->ring + offsetof(struct pari_ring, tail), 0, sizeof q->ring - offsetof(struct pari_ring, tail));
    atomic_store(&q->is_closed, 0);
    q->n_done_closed = q->n_lost = q->n_lost_told = 0;
}

static void *
pick_account(struct fuzz_input *in)
{
    switch (fuzz_take(in, 1) % 6) {
    case 0: return NULL;
    case 1: return (char *)account + fuzz_take(in, 1);
    case 2: return (void *)(uintptr_t)fuzz_take(in, 8);
    case 3: return account + (int8_t)fuzz_take(in, 1);
    default: return account;
    }
}

static struct pari_body *
pick_body(struct fuzz_input *in)
{
    switch (fuzz_take(in, 1) % 6) {
    case 0: return NULL;
    case 1: return (struct pari_body *)(void *)((char *)body + fuzz_take(in, 2));
    case 2: return (struct pari_body *)(uintptr_t)fuzz_take(in, 8);
    default: return body;
    }
}

static void
damage_record(struct fuzz_input *in, struct pari_ring_record *record, uint64_t index)
{
    record->after = fuzz_take(in, 1) % 2 ? index : fuzz_take(in, 8);
    record->n = fuzz_take(in, 8);
    record->body = pick_body(in);
    record->note = pick_account(in);
}

static void
damage(struct fuzz_input *in)
{
    uint64_t head = fuzz_take(in, 2) & ~UINT64_C(7), tail = head + fuzz_take(in, 2);

    atomic_store(&q->ring.head, head);
    atomic_store(&q->ring.tail, tail);
    q->ring.seen_head = q->ring.seen_tail = head;
    atomic_store(&q->ring.n_in, fuzz_take(in, 8));
    atomic_store(&q->ring.n_out, fuzz_take(in, 8));
    atomic_store(&q->ring.big_in, fuzz_take(in, 2));
    pari_body_launch(body, &q->ring, fuzz_take(in, 2));
    damage_record(in, &q->ring.put, tail);
    damage_record(in, &q->ring.get, head);
    q->closing = (struct pari_settlement){ pick_account(in), fuzz_take(in, 8), fuzz_take(in, 8) };
    atomic_store(&account->member, fuzz_take(in, 1) % 2 ? pari_self() : fuzz_take(in, 8));
    atomic_store(&account->n_got, fuzz_take(in, 8));
    atomic_store(&account->n_done, fuzz_take(in, 8));
    account->n_got_next = fuzz_take(in, 8);
    for (size_t at = 0; at < CAPACITY && fuzz_left(in) > 0; at++)
        q->ring.bytes[(head + at) & (CAPACITY - 1)] = (unsigned char)fuzz_take(in, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, data + size };
    char message[MESSAGE_SIZE] = "";

    begin();
    damage(&in);
    pari_ring_repair_put(&q->ring);
    pari_account_repair(q, pari_ring_repair_get(&q->ring));
    (void)par_queue_qsize(q);
    (void)par_queue_full(q);
    if (par_queue_get(q, message, sizeof message, PAR_NOWAIT) >= 0)
        (void)par_queue_task_done(q);
    (void)par_queue_skip(q, PAR_NOWAIT);
    (void)par_queue_put(q, message, sizeof message, PAR_NOWAIT);
    if (par_queue_join(q, PAR_NOWAIT) < 0)
        must(errno != 0);
    return 0;
}
