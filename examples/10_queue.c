/* SPDX-License-Identifier: MIT
 *
 * Demo 6: the same as Demo 5 through a queue, which takes any number of producers and consumers.
 *
 *     pqueue = Queue()
 *     for count in [10**4, 10**5, 10**6]:
 *         reader_p = Process(target=reader_proc, args=((pqueue),)); reader_p.daemon = True; reader_p.start()
 *         start = time.time()
 *         writer(count, pqueue)                # puts 0, 1, 2, ... and then 'DONE'
 *         reader_p.join()
 *         print("Sending {0} numbers to Queue() took {1} seconds".format(count, time.time() - start))
 */
#include "demo.h"

/* Also a wrong number does not keep it from taking all: the writer would wait for room in the queue. */
static int
reader(void *queue)
{
    int n_wrong = 0;
    for (int expected = 0;; expected++) {
        union {
            int number;
            char text[8];
        } message;
        ssize_t size = par_queue_get(queue, &message, sizeof message, PAR_FOREVER);
        if (size == sizeof "DONE" && strcmp(message.text, "DONE") == 0)
            return n_wrong == 0 ? 0 : 1;
        if (size < 0)
            return 1;
        n_wrong += size != sizeof message.number || message.number != expected;
    }
}

static void
writer(int count, par_queue *queue)
{
    for (int i = 0; i < count; i++) {
        if (par_queue_put(queue, &i, sizeof i, PAR_FOREVER) != 0)
            demo_die("par_queue_put");
    }
    if (par_queue_put(queue, "DONE", sizeof "DONE", PAR_FOREVER) != 0)
        demo_die("par_queue_put");
}

static void
time_queue(int count, par_queue *queue)
{
    par_process *process = par_process_start(reader, queue, 0, &(par_process_opts){ .daemon = true });
    if (process == NULL)
        demo_die("par_process_start");

    par_time start = par_now();
    writer(count, queue);
    if (par_process_join(process, PAR_FOREVER) != 0 || par_process_exitcode(process) != 0)
        demo_die("reader");
    printf("Sending %d numbers to Queue() took %f seconds\n", count, par_since(start));
    par_process_free(process);
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int count = (int)demo_number(argv, "-n", quick ? 100 : 10000, 1, 1e7);
    demo_end_options(argv, "[-n numbers to begin with]");
    par_queue *queue = par_queue_new(NULL);
    if (queue == NULL)
        demo_die("par_queue_new");
    for (int round = 0; round < 3; round++, count *= 10)
        time_queue(count, queue);
    par_queue_free(queue);
    return EXIT_SUCCESS;
}
