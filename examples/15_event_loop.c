/* SPDX-License-Identifier: MIT
 *
 * An event loop with epoll: one thread listens to the messages of three processes, to their ends, and to a clock. What libpar waits
 * for is a descriptor like any other.
 */
#include "demo.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TALKERS = 3, CLOCK = 2 * TALKERS };

static int n_words;

static int
talk(void *arg)
{
    for (int i = 0; i < n_words; i++) {
        usleep(2000);
        if (par_conn_send(arg, &i, sizeof i, PAR_FOREVER) != 0)
            return 1;
    }
    return 0;
}

static void
watch(int epoll, int fd, int number)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = (uint32_t)number } };
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        demo_die("epoll_ctl");
}

/* All that is there; the descriptor is quiet again once there is nothing. How many, and whether the stream has ended. */
static int
hear(par_conn *c, bool *has_ended)
{
    int word, n = 0;
    while (par_conn_recv(c, &word, sizeof word, PAR_NOWAIT) >= 0)
        n++;
    *has_ended = errno == EPIPE;
    return n;
}

int
main(int argc, char **argv)
{
    (void)argc;
    par_conn *end[TALKERS][2];
    par_process *talker[TALKERS];
    int n_heard = 0, n_ends = 0, n_streams = 0, n_ticks = 0;
    n_words = demo_flag(argv, "--quick") ? 10 : 100;
    demo_end_options(argv, "");

    int epoll = epoll_create1(EPOLL_CLOEXEC), clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec every_10_ms = { { 0, 10000000 }, { 0, 10000000 } };
    if (epoll < 0 || clock < 0 || timerfd_settime(clock, 0, &every_10_ms, NULL) != 0)
        demo_die("epoll, timerfd");
    watch(epoll, clock, CLOCK);
    for (int i = 0; i < TALKERS; i++) {
        if (par_pipe(end[i], NULL) != 0 ||
            (talker[i] = par_process_start(talk, end[i][1], 0, &(par_process_opts){ .give = { end[i][1] } })) == NULL)
            demo_die("par_process_start");
        watch(epoll, par_conn_fileno(end[i][0]), i);
        if (par_process_fileno(talker[i]) >= 0) /* kernels before 5.3 have none: then the end of the stream tells */
            watch(epoll, par_process_fileno(talker[i]), TALKERS + i);
        else
            n_ends++;
    }

    while (n_ends < TALKERS || n_streams < TALKERS) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, 20000) != 1)
            demo_die("epoll_wait");
        int number = (int)event.data.u32;
        if (number == CLOCK) {
            uint64_t ticks;
            n_ticks += read(clock, &ticks, sizeof ticks) == sizeof ticks;
        } else if (number < TALKERS) {
            bool has_ended;
            n_heard += hear(end[number][0], &has_ended);
            if (has_ended) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, par_conn_fileno(end[number][0]), NULL);
                n_streams++;
            }
        } else {
            epoll_ctl(epoll, EPOLL_CTL_DEL, par_process_fileno(talker[number - TALKERS]), NULL);
            n_ends += par_process_join(talker[number - TALKERS], PAR_NOWAIT) == 0;
        }
    }
    printf("%d words heard from %d processes, %d ends, the clock %s\n", n_heard, TALKERS, n_ends,
           n_ticks > 0 ? "ticked meanwhile" : "stood still");
    for (int i = 0; i < TALKERS; i++) {
        (void)par_process_join(talker[i], PAR_FOREVER);
        par_process_free(talker[i]);
        par_conn_free(end[i][0]);
    }
    close(clock);
    close(epoll);
    return n_heard == TALKERS * n_words ? 0 : EXIT_FAILURE;
}
