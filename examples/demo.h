/* SPDX-License-Identifier: MIT
 *
 * demo.h: what the examples share: reading their options, and one way to fail.
 *
 * Each example runs with the numbers of its slide; --quick makes them small, and most have options for single numbers. An option
 * that was read is taken out of argv, so that demo_end_options finds what nobody asked for.
 */
#ifndef DEMO_H
#define DEMO_H

#include <errno.h>
#include <par.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Say what failed and why, and end the program. */
static inline void
demo_die(const char *what)
{
    const char *why = strerror(errno);
    fflush(stdout);
    fprintf(stderr, "%s: %s%s%s\n", what, why, *par_error() ? ": " : "", par_error());
    exit(EXIT_FAILURE);
}

static inline bool
demo_flag(char **argv, const char *name)
{
    for (char **arg = argv + 1; *arg != NULL; arg++) {
        if (strcmp(*arg, name) == 0) {
            *arg = argv[0];
            return true;
        }
    }
    return false;
}

/* The number that follows `name`, from min to max; `otherwise` if the option is not there. */
static inline double
demo_number(char **argv, const char *name, double otherwise, double min, double max)
{
    for (char **arg = argv + 1; *arg != NULL; arg++) {
        if (strcmp(*arg, name) != 0)
            continue;
        char *end = NULL;
        double value = arg[1] == NULL ? 0 : strtod(arg[1], &end);
        if (end == NULL || end == arg[1] || *end != '\0' || !(value >= min && value <= max)) {
            fprintf(stderr, "%s: %s needs a number from %g to %g\n", argv[0], name, min, max);
            exit(2);
        }
        arg[0] = arg[1] = argv[0];
        return value;
    }
    return otherwise;
}

static inline void
demo_end_options(char **argv, const char *usage)
{
    for (char **arg = argv + 1; *arg != NULL; arg++) {
        if (*arg != argv[0]) {
            fprintf(stderr, "usage: %s [--quick] %s\n", argv[0], usage);
            exit(2);
        }
    }
}

#endif
