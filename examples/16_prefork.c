/* SPDX-License-Identifier: MIT
 *
 * A pre-forked server: three processes accept from one listening socket. One of them is killed; a new one takes its place, and no
 * client hears of it.
 */
#include "demo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVERS = 3, VICTIM = 1 };

static int listener;

/* One connection: a line in capitals, until the client closes. */
static void
serve_one(int client)
{
    char line[64];
    ssize_t n;
    while ((n = read(client, line, sizeof line)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            line[i] = line[i] >= 'a' && line[i] <= 'z' ? (char)(line[i] - 32) : line[i];
        if (write(client, line, (size_t)n) != n)
            break;
    }
    close(client);
}

static int
serve(void *arg)
{
    (void)arg;
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            return 1;
        serve_one(client);
    }
}

static par_process *
start_server(void)
{
    par_process *server = par_process_start(serve, NULL, 0, &(par_process_opts){ .daemon = true, .name = "server" });
    if (server == NULL)
        demo_die("par_process_start");
    return server;
}

static uint16_t
open_listener(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        demo_die("listen");
    return address.sin_port;
}

static bool
ask(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = port, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    char answer[6] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_right = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, "hello", 5) == 5 &&
                    recv(fd, answer, 5, MSG_WAITALL) == 5 && strcmp(answer, "HELLO") == 0;
    close(fd);
    return is_right;
}

int
main(int argc, char **argv)
{
    (void)argc;
    int n = demo_flag(argv, "--quick") ? 30 : 1000, n_right = 0, n_replaced = 0;
    demo_end_options(argv, "");
    uint16_t port = open_listener();
    par_process *server[SERVERS];
    for (int i = 0; i < SERVERS; i++)
        server[i] = start_server();

    for (int i = 0; i < n; i++) {
        if (i == n / 2) { /* between two clients; in the middle of one, that one would see the connection end */
            par_process_kill(server[VICTIM]);
            (void)par_process_join(server[VICTIM], PAR_FOREVER);
        }
        for (int k = 0; k < SERVERS; k++)
            if (!par_process_is_alive(server[k])) { /* the master's whole duty */
                printf("server %d ended with %d, another one takes its place\n", k, par_process_exitcode(server[k]));
                par_process_free(server[k]);
                server[k] = start_server();
                n_replaced++;
            }
        n_right += ask(port);
    }
    printf("%d of %d clients were answered\n", n_right, n);
    for (int i = 0; i < SERVERS; i++) {
        par_process_kill(server[i]);
        (void)par_process_join(server[i], PAR_FOREVER);
        n_replaced += par_process_exitcode(server[i]) != -SIGKILL;
        par_process_free(server[i]);
    }
    close(listener);
    return n_right == n && n_replaced <= 1 ? 0 : EXIT_FAILURE;
}
