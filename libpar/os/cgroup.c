/* SPDX-License-Identifier: MIT
 *
 * cgroup.c: the limits that the control groups above this process set. Every level counts, so the files of each folder from the
 * process's own up to the root are read and the smallest number wins. Version 1 is looked at in its root only, which is what a
 * container sees as its own.
 */
#include "os.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"

/* The beginning of a small file as a string; "" if it cannot be read. */
static void
read_text(const char *path, char *text, size_t size)
{
    int cancel = pari_cancel_off(), fd = pari_fault(PARI_CALL_READ_FILE) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        (void)close(fd);
    pari_cancel_restore(cancel);
}

static uint64_t
number(const char *text)
{
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

/* cpu.max is "quota period" or "max period": processors, rounded up. */
static uint64_t
cpu_quota(const char *text)
{
    const char *space = strchr(text, ' ');
    uint64_t quota = number(text), period = space ? number(space + 1) : 100000;

    return quota == UINT64_MAX || period == 0 || period == UINT64_MAX ? UINT64_MAX : (quota + period - 1) / period;
}

/* The smallest value that `parse` finds in `file` of the process's group and of all the groups above it. */
static uint64_t
smallest(const char *file, uint64_t (*parse)(const char *text))
{
    char group[1024], path[sizeof ROOT + sizeof group + 32], text[64];
    uint64_t least = UINT64_MAX;
    char *line;

    read_text("/proc/self/cgroup", group, sizeof group);
    line = strstr(group, "0::/");
    line = line ? line + 3 : strcpy(group, "/");
    line[strcspn(line, "\n")] = '\0';
    for (;;) {
        uint64_t value;
        (void)snprintf(path, sizeof path, ROOT "%s/%s", line, file);
        read_text(path, text, sizeof text);
        value = parse(text);
        least = value < least ? value : least;
        if (line[0] == '\0')
            return least;
        *strrchr(line, '/') = '\0'; /* every group's path starts with a slash */
    }
}

uint64_t
pari_cgroup_memory(void)
{
    char text[64];
    uint64_t v2 = smallest("memory.max", number), v1;

    read_text(ROOT "/memory/memory.limit_in_bytes", text, sizeof text);
    v1 = number(text);
    return v1 < v2 ? v1 : v2;
}

int
pari_cgroup_cpus(void)
{
    char quota[64], period[64];
    uint64_t v2 = smallest("cpu.max", cpu_quota), v1 = UINT64_MAX;

    read_text(ROOT "/cpu/cpu.cfs_quota_us", quota, sizeof quota);
    read_text(ROOT "/cpu/cpu.cfs_period_us", period, sizeof period);
    if (number(quota) != UINT64_MAX && number(period) != UINT64_MAX && number(period) != 0)
        v1 = (number(quota) + number(period) - 1) / number(period);
    if (v1 < v2)
        v2 = v1;
    return v2 > 0 && v2 < 1 << 20 ? (int)v2 : 0;
}
