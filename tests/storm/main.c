/* SPDX-License-Identifier: MIT
 *
 * main.c: storms over each part of the library, then over all of them at once; one row per storm and part, and a summary.
 *
 *   storm [--kills n] [--seed n] [--only part|all]
 */
#include "storm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_VICTIMS 8      /* at a time, beside the keepers */
#define N_VICTIMS_ALL 16 /* when all is stormed */
#define SHARE_ALL 4      /* that takes a quarter of the kills */

static struct part *const all_parts[] = { &queue_part,   &pipe_part, &lock_part,    &condition_part, &event_part,
                                          &barrier_part, &pool_part, &manager_part, &server_part };
#define N_PARTS ((int)(sizeof all_parts / sizeof *all_parts))

static struct {
    long kills;
    uint64_t seed;
    const char *only;
} options = { 100000, 0, NULL };

static struct part sum;

static void
print_row(const char *name, long kills, const struct part *part)
{
    printf("%-12s %8ld %10ld", name, kills, part->n_ops);
    for (int v = 1; v < N_VERDICTS; v++) {
        printf(" %10ld", part->n_found[v]);
        sum.n_found[v] += part->n_found[v];
    }
    printf("\n");
    fflush(stdout);
}

static bool
is_wanted(const char *name)
{
    return options.only == NULL || strcmp(options.only, name) == 0;
}

static long
storm_each(long n_kills)
{
    long kills, total = 0;

    for (int i = 0; i < N_PARTS; i++)
        if (is_wanted(all_parts[i]->name)) {
            kills = storm_run(&all_parts[i], 1, N_VICTIMS, n_kills, options.seed + (uint64_t)i);
            print_row(all_parts[i]->name, kills, all_parts[i]);
            total += kills;
        }
    return total;
}

static long
storm_all(long n_kills)
{
    struct part all = { .name = "all at once" };
    long kills;

    for (int i = 0; i < N_PARTS; i++) {
        all_parts[i]->n_ops = 0;
        memset(all_parts[i]->n_found, 0, sizeof all_parts[i]->n_found);
    }
    kills = storm_run(all_parts, N_PARTS, N_VICTIMS_ALL, n_kills, options.seed + N_PARTS);
    for (int i = 0; i < N_PARTS; i++) {
        all.n_ops += all_parts[i]->n_ops;
        for (int v = 0; v < N_VERDICTS; v++)
            all.n_found[v] += all_parts[i]->n_found[v];
    }
    print_row(all.name, kills, &all);
    return kills;
}

static void
parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--kills") == 0 && atol(value) > 0) {
            options.kills = atol(value);
        } else if (strcmp(argv[i], "--seed") == 0 && *value != '\0') {
            options.seed = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0 && *value != '\0') {
            options.only = value;
        } else {
            fprintf(stderr, "usage: storm [--kills n] [--seed n] [--only part|all]\n");
            exit(2);
        }
    }
}

int
main(int argc, char **argv)
{
    static const char *const column[] = { NULL, "lost", "duplicated", "hung", "torn", "leaked" };
    time_t start = time(NULL);
    long kills, bad = 0;

    options.seed = (uint64_t)start;
    parse(argc, argv);
    printf("seed %llu\n%-12s %8s %10s", (unsigned long long)options.seed, "storm", "kills", "operations");
    for (int v = 1; v < N_VERDICTS; v++)
        printf(" %10s", column[v]);
    printf("\n");
    fflush(stdout);
    kills = storm_each((options.kills - options.kills / SHARE_ALL) / N_PARTS + 1);
    if (is_wanted("all"))
        kills += storm_all(options.kills / SHARE_ALL + 1);
    printf("%ld kills in %ld s", kills, (long)(time(NULL) - start));
    for (int v = 1; v < N_VERDICTS; v++) {
        bad += sum.n_found[v];
        printf(", %ld %s", sum.n_found[v], column[v]);
    }
    printf("\n");
    return kills > 0 && bad == 0 ? 0 : 1;
}
