/* SPDX-License-Identifier: MIT
 *
 * Demo 5: how long it takes to send many numbers through a pipe.
 *
 *     for count in [10**4, 10**5, 10**6]:
 *         p_output, p_input = Pipe()
 *         reader_p = Process(target=reader_proc, ...); reader_p.daemon = True; reader_p.start()
 *         start = time.time()
 *         writer(count, p_input)               # sends 0, 1, 2, ... and then 'DONE'
 *         reader_p.join()
 *         print("Sending {0} numbers to Pipe() took {1} seconds".format(count, time.time() - start))
 *
 * A number is a message of 4 bytes, DONE one of 5. The reader's end moves to the reader (.give), so neither side has anything to
 * close before it can start.
 */
#include "demo.h"

static int
reader(void *p_output)
{
    for (int expected = 0;; expected++) {
        union {
            int number;
            char text[8];
        } message;
        ssize_t size = par_conn_recv(p_output, &message, sizeof message, PAR_FOREVER);
        if (size == sizeof "DONE" && strcmp(message.text, "DONE") == 0)
            return 0;
        if (size != sizeof message.number || message.number != expected)
            return 1;
    }
}

static void
writer(int count, par_conn *p_input)
{
    for (int i = 0; i < count; i++) {
        if (par_conn_send(p_input, &i, sizeof i, PAR_FOREVER) != 0)
            demo_die("par_conn_send");
    }
    if (par_conn_send(p_input, "DONE", sizeof "DONE", PAR_FOREVER) != 0)
        demo_die("par_conn_send");
}

static void
time_pipe(int count)
{
    par_conn *end[2];
    if (par_pipe(end, NULL) != 0)
        demo_die("par_pipe");
    par_process *process = par_process_start(reader, end[0], 0, &(par_process_opts){ .daemon = true, .give = { end[0] } });
    if (process == NULL)
        demo_die("par_process_start");

    par_time start = par_now();
    writer(count, end[1]);
    if (par_process_join(process, PAR_FOREVER) != 0 || par_process_exitcode(process) != 0)
        demo_die("reader");
    printf("Sending %d numbers to Pipe() took %f seconds\n", count, par_since(start));

    par_process_free(process);
    par_conn_free(end[1]);
}

int
main(int argc, char **argv)
{
    (void)argc;
    bool quick = demo_flag(argv, "--quick");
    int count = (int)demo_number(argv, "-n", quick ? 100 : 10000, 1, 1e7);
    demo_end_options(argv, "[-n numbers to begin with]");
    for (int round = 0; round < 3; round++, count *= 10)
        time_pipe(count);
    return EXIT_SUCCESS;
}
