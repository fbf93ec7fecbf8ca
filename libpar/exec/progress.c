/* SPDX-License-Identifier: MIT
 *
 * progress.c: a progress bar on stderr.
 */
#include <par/pool.h>

#include <string.h>

#define WIDTH 24

int
par_progress_bar(const par_progress *progress, void *title)
{
    char bar[WIDTH + 1], failed[40] = "";
    double part;
    int n;

    if (progress == NULL)
        return 0;
    part = progress->total > 0 ? (double)progress->done / (double)progress->total : 1.0;
    n = part >= 1.0 ? WIDTH : (int)(part * WIDTH);
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)n);
    bar[WIDTH] = '\0';
    if (progress->failed > 0)
        (void)snprintf(failed, sizeof failed, ", %zu failed", progress->failed);
    (void)fprintf(stderr, "\r%s%s%3d%% [%s] %zu/%zu%s, %.1f s%s", title ? (const char *)title : "", title ? " " : "",
                  (int)(part * 100), bar, progress->done, progress->total, failed, progress->seconds,
                  progress->is_last ? "\n" : ""); /* a closed stderr must not disturb the job */
    (void)fflush(stderr);
    return 0;
}
