/* SPDX-License-Identifier: MIT
 *
 * manager.c: appends to a shared list: libpar's manager, and the smallest ways to have one in shared memory.
 */
#include "append.h"
#include "limit.h"

#include <par.h>
#include <pthread.h>

/* ---- libpar */

struct libpar {
    par_manager *manager;
    par_list *list;
};

static void *
libpar_open(const struct bench_task *task)
{
    struct libpar *m = bench_private(sizeof *m);

    (void)task;
    m->manager = par_manager_start(NULL);
    bench_check(m->manager != NULL);
    m->list = par_manager_list(m->manager, PAR_FOREVER);
    bench_check(m->list != NULL);
    return m;
}

static void
libpar_append(void *m, int value)
{
    bench_check(par_list_append(((struct libpar *)m)->list, par_int(value), PAR_FOREVER) == 0);
}

static long
libpar_length(void *m)
{
    return par_list_len(((struct libpar *)m)->list, PAR_FOREVER);
}

static void
libpar_close(void *m)
{
    par_list_free(((struct libpar *)m)->list);
    par_manager_free(((struct libpar *)m)->manager);
}

/* An append is not waited for; what asks next is. */
static void
libpar_finish(void *m)
{
    bench_check(libpar_length(m) > 0);
}

static const struct append_ops libpar = { libpar_open, NULL, libpar_append, libpar_finish, libpar_length, libpar_close };
APPEND(libpar)

/* ---- libpar, a thousand at a time */

#define EXTEND_BATCH 1000

struct extending {
    struct libpar *m;
    par_obj *items;
    int n;
};

static void *
extending_attach(void *m, int client)
{
    struct extending *c = bench_private(sizeof *c);

    (void)client;
    c->m = m;
    return c;
}

static void
extending_finish(void *client)
{
    struct extending *c = client;

    if (c->n > 0)
        bench_check(par_list_extend(c->m->list, c->items, PAR_FOREVER) == 0);
    c->n = 0;
}

static void
extending_append(void *client, int value)
{
    struct extending *c = client;

    if (c->n == 0)
        c->items = par_obj_list();
    bench_check(par_obj_append(c->items, par_int(value)) == 0);
    if (++c->n == EXTEND_BATCH)
        extending_finish(c);
}

static const struct append_ops extending = { libpar_open,      extending_attach, extending_append,
                                             extending_finish, libpar_length,    libpar_close };
APPEND(extending)

/* ---- a list in shared memory under a mutex: no server at all */

struct shared_list {
    pthread_mutex_t lock;
    long n;
    int64_t item[];
};

static void *
shared_open(const struct bench_task *task)
{
    struct shared_list *list = bench_shared(sizeof *list + (size_t)task->n * sizeof list->item[0]);
    pthread_mutexattr_t attributes;

    bench_check(pthread_mutexattr_init(&attributes) == 0);
    bench_check(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
    bench_check(pthread_mutex_init(&list->lock, &attributes) == 0);
    return list;
}

static void
shared_append(void *arg, int value)
{
    struct shared_list *list = arg;

    bench_check(pthread_mutex_lock(&list->lock) == 0);
    list->item[list->n++] = value;
    bench_check(pthread_mutex_unlock(&list->lock) == 0);
}

static long
shared_length(void *list)
{
    return ((struct shared_list *)list)->n;
}

static const struct append_ops shared = { shared_open, NULL, shared_append, NULL, shared_length, NULL };
APPEND(shared)

/* ---- request slots: a client writes its request into its own slot, the server its answer */

#define SLOTS_STOP UINT64_MAX

struct slot {
    uint64_t request; /* number of the request that is there; the client's */
    uint64_t value;
    struct limit_bell client;
    uint64_t answer; /* number of the last request that was answered; the server's */
} __attribute__((aligned(BENCH_LINE)));

struct slots {
    uint64_t n_requests __attribute__((aligned(BENCH_LINE))); /* of all slots: what the server waits on */
    struct limit_bell server;
    long n_clients;
    pid_t pid;
    struct shared_list *list;
    struct slot slot[BENCH_MAX_RUNNERS + 1]; /* the last one is for the end */
};

static bool
slot_serve(struct slots *s, struct slot *slot)
{
    uint64_t request = limit_load(&slot->request);

    if (request == slot->answer)
        return true;
    if (slot->value == SLOTS_STOP)
        return false;
    s->list->item[s->list->n++] = (int64_t)slot->value;
    limit_store(&slot->answer, request);
    limit_ring(LIMIT_ADAPTIVE, &s->server, &slot->client);
    return true;
}

static int
slots_main(void *arg)
{
    struct slots *s = arg;

    for (;;) {
        uint64_t seen = limit_load(&s->n_requests); /* first: later requests change it */
        for (long i = 0; i <= s->n_clients; i++)
            if (!slot_serve(s, &s->slot[i < s->n_clients ? i : BENCH_MAX_RUNNERS]))
                return 0;
        if (limit_load(&s->n_requests) == seen)
            limit_wait(LIMIT_ADAPTIVE, &s->n_requests, seen, &s->server, &s->slot[0].client);
    }
}

static void *
slots_open(const struct bench_task *task)
{
    struct slots *s = bench_shared(sizeof *s);

    s->n_clients = task->procs;
    s->list = shared_open(task);
    s->pid = bench_fork(slots_main, s);
    return s;
}

struct slots_client {
    struct slots *slots;
    struct slot *slot;
};

static void *
slots_attach(void *s, int client)
{
    struct slots_client *c = bench_private(sizeof *c);

    *c = (struct slots_client){ s, &((struct slots *)s)->slot[client] };
    return c;
}

static void
slots_request(struct slots *s, struct slot *slot, uint64_t value)
{
    slot->value = value;
    limit_store(&slot->request, slot->request + 1);
    (void)__atomic_fetch_add(&s->n_requests, 1, __ATOMIC_RELEASE);
    limit_ring(LIMIT_ADAPTIVE, &slot->client, &s->server);
}

static void
slots_append(void *client, int value)
{
    struct slots_client *c = client;
    uint64_t before = c->slot->request;

    slots_request(c->slots, c->slot, (uint64_t)value);
    limit_wait(LIMIT_ADAPTIVE, &c->slot->answer, before, &c->slot->client, &c->slots->server);
}

static long
slots_length(void *s)
{
    return ((struct slots *)s)->list->n;
}

static void
slots_close(void *arg)
{
    struct slots *s = arg;

    slots_request(s, &s->slot[BENCH_MAX_RUNNERS], SLOTS_STOP);
    bench_join(s->pid);
}

static const struct append_ops slots = { slots_open, slots_attach, slots_append, NULL, slots_length, slots_close };
APPEND(slots)

static const struct bench_contender contenders[] = {
    { "append", "libpar", libpar_race, 1 },
    { "append", "libpar-extend", extending_race, 1 },
    { "append", "limit-shared-list", shared_race, 1 },
    { "append", "limit-request-slots", slots_race, 1 },
};
BENCH_MAIN(contenders)
