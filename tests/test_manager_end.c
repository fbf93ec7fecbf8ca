/* SPDX-License-Identifier: MIT
 *
 * test_manager_end.c: a manager's server among many: clients that send nonsense, wait, crowd or die, and its own death.
 */
#include "manager.h"

#include <par/process.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- bytes on the wire: a client made by hand */

static int
raw_connect(void)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *address = par_manager_address(manager);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    memcpy(to.sun_path + 1, address + 1, strlen(address) - 1);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))),
                     0);
    return fd;
}

static void
raw_send(int fd, const void *data, size_t size)
{
    unsigned char header[PARI_FRAME_HEADER];
    pari_frame_write_header(header, size);
    ck_assert_int_eq(send(fd, header, sizeof header, MSG_NOSIGNAL), sizeof header);
    ck_assert_int_eq(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

#define RAW_SEND(fd, literal) raw_send((fd), (literal), sizeof(literal) - 1)

/* The next answer; NULL at the end of the stream. What came behind it stays in the inbox. */
static par_obj *
raw_next(int fd, struct pari_inbox *inbox)
{
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    const unsigned char *message;
    size_t length;
    while ((message = pari_inbox_message(inbox, &length)) == NULL) {
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        if (pari_inbox_receive(inbox, fd) < 0)
            return NULL;
    }
    par_obj *reply = pari_unpickle(message, length);
    pari_inbox_drop(inbox);
    return reply;
}

static par_obj *
raw_receive(int fd)
{
    struct pari_inbox inbox = { 0 };
    par_obj *reply = raw_next(fd, &inbox);
    pari_inbox_clear(&inbox);
    return reply;
}

#define ACCEPT "\x80\x02(NX\x11\0\0\0accept_connectionX\x05\0\0\0C-cli\x85}t."

static int
raw_accepted(void)
{
    int fd = raw_connect();
    RAW_SEND(fd, ACCEPT);
    assert_obj(raw_receive(fd), "('#RETURN', None)");
    return fd;
}

static int
count_objects(void)
{
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    par_obj *n = pari_client_control(&server, "number_of_objects", par_obj_tuple(0, NULL), SOON);
    int count = (int)par_obj_as_int(n, -1);
    par_obj_free(n);
    return count;
}

START_TEST(requests_of_another_implementation_are_understood)
{
    begin();
    int fd = raw_connect();
    RAW_SEND(fd, "\x80\x02(NX\x06\0\0\0createX\x04\0\0\0list]K\1aK\2a\x86}t.");
    par_obj *reply = raw_receive(fd);
    const par_obj *made = par_obj_item(reply, 1);
    char request[128];
    const char *ident = par_obj_as_str(par_obj_item(made, 0), "");
    ck_assert_uint_gt(strlen(ident), 0);
    ck_assert_uint_gt(par_obj_len(par_obj_item(made, 1)), 10);
    ck_assert_ptr_null(raw_receive(fd)); /* one request, one answer */
    close(fd);
    fd = raw_accepted();
    size_t n = strlen(ident);
    memcpy(request, "\x80\x02(X", 4);
    memcpy(request + 4, (char[]){ (char)n, 0, 0, 0 }, 4);
    memcpy(request + 8, ident, n);
    memcpy(request + 8 + n, "X\x09\0\0\0#GETVALUE)}t.", 18);
    raw_send(fd, request, 8 + n + 18);
    assert_obj(raw_receive(fd), "('#RETURN', [1, 2])");
    close(fd);
    par_obj_free(reply);
    end();
}
END_TEST

#define OFFER(address) "\x80\x02(NX\x11\0\0\0accept_connectionX\x05\0\0\0C-cli\x8a\x08" address "\x86}t."

START_TEST(an_offer_that_is_no_mailbox_is_passed_over)
{
    begin();
    int fd = raw_connect();
    RAW_SEND(fd, OFFER("\1\2\3\4\5\6\7\x18"));
    assert_obj(raw_receive(fd), "('#RETURN', None)");
    RAW_SEND(fd, "\x80\x02(X\x04\0\0\0abcdX\x06\0\0\0append)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such object')");
    ck_assert_int_eq(send(fd, "\0\0\0", PARI_FRAME_HEADER, MSG_NOSIGNAL), PARI_FRAME_HEADER); /* "look into the mailbox" */
    ck_assert_ptr_null(raw_receive(fd));
    close(fd);
    end();
}
END_TEST

START_TEST(an_unknown_request_is_a_traceback)
{
    begin();
    int fd = raw_connect();
    RAW_SEND(fd, "\x80\x02(NX\x04\0\0\0evil)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such request')");
    close(fd);
    fd = raw_accepted();
    RAW_SEND(fd, "\x80\x02(X\x04\0\0\0abcdX\x06\0\0\0append)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such object')");
    RAW_SEND(fd, "\x80\x02(NX\x06\0\0\0append)}t.");
    assert_obj(raw_receive(fd), "('#TRACEBACK', 'no such object')");
    close(fd);
    end();
}
END_TEST

START_TEST(a_global_is_refused_and_nothing_is_called)
{
    begin();
    int fd = raw_accepted();
    RAW_SEND(fd, "\x80\x02(cposix\nsystem\nX\x04\0\0\0true\x85R)}t.");
    par_obj *reply = raw_receive(fd);
    ck_assert_str_eq(par_obj_as_str(par_obj_item(reply, 0), ""), "#ERROR");
    par_obj_free(reply);
    close(fd);
    end();
}
END_TEST

START_TEST(bytes_without_sense_close_that_client_only)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {
        { "\xff\xff\xff\xff", 4 },
        { "\x7f\xff\xff\xff", 4 },
        { "\x04\0\0\1", 4 },
        { "\0\0\0\0", 4 },
        { "\0\0\0\1.", 5 },
        { "\0\0\0\4\x80\x02K\1", 8 },
        { "\0\0\0\5\x80\x02K\1.", 9 },
        { "\0\0\0\6\x80\x02NN\x86.", 10 },
        { "GET / HTTP/1.0\r\n\r\n", 18 },
        { "\0\0\0\x0a\x80\x02(NNNNt.x", 14 },
    };
    begin_list();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fresh = raw_connect(), accepted = raw_accepted();
        ck_assert_int_eq(send(fresh, bad[i].bytes, bad[i].size, MSG_NOSIGNAL), (ssize_t)bad[i].size);
        ck_assert_int_eq(send(accepted, bad[i].bytes, bad[i].size, MSG_NOSIGNAL), (ssize_t)bad[i].size);
        ck_assert_ptr_null(raw_receive(fresh));
        ck_assert_ptr_null(raw_receive(accepted));
        close(fresh);
        close(accepted);
        ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    }
    ck_assert_int_eq(par_list_len(list, SOON), (int)(sizeof bad / sizeof bad[0]));
    end();
}
END_TEST

/* The two ways to read a request, as what libpar writes and as any pickle, refuse the same. In this one the end of the value begins an
 * opcode whose operand lies behind it. */
START_TEST(request_that_only_looks_like_ours_is_none)
{
    char forged[200] = "\x80\x03(X\1\0\0\0"
                       "1X\6\0\0\0append"
                       "X\x8c\0\0\0";
    begin();
    int fd = raw_accepted();
    memset(forged + 25, 'a', 140);
    memcpy(forged + 165, "\x85\x85q}t.", 6);
    raw_send(fd, forged, 171);
    ck_assert_ptr_null(raw_receive(fd));
    close(fd);
    end();
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
    begin_list();
    for (int round = 0; round < 300; round++) {
        unsigned char bytes[64] = ACCEPT;
        int fd = raw_connect();
        for (uint32_t i = 0, n = 1 + fixture_random_below(8); i < n; i++)
            bytes[fixture_random_below(sizeof ACCEPT)] = (unsigned char)fixture_random();
        raw_send(fd, bytes, sizeof ACCEPT - 1 - fixture_random_below(2));
        close(fd);
    }
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    assert_list("[1]");
    end();
}
END_TEST

START_TEST(half_a_message_makes_nobody_wait)
{
    begin_list();
    int slow[50];
    for (int i = 0; i < 50; i++) {
        slow[i] = i % 2 ? raw_accepted() : raw_connect();
        ck_assert_int_gt(send(slow[i], "\0\0\0\x20\x80\x02(", (size_t)(1 + i % 7), MSG_NOSIGNAL), 0);
    }
    fill(10);
    ck_assert_int_eq(par_list_len(list, SOON), 10);
    for (int i = 0; i < 50; i++)
        close(slow[i]);
    end();
}
END_TEST

/* A client that asks and never reads: its requests back up in its own socket, not in the server. */
START_TEST(a_client_that_never_reads_makes_nobody_wait)
{
    begin_list();
    char request[128];
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    size_t n = strlen(((struct pari_proxy *)list)->ident);
    char *big = calloc(1, 1 << 20);
    ck_assert_int_eq(par_list_append(list, par_bytes(big, 1 << 20), SOON), 0);
    free(big);
    memcpy(request, "\x80\x02(X", 4);
    memcpy(request + 4, (char[]){ (char)n, 0, 0, 0 }, 4);
    memcpy(request + 8, ((struct pari_proxy *)list)->ident, n);
    memcpy(request + 8 + n, "X\x09\0\0\0#GETVALUE)}t.", 18);
    int fd = raw_accepted();
    fcntl(fd, F_SETFL, O_NONBLOCK);
    unsigned char frame[160];
    pari_frame_write_header(frame, 8 + n + 18);
    memcpy(frame + PARI_FRAME_HEADER, request, 8 + n + 18);
    for (int i = 0; i < 100000; i++)
        if (send(fd, frame, PARI_FRAME_HEADER + 8 + n + 18, MSG_NOSIGNAL) < 0)
            break;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(par_list_len(list, SOON), 1);
    close(fd);
    ck_assert_int_eq(par_list_len(list, SOON), 1);
    end();
}
END_TEST

#define ASK_NOBODY "\0\0\0\x15\x80\x02(X\1\0\0\0zX\3\0\0\0pop)}t."

/* All in one send: more answers come back than the socket holds. */
START_TEST(requests_may_be_sent_ahead)
{
    begin();
    enum { N = 500, SIZE = sizeof ASK_NOBODY - 1 };
    static char requests[N * SIZE];
    struct pari_inbox inbox = { 0 };
    int fd = raw_accepted();
    for (int i = 0; i < N; i++)
        memcpy(requests + i * SIZE, ASK_NOBODY, SIZE);
    ck_assert_int_eq(send(fd, requests, sizeof requests, MSG_NOSIGNAL), sizeof requests);
    for (int i = 0; i < N; i++)
        assert_obj(raw_next(fd, &inbox), "('#TRACEBACK', 'no such object')");
    pari_inbox_clear(&inbox);
    close(fd);
    end();
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    begin();
    unsigned char frame[PARI_FRAME_HEADER + sizeof ACCEPT - 1];
    int fd = raw_connect();
    pari_frame_write_header(frame, sizeof ACCEPT - 1);
    memcpy(frame + PARI_FRAME_HEADER, ACCEPT, sizeof ACCEPT - 1);
    for (size_t i = 0; i < sizeof frame; i++) {
        ck_assert_int_eq(send(fd, frame + i, 1, MSG_NOSIGNAL), 1);
        ck_assert_int_eq(count_objects(), 0); /* the server has been at it meanwhile */
    }
    assert_obj(raw_receive(fd), "('#RETURN', None)");
    close(fd);
    end();
}
END_TEST

/* The server may open 20 descriptors: the clients beyond that stand in its listener's line until others leave. */
START_TEST(more_clients_than_descriptors_wait_in_line)
{
    begin_list();
    int crowd[40];
    ck_assert_int_eq(prlimit(server_pid(), RLIMIT_NOFILE, &(struct rlimit){ 20, 20 }, NULL), 0);
    for (int i = 0; i < 40; i++)
        crowd[i] = raw_connect();
    ck_fails(par_list_len(list, par_in(0.3)), ETIMEDOUT);
    for (int i = 0; i < 30; i++)
        close(crowd[i]);
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    for (int i = 30; i < 40; i++)
        close(crowd[i]);
    end();
}
END_TEST

static int n_requests;

static int
fail_one_in_the_server(enum pari_call call)
{
    return call == PARI_CALL_MALLOC && n_requests-- == 0 ? ENOMEM : 0;
}

/* A manager whose server, or whose start, finds no memory at its n-th request. NULL: it was the start. */
static par_manager *
start_short_of_memory(int n)
{
    n_requests = n;
    pari_fault_hook = fail_one_in_the_server;
    par_manager *started = par_manager_start(NULL);
    pari_fault_hook = NULL;
    ck_assert(started != NULL || errno == ENOMEM);
    return started;
}

/* Each call is done, or says what it could not, and the calls after it are served. */
START_TEST(a_server_short_of_memory_goes_on)
{
    for (int n = 0; n < 60; n++) {
        manager = start_short_of_memory(n);
        if (manager == NULL)
            continue;
        int appended = 0, failed = 0;
        while (list == NULL && failed < 3)
            if ((list = par_manager_list(manager, SOON)) == NULL)
                failed++;
        for (int i = 0; i < 10; i++)
            if (par_list_append(list, par_str("value"), SOON) == 0)
                appended++;
            else
                ck_assert(failed++ == 0 && (errno == ENOMEM || errno == EPIPE));
        ck_assert_int_le(failed, 1);
        ck_assert_int_ge(par_list_len(list, SOON), appended);
        end();
    }
}
END_TEST

START_TEST(a_freed_proxy_drops_the_object)
{
    begin();
    for (int i = 0; i < 50; i++) {
        par_list *one = par_manager_list(manager, SOON);
        ck_assert_int_eq(par_list_append(one, par_int(i), SOON), 0);
        par_list_free(one);
    }
    while (count_objects() != 0) /* free does not wait for the server */
        ;
    end();
}
END_TEST

START_TEST(references_are_counted)
{
    begin_list();
    struct pari_server server;
    ck_assert_int_eq(pari_manager_server(manager, &server), 0);
    const char *ident = ((struct pari_proxy *)list)->ident;
    assert_obj(pari_client_control(&server, "incref", par_tuple(par_str(ident)), SOON), "None");
    assert_obj(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), "None");
    ck_assert_int_eq(par_list_len(list, SOON), 0);
    assert_obj(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), "None");
    ck_fails(par_list_len(list, SOON), EINVAL);
    ck_fails_null(pari_client_control(&server, "decref", par_tuple(par_str(ident)), SOON), EINVAL);
    end();
}
END_TEST

/* ---- many processes and threads */

static int
append_some(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++)
        if (par_list_append(list, par_int(i), SOON) != 0)
            return errno;
    return 0;
}

START_TEST(a_hundred_processes_append)
{
    begin_list();
    pid_t child[100];
    int n = 20;
    for (int i = 0; i < 100; i++)
        child[i] = fixture_fork(append_some, &n);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    ck_assert_int_eq(par_list_len(list, SOON), 2000);
    ck_assert_int_eq(par_list_count(list, par_int(19), SOON), 100);
    end();
}
END_TEST

static void *
thread_appends(void *arg)
{
    (void)arg;
    int n = 100;
    return append_some(&n) == 0 ? NULL : "failed";
}

START_TEST(threads_share_a_proxy)
{
    begin_list();
    pthread_t thread[8];
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_appends, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(par_list_len(list, SOON), 800);
    end();
}
END_TEST

static atomic_bool stop;

static void *
thread_appends_until_stopped(void *arg)
{
    while (!atomic_load(&stop))
        if (par_list_append(list, par_int(-1), SOON) != 0)
            return "failed";
    return arg;
}

/* The child finds the table of connections as its parent's other threads were using it. */
START_TEST(a_fork_in_the_middle_of_a_call)
{
    begin_list();
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_appends_until_stopped, NULL), 0);
    for (int i = 0; i < 50; i++) {
        int n = 5;
        ck_assert_int_eq(fixture_in_child(append_some, &n), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(par_list_count(list, par_int(4), SOON), 50);
    end();
}
END_TEST

static par_list **from_child;

static int
make_list(void *arg)
{
    (void)arg;
    *from_child = par_manager_list(manager, SOON);
    return *from_child != NULL && par_list_append(*from_child, par_str("child"), SOON) == 0 ? 0 : 1;
}

START_TEST(a_list_made_by_a_child_is_used_by_its_parent)
{
    begin();
    from_child = fixture_shared(sizeof *from_child);
    ck_assert_int_eq(fixture_in_child(make_list, NULL), 0);
    list = *from_child;
    assert_list("['child']");
    end();
}
END_TEST

static int
append_in_process(void *arg)
{
    return par_list_append(*(par_list **)arg, par_int(par_process_pid(par_process_current()) > 0), SOON) == 0 ? 0 : 1;
}

START_TEST(a_proxy_travels_as_an_argument)
{
    begin_list();
    par_process *child = par_process_start(append_in_process, &list, sizeof list, NULL);
    ck_assert_ptr_nonnull(child);
    ck_assert_int_eq(par_process_join(child, SOON), 0);
    ck_assert_int_eq(par_process_exitcode(child), 0);
    par_process_free(child);
    assert_list("[1]");
    end();
}
END_TEST

static int
add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        if (par_dict_add(dict, par_str("n"), 1, SOON) != 0)
            return errno;
    return 0;
}

START_TEST(processes_count_in_a_dict)
{
    begin_dict();
    pid_t child[8];
    for (int i = 0; i < 8; i++)
        child[i] = fixture_fork(add_many, NULL);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(fixture_wait(child[i]), 0);
    assert_dict("{'n': 1600}");
    end();
}
END_TEST

/* ---- deaths */

struct progress {
    _Atomic int acknowledged; /* appends that have returned 0 */
    _Atomic int failed;
};

static struct progress *progress;
static int victim;

static int
append_until_killed(void *arg)
{
    (void)arg;
    for (int i = 0;; i++) {
        if (par_list_append(list, par_tuple(par_int(victim), par_int(i)), SOON) != 0) {
            atomic_store(&progress->failed, errno);
            return 1;
        }
        atomic_fetch_add(&progress->acknowledged, 1);
        if (i % 2 == 0 && par_list_len(list, SOON) < 0) /* one that waits */
            return 2;
    }
}

/* What a killed client has appended: all that was acknowledged, at most one more, in order. */
static void
assert_appends_of(int client, int acknowledged)
{
    par_obj *all = par_list_copy(list, SOON);
    int n = (int)par_obj_len(all);
    ck_assert_int_ge(n, acknowledged);
    ck_assert_int_le(n, acknowledged + 1);
    for (int i = 0; i < n; i++) {
        const par_obj *item = par_obj_item(all, (size_t)i);
        ck_assert_int_eq(par_obj_as_int(par_obj_item(item, 0), -1), client);
        ck_assert_int_eq(par_obj_as_int(par_obj_item(item, 1), -1), i);
    }
    par_obj_free(all);
}

START_TEST(clients_killed_in_calls_harm_nobody)
{
    size_t before;
    begin_list();
    progress = fixture_shared(sizeof *progress);
    ck_assert_int_eq(par_list_clear(list, SOON), 0);
    before = pari_heap_in_use();
    for (victim = 0; victim < 300; victim++) {
        atomic_store(&progress->acknowledged, 0);
        pid_t child = fixture_fork(append_until_killed, NULL);
        fixture_kill_after_us(child, fixture_random_below(3000));
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
        ck_assert_int_eq(atomic_load(&progress->failed), 0);
        assert_appends_of(victim, atomic_load(&progress->acknowledged));
        ck_assert_int_eq(par_list_clear(list, SOON), 0);
    }
    ck_assert_int_eq(count_objects(), 1);
    assert_heap_becomes(before);
    end();
}
END_TEST

/* The server comes to hear of a call that was given up at any moment of its link's life. */
START_TEST(calls_that_are_given_up_leave_nothing)
{
    size_t before;
    begin_list();
    fill(1);
    before = pari_heap_in_use();
    for (int i = 0, n_late = 0; i < 20000 && n_late < 1500; i++)
        n_late += par_list_len(list, par_in((5 + fixture_random_below(150)) * 1e-6)) < 0;
    ck_assert_int_ge(par_list_len(list, SOON), 0);
    assert_heap_becomes(before);
    end();
}
END_TEST

static void *
go_on_later(void *arg)
{
    (void)poll(NULL, 0, 5);
    (void)kill(*(pid_t *)arg, SIGCONT);
    return NULL;
}

/* What was offered and given up lies before the server when the next mailbox is at the same address. */
START_TEST(offers_that_come_late_take_nothing)
{
    size_t before;
    begin_list();
    fill(1);
    pid_t server = server_pid();
    before = pari_heap_in_use();
    for (int i = 0; i < 30; i++) {
        pthread_t thread;
        kill(server, SIGSTOP);
        for (int k = 0; k < 3; k++)
            ck_fails(par_list_len(list, par_in(0.002)), ETIMEDOUT);
        ck_assert_int_eq(pthread_create(&thread, NULL, go_on_later, &server), 0);
        ck_assert_int_eq(par_list_len(list, SOON), 1);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
    }
    assert_heap_becomes(before);
    end();
}
END_TEST

static int
make_lists_until_killed(void *arg)
{
    (void)arg;
    for (;;) {
        par_list *own = par_manager_list(manager, SOON);
        if (own == NULL || par_list_append(own, par_int(1), SOON) != 0)
            return 1;
        par_list_free(own);
    }
}

START_TEST(clients_killed_while_they_make_lists_leave_one_each_at_most)
{
    begin_list();
    for (int i = 0; i < 100; i++) {
        pid_t child = fixture_fork(make_lists_until_killed, NULL);
        fixture_kill_after_us(child, fixture_random_below(3000));
        ck_assert_int_eq(fixture_wait(child), -SIGKILL);
        ck_assert_int_eq(par_list_append(list, par_int(i), SOON), 0);
    }
    ck_assert_int_le(count_objects(), 101);
    ck_assert_int_eq(par_list_len(list, SOON), 100);
    end();
}
END_TEST

static int
append_until_epipe(void *arg)
{
    (void)arg;
    while (par_list_append(list, par_int(1), SOON) == 0)
        atomic_fetch_add(&progress->acknowledged, 1);
    return errno == EPIPE ? 0 : errno;
}

START_TEST(a_killed_server_is_epipe_for_all)
{
    progress = fixture_shared(sizeof *progress);
    for (int round = 0; round < 30; round++) {
        begin_list();
        pid_t child[3];
        for (int i = 0; i < 3; i++)
            child[i] = fixture_fork(append_until_epipe, NULL);
        fixture_kill_after_us(server_pid(), fixture_random_below(4000));
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(fixture_wait(child[i]), 0);
        ck_fails(par_list_len(list, PAR_FOREVER), EPIPE);
        end();
    }
}
END_TEST

static void *
thread_asks(void *arg)
{
    (void)arg;
    errno = 0;
    return par_list_len(list, PAR_FOREVER) == -1 && errno == EPIPE ? NULL : "not EPIPE";
}

START_TEST(a_call_that_waits_ends_when_the_server_dies)
{
    begin_list();
    pid_t server = server_pid();
    pthread_t thread[2];
    kill(server, SIGSTOP);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, thread_asks, NULL), 0);
    ck_fails(par_list_len(list, par_in(0.02)), ETIMEDOUT);
    kill(server, SIGKILL);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    end();
}
END_TEST

static _Atomic pid_t *orphan;

static int
own_a_manager(void *arg)
{
    (void)arg;
    begin_list();
    fill(3);
    atomic_store(orphan, server_pid());
    pause();
    return 0;
}

START_TEST(the_server_ends_with_its_owner)
{
    fixture_expect_orphans();
    orphan = fixture_shared(sizeof *orphan);
    pid_t owner = fixture_fork(own_a_manager, NULL);
    while (atomic_load(orphan) == 0)
        usleep(1000);
    kill(owner, SIGKILL);
    ck_assert_int_eq(fixture_wait(owner), -SIGKILL);
}
END_TEST

START_TEST(sigint_does_not_end_the_server)
{
    begin_list();
    kill(server_pid(), SIGINT);
    ck_assert_int_eq(par_list_append(list, par_int(1), SOON), 0);
    end();
}
END_TEST

int
main(void)
{
    Suite *suite = fixture_suite("manager_end");

    TCase *wire = fixture_case(suite, "bytes on the wire");
    tcase_add_test(wire, requests_of_another_implementation_are_understood);
    tcase_add_test(wire, an_offer_that_is_no_mailbox_is_passed_over);
    tcase_add_test(wire, an_unknown_request_is_a_traceback);
    tcase_add_test(wire, a_global_is_refused_and_nothing_is_called);
    tcase_add_test(wire, bytes_without_sense_close_that_client_only);
    tcase_add_test(wire, request_that_only_looks_like_ours_is_none);
    tcase_add_test(wire, random_bytes_do_no_harm);
    tcase_add_test(wire, half_a_message_makes_nobody_wait);
    tcase_add_test(wire, a_client_that_never_reads_makes_nobody_wait);
    tcase_add_test(wire, requests_may_be_sent_ahead);
    tcase_add_test(wire, a_request_may_come_byte_by_byte);
    tcase_add_test(wire, more_clients_than_descriptors_wait_in_line);
    tcase_add_test(wire, a_server_short_of_memory_goes_on);
    tcase_add_test(wire, a_freed_proxy_drops_the_object);
    tcase_add_test(wire, references_are_counted);

    TCase *many = fixture_case(suite, "many processes and threads");
    tcase_add_test(many, a_hundred_processes_append);
#ifndef __SANITIZE_ADDRESS__ /* its allocator's own locks are copied as other threads hold them: some children hang in malloc */
    tcase_add_test(many, a_fork_in_the_middle_of_a_call);
#else
    (void)a_fork_in_the_middle_of_a_call;
#endif
    tcase_add_test(many, a_list_made_by_a_child_is_used_by_its_parent);
    tcase_add_test(many, a_proxy_travels_as_an_argument);
    tcase_add_test(many, processes_count_in_a_dict);

    /* The server is forked while there is one thread, which the thread sanitizer takes. */
    TCase *threads = fixture_thread_case(suite, "threads");
    tcase_add_test(threads, threads_share_a_proxy);

    TCase *deaths = fixture_case(suite, "deaths");
    tcase_add_test(deaths, calls_that_are_given_up_leave_nothing);
    tcase_add_test(deaths, offers_that_come_late_take_nothing);
    tcase_add_test(deaths, clients_killed_in_calls_harm_nobody);
    tcase_add_test(deaths, clients_killed_while_they_make_lists_leave_one_each_at_most);
    tcase_add_test(deaths, a_killed_server_is_epipe_for_all);
    tcase_add_test(deaths, a_call_that_waits_ends_when_the_server_dies);
    tcase_add_test(deaths, the_server_ends_with_its_owner);
    tcase_add_test(deaths, sigint_does_not_end_the_server);

    return fixture_run(suite);
}
