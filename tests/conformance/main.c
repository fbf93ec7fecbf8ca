/* SPDX-License-Identifier: MIT
 *
 * main.c: runs the behaviours and the deaths, and prints a line for each and the counts.
 *
 *   conformance [--only number or name] [--without name] [--functions file] [--page file]
 *
 * --functions names a list of libpar's functions (libpar.map): a behaviour that waits for a call which is there by now is told.
 * --page writes doc/conformance.md. Fails if a behaviour that is claimed fails; one that is missing or cannot apply is no failure.
 */
#include "conformance.h"

#include <ctype.h>
#include <stdio.h>

#define N_BEHAVIOURS 165
#define N_DEATHS 10

static const struct behaviour *const tables[] = {
    process_behaviours, queue_behaviours,   sync_behaviours, condition_behaviours, barrier_behaviours, shared_behaviours,
    pipe_behaviours,    manager_behaviours, pool_behaviours, future_behaviours,    tracker_behaviours, NULL,
};

enum result { DOES, DOES_NOT, IS_MISSING, CANNOT_APPLY, N_RESULTS };

static const char *const result_name[] = { "passed", "FAILED", "missing", "not applicable" };

static struct {
    const char *only, *without, *page;
    char *functions;
} options;

/* ---- one behaviour */

static bool
is_selected(const struct behaviour *b)
{
    if (options.without != NULL && strcmp(options.without, b->name) == 0)
        return false;
    if (options.only == NULL)
        return true;
    return isdigit((unsigned char)*options.only) ? atoi(options.only) == atoi(b->number)
                                                 : strstr(b->name, options.only) != NULL;
}

/* Everything that there is of it is run, also of one of which a part is missing. */
static enum result
run(const struct behaviour *b)
{
    if (b->test == NULL)
        return b->missing != NULL ? IS_MISSING : CANNOT_APPLY;
    for (unsigned peers = IN_PROCESSES; peers <= IN_THREADS; peers <<= 1)
        if ((b->peers & peers) != 0 && run_world(b->test, peers) == FAILED) {
            printf("^ %s, %s\n", b->name, peers == IN_THREADS ? "in threads" : "in processes");
            return DOES_NOT;
        }
    return b->missing != NULL ? IS_MISSING : DOES;
}

static const char *
peers_name(const struct behaviour *b)
{
    return b->peers == IN_BOTH ? " (processes, threads)" : b->peers == IN_THREADS ? " (threads)" : "";
}

/* Is the call that it waits for there? The list has one function in a line: "    par_now;". */
static bool
is_overtaken(const struct behaviour *b)
{
    char line[80];

    if (b->missing == NULL || options.functions == NULL)
        return false;
    snprintf(line, sizeof line, " %.*s;", (int)strspn(b->missing, "abcdefghijklmnopqrstuvwxyz_"), b->missing);
    return strstr(options.functions, line) != NULL;
}

static void
print(const struct behaviour *b, enum result result)
{
    printf("%s %-28s %-14s  ", b->number, b->name, result_name[result]);
    if (result == CANNOT_APPLY)
        printf("%s\n", b->what);
    else if (result != IS_MISSING)
        printf("%s%s\n", b->calls, peers_name(b));
    else
        printf("%s%s%s\n", b->missing, b->test != NULL ? "; what there is passes" : "",
               is_overtaken(b) ? "; it is there now, test it" : "");
}

/* ---- the page */

static void
write_head(FILE *page)
{
    fputs(
        "# Conformance with Python's multiprocessing\n\n"
        "What Python's own suite asserts of `multiprocessing` and `concurrent.futures`, as far as it means something outside of\n"
        "Python, is 165 behaviours. What libpar has of each is a test with the same number, `conf_061_event`, in\n"
        "`tests/conformance`. This page is written by `make conformance-page` from a run of them; `make check-conformance` runs\n"
        "them and compares. Where a behaviour depends on who works beside the test, it is run with processes and with threads.\n\n"
        "- **passed**: libpar does it, and the test has shown it.\n"
        "- **missing**: the named call is not there yet; what there is of the behaviour is tested.\n"
        "- **not applicable**: the thing itself does not exist in libpar, for the reason given.\n\n",
        page);
}

static void
write_row(FILE *page, const struct behaviour *b, enum result result)
{
    fprintf(page, "| %s | %s | **%s** | ", b->number, b->name, result_name[result]);
    if (result == CANNOT_APPLY)
        fprintf(page, "%s | |\n", b->what);
    else if (result == IS_MISSING)
        fprintf(page, "%s | `%s`%s |\n", b->what, b->missing, b->test != NULL ? "; what there is passes" : "");
    else
        fprintf(page, "%s | `%s`%s |\n", b->what, b->calls, peers_name(b));
}

static void
write_table(FILE *page, const char *title)
{
    fprintf(page, "\n## %s\n\n| | behaviour | result | what is tested, or why not | libpar |\n|---|---|---|---|---|\n", title);
}

/* ---- all of them */

static void
count(const struct behaviour *table, FILE *page, int *n)
{
    for (const struct behaviour *b = table; b->number != NULL; b++)
        if (is_selected(b)) {
            enum result result = run(b);

            print(b, result);
            fflush(stdout);
            if (page != NULL)
                write_row(page, b, result);
            n[result]++;
        }
}

/* Every number once, in order, so that none can be forgotten. */
static void
must_be_complete(void)
{
    int n = 0;

    for (const struct behaviour *const *table = tables; *table != NULL; table++)
        for (const struct behaviour *b = *table; b->number != NULL; b++)
            if (atoi(b->number) != ++n)
                give_up(__FILE__, __LINE__, b->name);
    must(n == N_BEHAVIOURS);
}

static void
print_counts(FILE *out, const int *n, int n_survived)
{
    fprintf(out, "%d of %d behaviours passed, %d cannot apply, %d are missing", n[DOES], N_BEHAVIOURS, n[CANNOT_APPLY],
            n[IS_MISSING]);
    if (n[DOES_NOT] > 0)
        fprintf(out, ", %d FAILED", n[DOES_NOT]);
    fprintf(out, "\n%d of %d deaths survived\n", n_survived, N_DEATHS);
}

/* The tables go to a file of their own first: the counts stand above them. */
static int
run_all(FILE *page, FILE *rows)
{
    int n[N_RESULTS] = { 0 }, n_deaths[N_RESULTS] = { 0 };

    if (rows != NULL)
        write_table(rows, "The 165 behaviours");
    for (const struct behaviour *const *table = tables; *table != NULL; table++)
        count(*table, rows, n);
    if (rows != NULL)
        write_table(rows, "Ten deaths that Python's suite does not try");
    count(deaths, rows, n_deaths);
    print_counts(stdout, n, n_deaths[DOES]);
    if (page != NULL) {
        write_head(page);
        fputs("```\n", page);
        print_counts(page, n, n_deaths[DOES]);
        fputs("```\n", page);
    }
    return n[DOES_NOT] + n_deaths[DOES_NOT] == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void
append(FILE *page, FILE *rows)
{
    rewind(rows);
    for (int c; (c = getc(rows)) != EOF;)
        putc(c, page);
    must(ferror(rows) == 0 && fclose(rows) == 0 && fclose(page) == 0);
}

static char *
read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    must(file != NULL && getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    return text;
}

static int
usage(void)
{
    fputs("usage: conformance [--only number or name] [--without name] [--functions file] [--page file]\n", stderr);
    return 2;
}

int
main(int argc, char **argv)
{
    FILE *page = NULL, *rows = NULL;

    if (argc == 2 && strcmp(argv[1], "--unguarded") == 0)
        return conformance_unguarded();
    par_spawn_support();
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage();
        if (strcmp(argv[i], "--only") == 0)
            options.only = argv[i + 1];
        else if (strcmp(argv[i], "--without") == 0)
            options.without = argv[i + 1];
        else if (strcmp(argv[i], "--page") == 0)
            options.page = argv[i + 1];
        else if (strcmp(argv[i], "--functions") == 0)
            options.functions = read_file(argv[i + 1]);
        else
            return usage();
    }
    must_be_complete();
    must(unsetenv("PAR_BACKEND") == 0 && unsetenv("PAR_ARENA_LIMIT") == 0); /* the tests say what they want */
    if (options.page != NULL)
        must((page = fopen(options.page, "we")) != NULL && (rows = tmpfile()) != NULL);
    int code = run_all(page, rows);
    if (page != NULL)
        append(page, rows);
    free(options.functions);
    return code;
}
