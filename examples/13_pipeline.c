/* SPDX-License-Identifier: MIT
 *
 * A pipeline with backpressure: a reader makes lines, three workers weigh them, a writer sums up. The queues between them hold ten
 * items, so that the fast reader waits for the slow workers instead of filling the memory. One worker is killed on the way: its line
 * is lost and said so, the others go on.
 */
#include "demo.h"

#include <signal.h>
#include <unistd.h>

enum { ROOM = 10, WORKERS = 3 };

struct line {
    int number, length;
    char text[48];
};

struct pipeline {
    par_queue *lines, *weights;
    int n, highest;
};

static int
read_lines(void *arg)
{
    struct pipeline *p = arg;
    for (int i = 0; i < p->n; i++) {
        struct line line = { .number = i };
        line.length = snprintf(line.text, sizeof line.text, "line %d, so long: %.*s", i, i % 20, "####################");
        if (par_queue_put(p->lines, &line, sizeof line, PAR_FOREVER) != 0)
            return 1;
        int ahead = (int)par_queue_qsize(p->lines);
        if (ahead > p->highest)
            p->highest = ahead;
    }
    return 0;
}

static int
weigh_lines(void *arg)
{
    struct pipeline *p = arg;
    struct line line;
    while (par_queue_get(p->lines, &line, sizeof line, PAR_FOREVER) >= 0) {
        usleep(500); /* the work */
        if (line.number == p->n / 2)
            kill(getpid(), SIGKILL);
        if (par_queue_put(p->weights, &line.length, sizeof line.length, PAR_FOREVER) != 0 || par_queue_task_done(p->lines) != 0)
            return 1;
    }
    return errno == EPIPE ? 0 : 1; /* closed and empty */
}

int
main(int argc, char **argv)
{
    (void)argc;
    int n = demo_flag(argv, "--quick") ? 60 : 600;
    demo_end_options(argv, "");
    struct pipeline *p = par_value(struct pipeline);
    if (p == NULL)
        demo_die("par_value");
    p->n = n;
    p->lines = par_queue_new(&(par_queue_opts){ .maxsize = ROOM });
    p->weights = par_queue_new(NULL);
    if (p->lines == NULL || p->weights == NULL)
        demo_die("par_queue_new");

    par_process *reader = par_process_start(read_lines, p, 0, NULL), *worker[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if ((worker[i] = par_process_start(weigh_lines, p, 0, NULL)) == NULL || reader == NULL)
            demo_die("par_process_start");
    if (par_process_join(reader, PAR_FOREVER) != 0)
        demo_die("par_process_join");
    ssize_t n_lost = par_queue_join(p->lines, PAR_FOREVER); /* until each line is weighed, or its worker dead */
    par_queue_close(p->lines);
    for (int i = 0; i < WORKERS; i++) {
        (void)par_process_join(worker[i], PAR_FOREVER);
        par_process_free(worker[i]);
    }
    par_process_free(reader);

    int length, n_weighed = 0, sum = 0;
    while (par_queue_get(p->weights, &length, sizeof length, PAR_NOWAIT) >= 0) {
        n_weighed++;
        sum += length;
    }
    printf("%d of %d lines weighed, %zd lost with a worker; the reader was never more than %d ahead\n", n_weighed, n, n_lost,
           ROOM);
    printf("%s\n", p->highest <= ROOM && n_weighed + n_lost == n && sum > 0 ? "all accounted for" : "something is missing");
    par_queue_free(p->weights);
    par_queue_free(p->lines);
    par_shared_free(p);
    return n_weighed + n_lost == n ? 0 : EXIT_FAILURE;
}
