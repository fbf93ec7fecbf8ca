/* SPDX-License-Identifier: MIT
 *
 * redis.c: appends to a list of a Redis server of our own, on a socket in a temporary folder. The server ends with the run.
 */
#include "../append.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <signal.h>

#define PIPELINE 100 /* requests that are under way together */

struct server {
    char folder[128];
    char socket[160];
    pid_t pid;
    int output[2];
};

struct client {
    redisContext *context;
    int depth; /* of its pipeline */
    int n_under_way;
};

static int
server_main(void *arg)
{
    struct server *s = arg;

    bench_check(dup2(s->output[1], STDOUT_FILENO) >= 0 && dup2(s->output[1], STDERR_FILENO) >= 0);
    (void)execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", s->socket, "--save", "", "--appendonly", "no",
                 "--dir", s->folder, (char *)NULL);
    return 77;
}

/* It says so when it listens. */
static void
await_server(const struct server *s)
{
    char line[512];
    FILE *output = fdopen(s->output[0], "r");

    bench_check(output != NULL);
    while (fgets(line, sizeof line, output) != NULL)
        if (strstr(line, "eady to accept connections") != NULL)
            return;
    (void)rmdir(s->folder);
    bench_skip("redis-server does not start (package redis-server)");
}

static void *
server_open(const struct bench_task *task)
{
    struct server *s = bench_private(sizeof *s);
    const char *temporary = getenv("TMPDIR");

    (void)task;
    (void)snprintf(s->folder, sizeof s->folder, "%s/bench-XXXXXX", temporary ? temporary : "/tmp");
    bench_check(mkdtemp(s->folder) != NULL);
    (void)snprintf(s->socket, sizeof s->socket, "%s/redis", s->folder);
    bench_check(pipe(s->output) == 0);
    s->pid = bench_fork(server_main, s);
    bench_check(close(s->output[1]) == 0);
    await_server(s);
    return s;
}

static void *
client_new(const struct server *s, int depth)
{
    struct client *c = bench_private(sizeof *c);

    c->context = redisConnectUnix(s->socket);
    bench_check(c->context != NULL && c->context->err == 0);
    c->depth = depth;
    return c;
}

static void *
client_attach(void *server, int client)
{
    (void)client;
    return client_new(server, 1);
}

static void *
pipelined_attach(void *server, int client)
{
    (void)client;
    return client_new(server, PIPELINE);
}

static void
client_finish(void *client)
{
    struct client *c = client;
    redisReply *reply;

    for (; c->n_under_way > 0; c->n_under_way--) {
        bench_check(redisGetReply(c->context, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_INTEGER);
        freeReplyObject(reply);
    }
}

static void
client_append(void *client, int value)
{
    struct client *c = client;

    bench_check(redisAppendCommand(c->context, "RPUSH list %d", value) == REDIS_OK);
    if (++c->n_under_way == c->depth)
        client_finish(c);
}

static long
server_length(void *server)
{
    struct client *c = client_new(server, 1);
    redisReply *reply = redisCommand(c->context, "LLEN list");
    long length;

    bench_check(reply != NULL && reply->type == REDIS_REPLY_INTEGER);
    length = (long)reply->integer;
    freeReplyObject(reply);
    redisFree(c->context);
    return length;
}

static void
server_close(void *server)
{
    struct server *s = server;

    bench_check(kill(s->pid, SIGTERM) == 0);
    bench_join(s->pid);
    (void)unlink(s->socket); /* it has done so itself */
    bench_check(rmdir(s->folder) == 0);
}

static const struct append_ops single = {
    server_open, client_attach, client_append, client_finish, server_length, server_close
};
static const struct append_ops pipelined = { server_open,   pipelined_attach, client_append,
                                             client_finish, server_length,    server_close };
APPEND(single)
APPEND(pipelined)

static const struct bench_contender contenders[] = {
    { "append", "redis", single_race, 1 },
    { "append", "redis-pipelined", pipelined_race, 1 },
};
BENCH_MAIN(contenders)
