/* SPDX-License-Identifier: MIT
 *
 * leaks.h: an object is made, used and destroyed many times, and the process must be as before.
 *
 * Each subject runs in a *world* of its own: a fresh process with a fresh arena. Its first tenth is the warm-up, in which caches
 * fill: the pools of lock cells and of threads' stacks, malloc's lists, pages that are touched for the first time.
 */
#ifndef LEAKS_H
#define LEAKS_H

#include <par.h>

struct subject {
    const char *name;
    void (*setup)(void);    /* once, in the world; may be NULL */
    void (*cycle)(void);    /* make, use, destroy */
    void (*teardown)(void); /* once; may be NULL */
};

extern const struct subject memory_subjects[], channel_subjects[], object_subjects[], process_subjects[], manager_subjects[];

/* A call did not do what it should: says so and ends the world. */
void give_up(const char *file, int line, const char *what) __attribute__((noreturn));

#define must(condition) ((condition) ? (void)0 : give_up(__FILE__, __LINE__, #condition))

par_time soon(void); /* the deadline of every call here */

#endif
