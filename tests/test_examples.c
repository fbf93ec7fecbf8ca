/* SPDX-License-Identifier: MIT
 *
 * test_examples.c: every example runs, with small numbers, and prints what it should; the interface also in a terminal.
 *
 * The runner (make check) says in PAR_BUILD where the examples were built. That nothing is left behind is seen by the fixture.
 */
#include "fixture.h"

#include <fcntl.h>
#include <par/base.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#define SECONDS "[0-9]+\\.[0-9]+"

/* ---- running an example, and looking at its output */

static char output[1 << 18];

/* Run "03_pool -n 20" with "PATH=/bin" or the like; its exit code. What it wrote, also to stderr, is in `output`. */
static int
run_with(const char *environment, const char *command)
{
    char line[4096];
    snprintf(line, sizeof line, "exec timeout -k 1 25 env %s \"$PAR_BUILD\"/examples/%s 2>&1 </dev/null", environment, command);
    FILE *pipe = popen(line, "re");
    ck_assert_ptr_nonnull(pipe);
    size_t length = fread(output, 1, sizeof output - 1, pipe);
    output[length] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int
run(const char *command)
{
    return run_with("", command);
}

static void
expect(const char *command, const char *expected)
{
    int code = run(command);
    ck_assert_msg(code == 0, "%s: exit code %d: %s", command, code, output);
    ck_assert_str_eq(output, expected);
}

static bool
matches(const char *text, const char *pattern)
{
    regex_t regex;
    ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static void
expect_match(const char *command, const char *pattern)
{
    int code = run(command);
    ck_assert_msg(code == 0, "%s: exit code %d: %s", command, code, output);
    ck_assert_msg(matches(output, pattern), "%s: %s\nis not %s", command, output, pattern);
}

static int
count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        n++;
    return n;
}

/* ---- threads and processes */

START_TEST(threads_and_processes_print_each_result)
{
    expect_match("01_threads_processes -n 20 -t 3", "^(Fib 20 is 4181\n){3}Threads completed their tasks in " SECONDS " s!\n\n"
                                                    "(Fib 20 is 4181\n){3}Processes completed their tasks in " SECONDS " s!\n\n"
                                                    "Multi(threading|processing) wins!\n"
                                                    "\\(C has no interpreter lock\\. [^\n]*\\)\n$");
}
END_TEST

START_TEST(the_shorter_time_wins)
{
    ck_assert_int_eq(run("01_threads_processes -n 20 -t 2"), 0);
    double threads = 0, processes = 0;
    ck_assert_int_eq(sscanf(strstr(output, "Threads"), "Threads completed their tasks in %lf", &threads), 1);
    ck_assert_int_eq(sscanf(strstr(output, "Processes"), "Processes completed their tasks in %lf", &processes), 1);
    if (processes < threads)
        ck_assert_ptr_nonnull(strstr(output, "Multiprocessing wins!"));
    if (processes > threads)
        ck_assert_ptr_nonnull(strstr(output, "Multithreading wins!"));
}
END_TEST

START_TEST(the_sequence_begins_as_on_the_slide)
{
    static const struct {
        const char *command, *line;
    } cases[] = {
        { "01_threads_processes -n 1 -t 1", "Fib 1 is 0\n" },     { "01_threads_processes -n 2 -t 1", "Fib 2 is 1\n" },
        { "01_threads_processes -n 3 -t 1", "Fib 3 is 1\n" },     { "01_threads_processes -n 0 -t 1", "Invalid Input\n" },
        { "01_threads_processes -n -7 -t 1", "Invalid Input\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(run(cases[i].command), 0);
        ck_assert_int_eq(count(output, cases[i].line), 2);
    }
}
END_TEST

START_TEST(pool_prints_the_list_of_results)
{
    expect_match("03_pool -n 30",
                 "^\\[514229, 514229, 514229, 514229, 514229\\]\nProcesses completed their tasks in " SECONDS " s!\n$");
}
END_TEST

START_TEST(pool_fails_with_the_words_of_the_task)
{
    ck_assert_int_eq(run("03_pool -n 0 -t 3"), 1);
    ck_assert_msg(matches(output, "^3 of 3 failed, such as .*Invalid Input\n$"), "%s", output);
}
END_TEST

START_TEST(killed_worker_costs_one_item)
{
    expect_match("11_kill", "^99 of 100 squares, missing: 1 \\(item 37: worker [0-9]+ killed by SIGKILL\\)\n"
                            "100 of 100 squares, nothing is missing\n$");
}
END_TEST

/* What 12_survivors prints, with this for Python's side. */
#define SURVIVORS(python)                                                                                              \
    "^Killed: a pool's worker, during map\n" python "    libpar  goes on \\(" SECONDS                                  \
    " s\\): 99 of 100 squares; item 36: worker [0-9]+ killed by SIGKILL\n"                                             \
    "Killed: a reader of a queue, in get\n" python "    libpar  goes on \\(" SECONDS " s\\): got 42\n"                 \
    "Killed: the holder of a lock\n" python "    libpar  goes on \\(" SECONDS                                          \
    " s\\): has the lock, which process [1-9][0-9]* died in\n"                                                         \
    "Killed: a waiter for an event, before set\n" python "    libpar  goes on \\(" SECONDS " s\\): the event is set\n" \
    "Killed: a party that waits at a barrier\n" python "    libpar  goes on \\(" SECONDS                               \
    " s\\): is told that a party has died\n"                                                                           \
    "Killed: an executor's worker, and the executor is used again\n" python "    libpar  goes on \\(" SECONDS          \
    " s\\): then 6 \\* 6 = 36\n"                                                                                       \
    "6 of 6 go on with libpar\n$"

START_TEST(all_survivors_go_on)
{
    expect_match("12_survivors -s 5", SURVIVORS("    Python  (hangs \\(stopped after 5 s\\)|goes on \\(" SECONDS
                                                " s\\): [^\n]+|not tried: [^\n]+|fails: [^\n]+)\n"));
}
END_TEST

START_TEST(survivors_do_without_python)
{
    ck_assert_int_eq(run_with("PATH=/nonexistent", "12_survivors -s 20"), 0);
    ck_assert_msg(matches(output, SURVIVORS("    Python  not tried: python3: No such file or directory\n")), "%s", output);
    expect_match("12_survivors --quick -s 20", SURVIVORS("    Python  not tried: --quick\n"));
}
END_TEST

/* ---- memory, the manager, channels */

START_TEST(globals_are_not_shared)
{
    expect("04_memory", "Result(in process p1): [1, 4, 9, 16]\nResult(in main program): []\n");
}
END_TEST

START_TEST(shared_memory_is_shared)
{
    expect("05_shared_memory", "Result(in process p1): [1, 4, 9, 16]\nSum of squares(in process p1): 30\n"
                               "Result(in main program): [1, 4, 9, 16]\nSum of squares(in main program): 30\n");
}
END_TEST

#define RECORDS \
    "Name: Adam\nScore: 9\nName: Jeff\nScore: 8\nName: Kevin\nScore: 9\nName: Mary\nScore: 7\nName: Sam\nScore: 10\n"

START_TEST(records_are_complete_in_both_processes)
{
    expect("06_server_process", "New record added!\nNew record added!\n"
                                "Records(in p3):\n" RECORDS "Records(in MainProcess):\n" RECORDS);
}
END_TEST

START_TEST(pipe_and_queue_tell_their_times)
{
    expect_match("09_pipe -n 10", "^Sending 10 numbers to Pipe\\(\\) took " SECONDS " seconds\n"
                                  "Sending 100 numbers to Pipe\\(\\) took " SECONDS " seconds\n"
                                  "Sending 1000 numbers to Pipe\\(\\) took " SECONDS " seconds\n$");
    expect_match("10_queue -n 10", "^Sending 10 numbers to Queue\\(\\) took " SECONDS " seconds\n"
                                   "Sending 100 numbers to Queue\\(\\) took " SECONDS " seconds\n"
                                   "Sending 1000 numbers to Queue\\(\\) took " SECONDS " seconds\n$");
}
END_TEST

START_TEST(pipe_and_queue_run_with_the_numbers_of_the_slide)
{
    expect_match("09_pipe", "10000 numbers .*100000 numbers .*1000000 numbers");
    expect_match("10_queue", "10000 numbers .*100000 numbers .*1000000 numbers");
}
END_TEST

/* ---- locks */

enum { NUMBERS = 40 };

static const char *const lock_examples[] = { "07_thread_lock", "08_process_lock" };

/* Does the text begin with a list that holds each of 1 .. NUMBERS once? And is it sorted? */
static bool
read_list(const char *text, bool *in_order)
{
    bool seen[NUMBERS + 1] = { false };
    *in_order = true;
    for (int i = 1; i <= NUMBERS; i++) {
        char *end;
        long number = strtol(text + 1, &end, 10);
        if (*text != (i == 1 ? '[' : ',') || number < 1 || number > NUMBERS || seen[number])
            return false;
        seen[number] = true;
        *in_order &= number == i;
        text = end;
    }
    return *text == ']';
}

/* The verdict that follows a headline is true to the list that follows it; is it "in order"? */
static bool
verdict_after(const char *headline)
{
    static const char yes[] = "List in order\n", no[] = "List not in order\n";
    const char *at = strstr(output, headline);
    ck_assert_ptr_nonnull(at);
    at += strlen(headline);
    bool verdict = strncmp(at, yes, strlen(yes)) == 0, in_order;
    ck_assert_msg(verdict || strncmp(at, no, strlen(no)) == 0, "%s", output);
    ck_assert_msg(read_list(at + (verdict ? strlen(yes) : strlen(no)), &in_order), "%s", output);
    ck_assert_msg(verdict == in_order, "%s", output);
    return in_order;
}

START_TEST(list_is_in_order_with_the_lock_only)
{
    char command[64];
    snprintf(command, sizeof command, "%s -n %d -s 0.005", lock_examples[_i], NUMBERS);
    ck_assert_int_eq(run(command), 0);
    ck_assert_msg(!verdict_after("Using No Lock\n"), "%s", output);
    ck_assert_msg(verdict_after("Using Lock\n"), "%s", output);
}
END_TEST

START_TEST(list_is_in_order_with_the_lock_every_time)
{
    char command[64];
    snprintf(command, sizeof command, "%s -n %d -s 0.0002", lock_examples[_i], NUMBERS);
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(run(command), 0);
        ck_assert_msg(verdict_after("Using Lock\n"), "round %d: %s", round, output);
    }
}
END_TEST

START_TEST(short_sleeps_are_owned_up_to)
{
    char command[64];
    snprintf(command, sizeof command, "%s -n 2 -s 0.001", lock_examples[_i]);
    ck_assert_int_eq(run(command), 0);
    ck_assert_ptr_nonnull(strstr(output, "(Even numbers sleep 0.001 s here; on the slide 0.5 s.)\n"));
}
END_TEST

/* ---- the interface */

START_TEST(interface_runs_its_script_for_two_seconds)
{
    par_time start = par_now();
    expect_match("02_interface -n 50000", "^primes  \\[#*\\.+\\] [0-9]+ of 50000 blocks, [1-9][0-9]* found\n"
                                          "pi      about 3\\.1[34][0-9]* after [0-9]+ points\n"
                                          "work    broken off, ([0-9]+) of ([0-9]+) processes at once\n"
                                          "keys    5 answered \"-  \\+q\", never busy for more than " SECONDS " ms\n$");
    ck_assert_double_ge(par_since(start), 2.0);
}
END_TEST

START_TEST(interface_counts_all_primes)
{
    expect_match("02_interface --quick -n 5", "^primes  \\[#{40}\\] 5 of 5 blocks, 9592 found\n.*\nwork    done, ");
}
END_TEST

struct terminal {
    int master, slave;
    pid_t child;
    struct termios before;
    size_t length, seen; /* of output */
};

static int
interface_in_terminal(int slave_of, const char *name, const char *blocks)
{
    char program[4096];
    snprintf(program, sizeof program, "%s/examples/02_interface", getenv("PAR_BUILD"));
    close(slave_of);
    if (setsid() < 0)
        return 126;
    int fd = open(name, O_RDWR); /* becomes the controlling terminal */
    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        return 126;
    if (fd > STDERR_FILENO)
        close(fd);
    execl(program, "02_interface", "-n", blocks, (char *)NULL);
    return 127;
}

static struct terminal
open_interface(const char *blocks)
{
    struct terminal t = { .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };
    ck_assert_int_ge(t.master, 0);
    ck_assert_int_eq(grantpt(t.master), 0);
    ck_assert_int_eq(unlockpt(t.master), 0);
    const char *name = ptsname(t.master);
    t.slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC); /* open, so that the settings can be read afterwards */
    ck_assert_int_ge(t.slave, 0);
    ck_assert_int_eq(tcgetattr(t.slave, &t.before), 0);
    fflush(NULL);
    t.child = fork();
    ck_assert_int_ge(t.child, 0);
    if (t.child == 0)
        _exit(interface_in_terminal(t.slave, name, blocks));
    return t;
}

/* Add to `output` what the program has drawn; waits for it a little. */
static void
look(struct terminal *t)
{
    struct pollfd screen = { .fd = t->master, .events = POLLIN };
    if (poll(&screen, 1, 50) <= 0)
        return;
    ssize_t n = read(t->master, output + t->length, sizeof output - 1 - t->length);
    t->length += n > 0 ? (size_t)n : 0;
    output[t->length] = '\0';
}

/* Wait until the program has drawn this text. */
static void
see(struct terminal *t, const char *text)
{
    par_time start = par_now();
    while (strstr(output + t->seen, text) == NULL && par_since(start) < 15)
        look(t);
    const char *at = strstr(output + t->seen, text);
    ck_assert_msg(at != NULL, "not seen: %s", text);
    t->seen = (size_t)(at - output) + strlen(text);
}

static void
press(struct terminal *t, const char *keys)
{
    ck_assert_int_eq(write(t->master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

/* The end of the program: its exit code or -signal. The terminal must be as it was. */
static int
close_interface(struct terminal *t)
{
    int status = 0;
    par_time start = par_now();
    pid_t ended = 0;
    while ((ended = waitpid(t->child, &status, WNOHANG)) == 0 && par_since(start) < 15)
        look(t);
    if (ended == 0)
        kill(t->child, SIGKILL);
    ck_assert_int_eq(ended, t->child);
    look(t);
    struct termios after = { 0 }; /* the kernel fills fewer characters than some libc has room for */
    ck_assert_int_eq(tcgetattr(t->slave, &after), 0);
    ck_assert_uint_eq(after.c_lflag, t->before.c_lflag);
    ck_assert_uint_eq(after.c_iflag, t->before.c_iflag);
    ck_assert_mem_eq(after.c_cc, t->before.c_cc, sizeof after.c_cc);
    ck_assert_msg(strstr(output, "\033[?1049l") != NULL && strstr(output, "\033[?25h") != NULL, "screen and cursor");
    close(t->slave);
    close(t->master);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

START_TEST(interface_answers_each_key)
{
    struct terminal t = open_interface("50000");
    see(&t, "work    going on, ");
    press(&t, " ");
    see(&t, "work    paused, ");
    press(&t, "-");
    see(&t, "keys    2 answered \" -\"");
    press(&t, "+ ");
    see(&t, "work    going on, ");
    see(&t, "keys    4 answered \" -+ \"");
    press(&t, "q");
    ck_assert_int_eq(close_interface(&t), 0);
    ck_assert_ptr_nonnull(strstr(output, "keys    5 answered \" -+ q\""));
    ck_assert_ptr_nonnull(strstr(output, "work    broken off, "));
}
END_TEST

START_TEST(interface_shows_progress)
{
    struct terminal t = open_interface("2000");
    see(&t, " of 2000 blocks, ");
    see(&t, "[#");
    press(&t, "q");
    ck_assert_int_eq(close_interface(&t), 0);
}
END_TEST

START_TEST(interface_ends_when_the_work_is_done)
{
    struct terminal t = open_interface("5");
    ck_assert_int_eq(close_interface(&t), 0);
    ck_assert_ptr_nonnull(strstr(output, "5 of 5 blocks, 9592 found"));
    ck_assert_ptr_nonnull(strstr(output, "work    done, "));
}
END_TEST

START_TEST(interface_restores_the_terminal_on_ctrl_c)
{
    struct terminal t = open_interface("50000");
    see(&t, "work    going on, ");
    press(&t, "\003");
    ck_assert_int_eq(close_interface(&t), 128 + SIGINT);
}
END_TEST

START_TEST(interface_restores_the_terminal_on_ctrl_c_while_paused)
{
    struct terminal t = open_interface("50000");
    see(&t, "work    going on, ");
    press(&t, " ");
    see(&t, "work    paused, ");
    press(&t, "\003");
    ck_assert_int_eq(close_interface(&t), 128 + SIGINT);
}
END_TEST

START_TEST(interface_restores_the_terminal_on_a_signal)
{
    static const int signals[] = { SIGTERM, SIGHUP, SIGQUIT };
    struct terminal t = open_interface("50000");
    see(&t, "work    going on, ");
    ck_assert_int_eq(kill(t.child, signals[_i]), 0);
    ck_assert_int_eq(close_interface(&t), 128 + signals[_i]);
}
END_TEST

START_TEST(interface_restores_the_terminal_on_a_crash)
{
    static const int signals[] = { SIGSEGV, SIGABRT };
    fixture_expect_orphans(); /* the workers end with it */
    struct terminal t = open_interface("50000");
    see(&t, "work    going on, ");
    ck_assert_int_eq(kill(t.child, signals[_i]), 0);
    ck_assert_int_eq(close_interface(&t), -signals[_i]);
}
END_TEST

/* ---- options */

static const char *const examples[] = {
    "01_threads_processes", "02_interface",    "03_pool",       "04_memory", "05_shared_memory", "06_server_process",
    "07_thread_lock",       "08_process_lock", "09_pipe",       "10_queue",  "11_kill",          "12_survivors",
    "13_pipeline",          "14_batch",        "15_event_loop", "16_prefork"
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

/* ---- programs as they are written with it */

START_TEST(pipeline_accounts_for_every_line)
{
    expect("13_pipeline --quick", "59 of 60 lines weighed, 1 lost with a worker; the reader was never more than 10 ahead\n"
                                  "all accounted for\n");
}
END_TEST

START_TEST(batch_counts_all_files_but_the_broken_one)
{
    expect("14_batch --quick", "1275 words in 51 files, 1 not read (broken.txt: No such file or directory)\n");
}
END_TEST

START_TEST(event_loop_hears_everything)
{
    expect("15_event_loop --quick", "30 words heard from 3 processes, 3 ends, the clock ticked meanwhile\n");
}
END_TEST

START_TEST(prefork_server_answers_every_client)
{
    expect("16_prefork --quick", "server 1 ended with -9, another one takes its place\n30 of 30 clients were answered\n");
}
END_TEST

START_TEST(every_example_has_a_quick_way)
{
    char command[64];
    snprintf(command, sizeof command, "%s --quick", examples[_i]);
    ck_assert_msg(run(command) == 0, "%s", output);
    ck_assert_int_gt(count(output, "\n"), 0);
}
END_TEST

START_TEST(every_example_refuses_what_it_does_not_know)
{
    char command[64];
    snprintf(command, sizeof command, "%s --nonsense", examples[_i]);
    ck_assert_int_eq(run(command), 2);
    ck_assert_ptr_nonnull(strstr(output, "usage: "));
}
END_TEST

START_TEST(numbers_are_checked)
{
    static const char *const commands[] = { "03_pool -t 0",           "03_pool -n",
                                            "03_pool -n many",        "07_thread_lock -n 1e9",
                                            "08_process_lock -s nan", "09_pipe -n 5x" };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        ck_assert_msg(run(commands[i]) == 2, "%s: %s", commands[i], output);
        ck_assert_ptr_nonnull(strstr(output, " needs a number from "));
    }
}
END_TEST

static void
add_interface_tests(Suite *suite)
{
    TCase *tests = fixture_case(suite, "interface");
    tcase_add_test(tests, interface_runs_its_script_for_two_seconds);
    tcase_add_test(tests, interface_counts_all_primes);
    tcase_add_test(tests, interface_answers_each_key);
    tcase_add_test(tests, interface_shows_progress);
    tcase_add_test(tests, interface_ends_when_the_work_is_done);
    tcase_add_test(tests, interface_restores_the_terminal_on_ctrl_c);
    tcase_add_test(tests, interface_restores_the_terminal_on_ctrl_c_while_paused);
    tcase_add_loop_test(tests, interface_restores_the_terminal_on_a_signal, 0, 3);
    tcase_add_loop_test(tests, interface_restores_the_terminal_on_a_crash, 0, 2);
}

int
main(void)
{
    if (getenv("PAR_BUILD") == NULL) {
        fprintf(stderr, "this suite is run by make check T=examples\n");
        return EXIT_FAILURE;
    }
    Suite *suite = fixture_suite("examples");
    TCase *slides = fixture_case(suite, "slides"), *locks = fixture_case(suite, "locks");
    tcase_add_test(slides, threads_and_processes_print_each_result);
    tcase_add_test(slides, the_shorter_time_wins);
    tcase_add_test(slides, the_sequence_begins_as_on_the_slide);
    tcase_add_test(slides, pool_prints_the_list_of_results);
    tcase_add_test(slides, pool_fails_with_the_words_of_the_task);
    tcase_add_test(slides, killed_worker_costs_one_item);
    tcase_add_test(slides, all_survivors_go_on);
    tcase_add_test(slides, survivors_do_without_python);
    tcase_add_test(slides, globals_are_not_shared);
    tcase_add_test(slides, shared_memory_is_shared);
    tcase_add_test(slides, records_are_complete_in_both_processes);
    tcase_add_test(slides, pipe_and_queue_tell_their_times);
    tcase_add_test(slides, pipe_and_queue_run_with_the_numbers_of_the_slide);

    tcase_add_loop_test(locks, list_is_in_order_with_the_lock_only, 0, 2);
    tcase_add_loop_test(locks, list_is_in_order_with_the_lock_every_time, 0, 2);
    tcase_add_loop_test(locks, short_sleeps_are_owned_up_to, 0, 2);

    TCase *programs = fixture_case(suite, "programs");
    tcase_add_test(programs, pipeline_accounts_for_every_line);
    tcase_add_test(programs, batch_counts_all_files_but_the_broken_one);
    tcase_add_test(programs, event_loop_hears_everything);
    tcase_add_test(programs, prefork_server_answers_every_client);

    add_interface_tests(suite);

    TCase *options = fixture_case(suite, "options");
    tcase_add_loop_test(options, every_example_has_a_quick_way, 0, N_EXAMPLES);
    tcase_add_loop_test(options, every_example_refuses_what_it_does_not_know, 0, N_EXAMPLES);
    tcase_add_test(options, numbers_are_checked);
    return fixture_run(suite);
}
