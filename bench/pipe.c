/* SPDX-License-Identifier: MIT
 *
 * pipe.c: messages from one process to another: libpar's pipe, what the kernel has, and the smallest ring in shared memory.
 */
#include "channel.h"
#include "limit.h"

#include <fcntl.h>
#include <mqueue.h>
#include <par.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* ---- libpar */

struct libpar {
    par_conn *end[2];
    par_process *process[2];
};

static void *
libpar_open_with(size_t capacity)
{
    struct libpar *c = bench_private(sizeof *c);

    bench_check(par_pipe(c->end, &(par_pipe_opts){ .duplex = true, .capacity = capacity }) == 0);
    return c;
}

static void *
libpar_open(const struct bench_task *task)
{
    (void)task;
    return libpar_open_with(0);
}

/* As the rings below, room for several messages. */
static void *
libpar_roomy_open(const struct bench_task *task)
{
    return libpar_open_with((size_t)task->size * 8);
}

static void
libpar_send(void *c, int side, const void *data, size_t size)
{
    bench_check(par_conn_send(((struct libpar *)c)->end[side], data, size, PAR_FOREVER) == 0);
}

static void
libpar_recv(void *c, int side, void *data, size_t size)
{
    bench_check(par_conn_recv(((struct libpar *)c)->end[side], data, size, PAR_FOREVER) == (ssize_t)size);
}

static void *
libpar_shared(size_t size)
{
    return par_shared_alloc(size, 1);
}

/* An end belongs to one process, so it is given to the one that runs its side. */
static void
libpar_start(void *run, int side, int (*main)(void *), void *runner)
{
    struct libpar *c = channel_of(run);

    c->process[side] = par_process_start(main, runner, 0, &(par_process_opts){ .daemon = true, .give = { c->end[side] } });
    bench_check(c->process[side] != NULL);
}

static void
libpar_join(void *run, int side)
{
    struct libpar *c = channel_of(run);

    bench_check(par_process_join(c->process[side], PAR_FOREVER) == 0);
    bench_check(par_process_exitcode(c->process[side]) == 0);
    par_process_free(c->process[side]);
}

static const struct bench_starter libpar_starter = { libpar_start, libpar_join };
static const struct channel libpar = {
    .open = libpar_open, .send = libpar_send, .recv = libpar_recv, .shared = libpar_shared, .starter = &libpar_starter
};
static const struct channel libpar_roomy = {
    .open = libpar_roomy_open, .send = libpar_send, .recv = libpar_recv, .starter = &libpar_starter
};
CHANNEL(libpar)
CHANNEL_POINTERS(libpar)
CHANNEL_WORK(libpar_roomy, stream, false)

/* ---- the smallest ring: messages of any size, copied in whole, in one direction */

#define RING_MIN (256 * 1024) /* bytes, as libpar's */
#define RING_MESSAGES 8       /* of a big size that it takes */
#define RING_BATCH 64         /* messages, or a quarter of the ring, that are published together */

struct ring {
    struct {
        uint64_t tail;      /* published */
        uint64_t next;      /* written */
        uint64_t seen_head; /* the sender's copy */
        uint64_t n_unpublished;
    } in __attribute__((aligned(BENCH_LINE)));
    struct {
        uint64_t head;
        uint64_t seen_tail; /* the receiver's copy */
        uint64_t freed;     /* what the sender was last told of `head` */
    } out __attribute__((aligned(BENCH_LINE)));
    uint64_t head __attribute__((aligned(BENCH_LINE)));
    struct limit_bell *sender;
    struct limit_bell *receiver;
    uint64_t capacity; /* a power of two */
    uint64_t mask;
    char *bytes;
};

struct rings { /* one for each direction, [0] from side 0 to side 1, and a bell for each side */
    struct ring ring[2];
    struct limit_bell bell[2];
};

struct ring_manner {
    enum limit_manner wait;
    uint64_t batch;
};

static uint64_t
ring_need(size_t size)
{
    return sizeof(uint64_t) + ((size + 7) & ~UINT64_C(7));
}

static void
ring_init(struct ring *ring, size_t size, struct limit_bell *sender, struct limit_bell *receiver)
{
    ring->sender = sender;
    ring->receiver = receiver;
    ring->capacity = RING_MIN;
    while (ring->capacity < RING_MESSAGES * ring_need(size))
        ring->capacity *= 2;
    ring->mask = ring->capacity - 1;
    ring->bytes = bench_shared(ring->capacity);
}

/* No call for the smallest messages. */
BENCH_INLINE void
ring_copy(void *to, const void *from, size_t size)
{
    if (size == sizeof(uint32_t))
        memcpy(to, from, sizeof(uint32_t));
    else if (size == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else
        memcpy(to, from, size);
}

BENCH_INLINE void
ring_copy_in(struct ring *ring, uint64_t position, const void *data, size_t size)
{
    uint64_t at = position & ring->mask, until_end = ring->capacity - at;

    if (__builtin_expect(size <= until_end, 1))
        ring_copy(ring->bytes + at, data, size);
    else {
        memcpy(ring->bytes + at, data, until_end);
        memcpy(ring->bytes, (const char *)data + until_end, size - until_end);
    }
}

BENCH_INLINE void
ring_copy_out(const struct ring *ring, uint64_t position, void *data, size_t size)
{
    uint64_t at = position & ring->mask, until_end = ring->capacity - at;

    if (__builtin_expect(size <= until_end, 1))
        ring_copy(data, ring->bytes + at, size);
    else {
        memcpy(data, ring->bytes + at, until_end);
        memcpy((char *)data + until_end, ring->bytes, size - until_end);
    }
}

/* The length in front of a message: a whole word, which never wraps. */
BENCH_INLINE uint64_t *
ring_header(struct ring *ring, uint64_t position)
{
    return (uint64_t *)(void *)(ring->bytes + (position & ring->mask));
}

BENCH_INLINE void
ring_publish(struct ring *ring, const struct ring_manner how)
{
    if (ring->in.n_unpublished == 0)
        return;
    ring->in.n_unpublished = 0;
    limit_store(&ring->in.tail, ring->in.next);
    limit_ring(how.wait, ring->sender, ring->receiver);
}

BENCH_INLINE void
ring_put(struct ring *ring, const struct ring_manner how, const void *data, size_t size)
{
    uint64_t next = ring->in.next, after = next + ring_need(size);

    while (after - ring->in.seen_head > ring->capacity) {
        uint64_t seen = ring->in.seen_head;
        ring_publish(ring, how);
        limit_wait(how.wait == LIMIT_ADAPTIVE ? LIMIT_ADAPTIVE : LIMIT_YIELD, &ring->head, seen, ring->sender, ring->receiver);
        ring->in.seen_head = limit_load(&ring->head);
    }
    *ring_header(ring, next) = size;
    ring_copy_in(ring, next + sizeof(uint64_t), data, size);
    ring->in.next = after;
    if (++ring->in.n_unpublished >= how.batch || after - ring->in.tail > ring->capacity / 4)
        ring_publish(ring, how);
}

/* The sender is told of the room in batches, too: it looks when the ring is full, and then a quarter is worth it. */
BENCH_INLINE void
ring_get(struct ring *ring, const struct ring_manner how, void *data, size_t size)
{
    uint64_t head = ring->out.head;

    if (head == ring->out.seen_tail) {
        limit_wait(how.wait, &ring->in.tail, head, ring->receiver, ring->sender);
        ring->out.seen_tail = limit_load(&ring->in.tail);
    }
    bench_check(*ring_header(ring, head) == size);
    ring_copy_out(ring, head + sizeof(uint64_t), data, size);
    ring->out.head = head += ring_need(size);
    if (head - ring->out.freed >= ring->capacity / 8 || head == ring->out.seen_tail) {
        ring->out.freed = head;
        limit_store(&ring->head, head);
        limit_ring(how.wait, ring->receiver, ring->sender);
    }
}

static void *
ring_open(const struct bench_task *task)
{
    struct rings *c = bench_shared(sizeof *c);

    for (int i = 0; i < 2; i++)
        ring_init(&c->ring[i], (size_t)task->size, &c->bell[i], &c->bell[!i]);
    return c;
}

static void
ring_attach(void *c, int side)
{
    limit_say_cpu(&((struct rings *)c)->bell[side]);
}

#define RING(name, wait, batch)                                                                                              \
    BENCH_INLINE void name##_send(void *c, int side, const void *data, size_t size)                                          \
    {                                                                                                                        \
        ring_put(&((struct rings *)c)->ring[side], (struct ring_manner){ wait, batch }, data, size);                         \
    }                                                                                                                        \
    BENCH_INLINE void name##_recv(void *c, int side, void *data, size_t size)                                                \
    {                                                                                                                        \
        ring_get(&((struct rings *)c)->ring[!side], (struct ring_manner){ wait, batch }, data, size);                        \
    }                                                                                                                        \
    BENCH_INLINE void name##_flush(void *c, int side)                                                                        \
    {                                                                                                                        \
        ring_publish(&((struct rings *)c)->ring[side], (struct ring_manner){ wait, batch });                                 \
    }                                                                                                                        \
    static const struct channel name = { ring_open, ring_attach, name##_send, name##_recv, name##_flush, NULL, NULL, NULL }; \
    CHANNEL(name)                                                                                                            \
    CHANNEL_POINTERS(name)

RING(ring_batched, LIMIT_YIELD, RING_BATCH)
RING(ring_backoff, LIMIT_LOOK_AWAY, 1)
RING(ring_eager, LIMIT_YIELD, 1)
RING(ring_adaptive, LIMIT_ADAPTIVE, 1)

/* ---- pipe(2) and sockets: two descriptors per side, [side][0] to read, [side][1] to write */

struct descriptors {
    int fd[2][2];
};

static void *
kernel_pipe_open(const struct bench_task *task)
{
    struct descriptors *c = bench_private(sizeof *c);
    int there[2], back[2];

    (void)task;
    bench_check(pipe(there) == 0 && pipe(back) == 0);
    *c = (struct descriptors){ { { back[0], there[1] }, { there[0], back[1] } } };
    return c;
}

static void *
socket_open(int type, size_t size)
{
    struct descriptors *c = bench_private(sizeof *c);
    int fd[2], buffer = size > 100000 ? (int)size * 4 : 0;

    bench_check(socketpair(AF_UNIX, type, 0, fd) == 0);
    for (int i = 0; i < 2; i++) {
        c->fd[i][0] = c->fd[i][1] = fd[i];
        if (buffer > 0 && setsockopt(fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) != 0)
            bench_skip("a socket buffer for %zu bytes needs root", size);
    }
    return c;
}

static void *
seqpacket_open(const struct bench_task *task)
{
    return socket_open(SOCK_SEQPACKET, (size_t)task->size);
}

static void *
sockstream_open(const struct bench_task *task)
{
    (void)task;
    return socket_open(SOCK_STREAM, 0);
}

static void
fd_send(void *c, int side, const void *data, size_t size)
{
    const char *at = data;

    for (ssize_t n; size > 0; at += n, size -= (size_t)n) {
        n = write(((struct descriptors *)c)->fd[side][1], at, size);
        bench_check(n > 0);
    }
}

static void
fd_recv(void *c, int side, void *data, size_t size)
{
    char *at = data;

    for (ssize_t n; size > 0; at += n, size -= (size_t)n) {
        n = read(((struct descriptors *)c)->fd[side][0], at, size);
        bench_check(n > 0);
    }
}

static const struct channel kernel_pipe = { .open = kernel_pipe_open, .send = fd_send, .recv = fd_recv };
static const struct channel seqpacket = { .open = seqpacket_open, .send = fd_send, .recv = fd_recv };
static const struct channel sockstream = { .open = sockstream_open, .send = fd_send, .recv = fd_recv };
CHANNEL(kernel_pipe)
CHANNEL_POINTERS(kernel_pipe)
CHANNEL(seqpacket)
CHANNEL(sockstream)

/* ---- POSIX message queues */

static void *
mq_make(size_t size)
{
    static int serial;
    struct mq_attr attributes = { .mq_maxmsg = 10, .mq_msgsize = (long)size };
    mqd_t *queue = bench_private(sizeof *queue);
    char name[64];

    (void)snprintf(name, sizeof name, "/bench-%d-%d", (int)getpid(), serial++);
    *queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (*queue == (mqd_t)-1)
        bench_skip("no message queue for messages of %zu bytes: %s", size, strerror(errno));
    bench_check(mq_unlink(name) == 0); /* the descriptor is enough, and nothing is left behind */
    return queue;
}

static void *
mq_channel_open(const struct bench_task *task)
{
    mqd_t **c = bench_private(2 * sizeof *c);

    c[0] = mq_make((size_t)task->size);
    c[1] = mq_make((size_t)task->size);
    return c;
}

static void
mq_channel_send(void *c, int side, const void *data, size_t size)
{
    bench_check(mq_send(*((mqd_t **)c)[side], data, size, 0) == 0);
}

static void
mq_channel_recv(void *c, int side, void *data, size_t size)
{
    bench_check(mq_receive(*((mqd_t **)c)[!side], data, size, NULL) == (ssize_t)size);
}

static const struct channel mq = { .open = mq_channel_open, .send = mq_channel_send, .recv = mq_channel_recv };
CHANNEL(mq)

/* ---- a message of one word at a time, and a bare way to sleep: only for round trips */

struct word { /* one per direction */
    uint32_t full __attribute__((aligned(BENCH_LINE)));
    uint32_t value;
    int event;
};

static void *
word_open(const struct bench_task *task)
{
    struct word *word = bench_shared(2 * sizeof *word);

    if (task->size != sizeof word->value)
        bench_skip("one word at a time");
    for (int i = 0; i < 2; i++) {
        word[i].event = eventfd(0, EFD_CLOEXEC);
        bench_check(word[i].event >= 0);
    }
    return word;
}

static void
futex_send(void *c, int side, const void *data, size_t size)
{
    struct word *word = (struct word *)c + side;

    memcpy(&word->value, data, size);
    bench_add(&word->full);
}

static void
futex_recv(void *c, int side, void *data, size_t size)
{
    struct word *word = (struct word *)c + !side;

    bench_await(&word->full, 1);
    memcpy(data, &word->value, size);
    __atomic_store_n(&word->full, 0, __ATOMIC_RELEASE); /* the answer follows, and only then another */
}

static void
event_send(void *c, int side, const void *data, size_t size)
{
    struct word *word = (struct word *)c + side;

    memcpy(&word->value, data, size);
    bench_check(eventfd_write(word->event, 1) == 0);
}

static void
event_recv(void *c, int side, void *data, size_t size)
{
    struct word *word = (struct word *)c + !side;
    eventfd_t count;

    bench_check(eventfd_read(word->event, &count) == 0 && count == 1);
    memcpy(data, &word->value, size);
}

static const struct channel futex = { .open = word_open, .send = futex_send, .recv = futex_recv };
static const struct channel event = { .open = word_open, .send = event_send, .recv = event_recv };
CHANNEL_WORK(futex, roundtrip, false)
CHANNEL_WORK(event, roundtrip, false)

static const struct bench_contender contenders[] = {
    CHANNEL_ENTRY(libpar, stream, "libpar", 1),
    CHANNEL_ENTRY(libpar_roomy, stream, "libpar-roomy", 1),
    CHANNEL_ENTRY(ring_batched, stream, "limit-batched", 1),
    CHANNEL_ENTRY(ring_backoff, stream, "limit-backoff", 1),
    CHANNEL_ENTRY(ring_eager, stream, "limit-eager", 1),
    CHANNEL_ENTRY(ring_adaptive, stream, "limit-adaptive", 1),
    CHANNEL_ENTRY(kernel_pipe, stream, "pipe", 10),
    CHANNEL_ENTRY(sockstream, stream, "socketpair-stream", 10),
    CHANNEL_ENTRY(seqpacket, stream, "socketpair-seqpacket", 10),
    CHANNEL_ENTRY(mq, stream, "posix-mq", 20),

    CHANNEL_ENTRY(libpar, pointers, "libpar", 1),
    CHANNEL_ENTRY(ring_batched, pointers, "limit-batched", 1),
    CHANNEL_ENTRY(ring_backoff, pointers, "limit-backoff", 1),
    CHANNEL_ENTRY(ring_eager, pointers, "limit-eager", 1),
    CHANNEL_ENTRY(ring_adaptive, pointers, "limit-adaptive", 1),
    CHANNEL_ENTRY(kernel_pipe, pointers, "pipe", 10),

    CHANNEL_ENTRY(libpar, roundtrip, "libpar", 1),
    CHANNEL_ENTRY(ring_adaptive, roundtrip, "limit-adaptive", 1),
    CHANNEL_ENTRY(ring_eager, roundtrip, "limit-spin", 1),
    CHANNEL_ENTRY(futex, roundtrip, "futex", 2),
    CHANNEL_ENTRY(event, roundtrip, "eventfd", 2),
    CHANNEL_ENTRY(kernel_pipe, roundtrip, "pipe", 2),
    CHANNEL_ENTRY(seqpacket, roundtrip, "socketpair-seqpacket", 2),
    CHANNEL_ENTRY(mq, roundtrip, "posix-mq", 2),
};
BENCH_MAIN(contenders)
