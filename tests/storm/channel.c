/* SPDX-License-Identifier: MIT
 *
 * channel.c: the queue, with a ledger of its messages; pipes between a keeper and a victim.
 *
 * A message says who has sent it and how many that one had sent before, and is filled with that number: what arrives must be whole,
 * and in order from each sender.
 */
#include "storm.h"

#include <string.h>
#include <unistd.h>

#define BIG 20000 /* in a block of its own */
#define MAX_LIVES (1 << 20)

struct message {
    long item, life, number;
};

union buffer {
    struct message head;
    unsigned char bytes[BIG];
};

static size_t
compose(union buffer *buffer, long item, long life, long number)
{
    size_t size = sizeof buffer->head + (random_below(64) == 0 ? random_below(BIG - sizeof buffer->head) : random_below(40));

    memset(buffer->bytes, (int)(number & 255), size);
    buffer->head = (struct message){ item, life, number };
    return size;
}

static bool
is_whole(const union buffer *buffer, size_t size)
{
    if (size < sizeof buffer->head)
        return false;
    for (size_t i = sizeof buffer->head; i < size; i++)
        if (buffer->bytes[i] != (unsigned char)(buffer->head.number & 255))
            return false;
    return true;
}

/* ---- queue */

static par_queue *queue;
static struct ledger *ledger;
static long n_told; /* messages that died with their consumers, as par_queue_join tells */

static void
set_up_queue(void)
{
    n_told = 0;
    ledger = ledger_new();
    queue = par_queue_new(&(par_queue_opts){ .maxsize = 64, .capacity = 16384 });
    if (ledger == NULL || queue == NULL)
        found(&queue_part, TORN, "no queue: errno %d", errno);
}

static void
put(bool may_wait)
{
    static union buffer buffer;
    static long life = -1, number;
    static pid_t mine;
    long item = ledger_intend(ledger);

    if (item < 0)
        return;
    if (mine != getpid()) {
        mine = getpid();
        life = new_life();
        number = 0;
    }
    if (par_queue_put(queue, &buffer, compose(&buffer, item, life, number), may_wait ? soon() : PAR_NOWAIT) == 0) {
        ledger_put(ledger, item);
        number++;
    } else if (may_wait || errno != ETIMEDOUT) {
        failed(queue_part, "put");
    }
}

/* From each sender in order; gaps are what others have got. */
static void
check_order(const struct message *head)
{
    static long next[MAX_LIVES];

    if (head->life < 0 || head->life >= MAX_LIVES)
        return;
    expect(queue_part, TORN, head->number >= next[head->life]);
    next[head->life] = head->number + 1;
}

/* False: there was none. */
static bool
get(bool may_wait)
{
    static union buffer buffer;
    ssize_t size = par_queue_get(queue, &buffer, sizeof buffer, may_wait ? soon() : PAR_NOWAIT);

    if (size < 0) {
        if (may_wait || errno != ETIMEDOUT)
            failed(queue_part, "get");
        return false;
    }
    if (!is_whole(&buffer, (size_t)size)) {
        found(&queue_part, TORN, "a message of %zd bytes", size);
        return true;
    }
    ledger_seen(ledger, buffer.head.item);
    check_order(&buffer.head);
    ledger_doing(ledger, buffer.head.item);
    if (par_queue_task_done(queue) != 0)
        failed(queue_part, "task_done");
    ledger_done(ledger, buffer.head.item);
    return true;
}

static void
put_or_get(void)
{
    if (random_below(2) == 0)
        put(true);
    else
        (void)get(true);
}

static void
keep_queue(int which)
{
    if (which % 2 == 0)
        put(true);
    else
        (void)get(true);
}

static void
stir_queue(void)
{
    put(false);
    (void)get(false);
}

static void
settle_queue(void)
{
    struct tally tally;
    ssize_t told;
    long least;

    while (get(false))
        ;
    told = par_queue_join(queue, soon());
    if (told < 0) {
        failed(queue_part, "join");
        return;
    }
    n_told += told;
    tally = ledger_tally(ledger);
    least = tally.n_unseen + tally.n_undone;
    if (n_told < least)
        found(&queue_part, LOST, "%ld of %ld are not told", least - n_told, least);
    if (n_told > least + tally.n_doing + tally.n_perhaps)
        found(&queue_part, TORN, "%ld more are told than can be", n_told - least - tally.n_doing - tally.n_perhaps);
    if (tally.n_twice > 0)
        found(&queue_part, DUPLICATED, "%ld messages", tally.n_twice);
}

static void
free_queue(void)
{
    par_queue_free(queue);
    ledger_free(ledger);
}

struct part queue_part = { .name = "queue",
                           .n_keepers = 2,
                           .setup = set_up_queue,
                           .step = put_or_get,
                           .keep = keep_queue,
                           .stir = stir_queue,
                           .settle = settle_queue,
                           .teardown = free_queue };

/* ---- pipe: the victim sends, or receives, or sends back what it has received */

enum { SENDS, RECEIVES, ECHOES, N_ROLES };

/* In shared memory: what the victim has done. */
struct talk {
    int role;
    long life;
    _Atomic long n_sent, n_received;
    par_conn *end;
};

static int
pipe_victim(void *arg)
{
    static union buffer buffer;
    struct talk *talk = arg;
    ssize_t size;

    seed_random((uint64_t)talk->life);
    doom((long)random_below((uint64_t)1 << random_below(12)) + 1);
    for (;;) {
        if (talk->role != SENDS) {
            size = par_conn_recv(talk->end, &buffer, sizeof buffer, soon());
            if (size < 0)
                failed(pipe_part, "recv");
            atomic_fetch_add(&talk->n_received, 1);
        }
        if (talk->role == SENDS)
            size = (ssize_t)compose(&buffer, 0, talk->life, atomic_load(&talk->n_sent));
        if (talk->role != RECEIVES) {
            if (par_conn_send(talk->end, &buffer, (size_t)size, soon()) != 0)
                failed(pipe_part, "send");
            atomic_fetch_add(&talk->n_sent, 1);
        }
    }
    return 0;
}

/* One message, which is the number-th from there. False: there is none, and none will come. */
static bool
receive(par_conn *end, long number)
{
    static union buffer buffer;
    ssize_t size = par_conn_recv(end, &buffer, sizeof buffer, soon());

    if (size < 0) {
        if (errno != EPIPE)
            failed(pipe_part, "recv");
        return false;
    }
    if (!is_whole(&buffer, (size_t)size))
        found(&pipe_part, TORN, "a message of %zd bytes", size);
    else if (buffer.head.number != number)
        found(&pipe_part, buffer.head.number < number ? DUPLICATED : LOST, "message %ld comes as the %ld-th",
              buffer.head.number, number);
    return true;
}

static bool
send_one(par_conn *end, long number)
{
    static union buffer buffer;

    if (par_conn_send(end, &buffer, compose(&buffer, 0, 0, number), soon()) == 0)
        return true;
    if (errno != EPIPE)
        failed(pipe_part, "send");
    return false;
}

/* Until the victim is dead. */
static void
talk_to_victim(par_conn *end, const struct talk *talk)
{
    long n_received = 0, n_sent = 0;

    for (;;) {
        if (talk->role != SENDS && !send_one(end, n_sent))
            break;
        n_sent++;
        if (talk->role != RECEIVES && !receive(end, n_received))
            break;
        n_received += talk->role != RECEIVES;
    }
    while (talk->role != RECEIVES && receive(end, n_received))
        n_received++;
    if (talk->role == RECEIVES)
        expect(pipe_part, DUPLICATED, atomic_load(&talk->n_received) <= n_sent);
    else
        expect(pipe_part, LOST, n_received >= atomic_load(&talk->n_sent) && n_received <= atomic_load(&talk->n_sent) + 1);
}

static void
keep_pipe(int which)
{
    struct talk *talk = par_value(struct talk);
    par_conn *end[2];
    par_process *process;
    int mine, theirs;

    (void)which;
    if (talk == NULL || par_pipe(end, &(par_pipe_opts){ .duplex = true, .capacity = 4096 }) != 0) {
        found(&pipe_part, TORN, "no pipe: errno %d", errno);
        return;
    }
    mine = (int)random_below(2);
    theirs = 1 - mine;
    *talk = (struct talk){ .role = (int)random_below(N_ROLES), .life = new_life(), .end = end[theirs] };
    process = par_process_start(pipe_victim, talk, 0, &(par_process_opts){ .daemon = true, .give = { end[theirs] } });
    if (process == NULL) {
        found(&pipe_part, TORN, "no process: errno %d", errno);
        return;
    }
    talk_to_victim(end[mine], talk);
    if (par_process_join(process, soon()) != 0)
        failed(pipe_part, "join");
    expect(pipe_part, TORN, par_process_exitcode(process) == -9 || par_process_exitcode(process) == -11);
    par_process_free(process);
    par_conn_free(end[mine]);
    par_shared_free(talk);
}

struct part pipe_part = { .name = "pipe", .n_keepers = 3, .keep = keep_pipe };
