/* SPDX-License-Identifier: MIT
 *
 * workload.h: what is run under the filters of kernels.c and the limits of limits.c.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>

/* One of everything, with deaths; no libpar call may come before it. 0, or the line that does not hold. */
int workload(void);

/* Run fn in a process group of its own, with a watchdog: its result, -signal, or CASE_HUNG. Whatever it leaves running ends. */
#define CASE_HUNG 1000
#define CASE_SKIPPED 999
int case_run(int (*fn)(const void *arg), const void *arg);

/* Print one row; how many failed, 0 or 1. */
int case_tell(const char *what, const char *name, int result);

int kernels(bool is_sample); /* how many failed */
int limits(bool is_sample);

#endif
