/* SPDX-License-Identifier: MIT
 *
 * outcome.c: what a map brings home: results, a state for each item, a list of those that are not good, and words.
 *
 * Nobody works on the job any more, so its status bytes are read as plain memory, many at a time.
 */
#include "map.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *
statuses(const struct pari_map *map)
{
    return (uint8_t *)map->status;
}

/* Items that were never started, or whose worker was not to be asked any more. */
static void
settle_pending(struct pari_map *map)
{
    bool is_cancelled =
        map->stop == PARI_STOP_CANCELLED || map->stop == PARI_STOP_TERMINATED || map->stop == PARI_STOP_INTERRUPTED;
    uint8_t state = PARI_FINAL(is_cancelled ? PAR_CANCELLED : PAR_UNRUN), *status = statuses(map);

    for (size_t i = 0; i < map->request->n; i++)
        status[i] = status[i] ? status[i] : state;
}

/* Mostly none: if the first byte says so and each is as the one before it. */
static size_t
count_bad(const struct pari_map *map)
{
    const uint8_t *status = statuses(map);
    size_t n = map->request->n, n_bad = 0;

    if (status[0] == PARI_FINAL(PAR_OK) && memcmp(status, status + 1, n - 1) == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        n_bad += status[i] != PARI_FINAL(PAR_OK);
    return n_bad;
}

/* Item by item, a run of good ones at a time: the others' results stay as they were. */
static void
copy_good(const struct pari_map *map)
{
    const uint8_t *status = statuses(map);
    size_t size = map->request->out_size, n = map->request->n;
    char *out = map->request->out;

    for (size_t i = 0, end; i < n; i = end + 1) {
        for (end = i; end < n && status[end] == PARI_FINAL(PAR_OK); end++)
            ;
        memcpy(out + i * size, map->out + i * size, (end - i) * size);
    }
}

static void
tell_states(const struct pari_map *map)
{
    const uint8_t *status = statuses(map);
    unsigned char *state = map->request->opts.state;

    for (size_t i = 0; state != NULL && i < map->request->n; i++)
        state[i] = (unsigned char)(status[i] - 1);
}

/* ---- the list of failures */

/* A worker's report on an item that did fail; the reports of the dead on items that were lost do not count. */
static bool
read_failure(const struct pari_map *map, uint64_t slot, par_status *entry)
{
    const struct pari_failure *failure = &map->failure[slot];
    uint64_t index;

    if (atomic_load_explicit(&failure->is_valid, memory_order_acquire) == 0) /* partner: report_failure */
        return false;
    index = failure->index;
    if (index >= map->request->n || statuses(map)[index] != PARI_FINAL(PAR_FAILED))
        return false;
    *entry = (par_status){ .index = (size_t)index, .state = PAR_FAILED, .code = failure->code, .tries = 1 };
    memcpy(entry->text, failure->text, sizeof entry->text - 1);
    if (entry->text[0] == '\0')
        (void)snprintf(entry->text, sizeof entry->text, "returned %d", entry->code);
    return true;
}

static uint64_t
n_reports(const struct pari_map *map)
{
    uint64_t n = atomic_load(&map->job->n_failures);

    return n < map->max_failures ? n : map->max_failures;
}

/* An item that nobody has reported on. */
static par_status
silent(size_t index, uint8_t state)
{
    par_status entry = { .index = index, .state = state };

    (void)snprintf(entry.text, sizeof entry.text, "%s",
                   state == PAR_UNRUN       ? "not run"
                   : state == PAR_CANCELLED ? "cancelled before it ran"
                                            : "not good");
    entry.tries = state == PAR_UNRUN || state == PAR_CANCELLED ? 0 : 1;
    return entry;
}

static int
by_index(const void *a, const void *b)
{
    const par_status *left = a, *right = b;

    return left->index < right->index ? -1 : left->index > right->index;
}

static void
sort_list(const struct pari_map *map)
{
    if (map->n_listed > 1)
        qsort(map->request->opts.failures, map->n_listed, sizeof(par_status), by_index);
}

/* An item whose worker died between its report and its outcome was run again, and may be reported twice. */
static void
drop_doubles(struct pari_map *map)
{
    par_status *list = map->request->opts.failures;
    size_t n = 0;

    for (size_t i = 0; i < map->n_listed; i++)
        if (n == 0 || list[i].index != list[n - 1].index)
            list[n++] = list[i];
    map->n_listed = n;
}

static void
list_failures(struct pari_map *map, size_t n_bad)
{
    const par_status *listed = map->request->opts.failures;
    size_t room = map->request->opts.max_failures < n_bad ? map->request->opts.max_failures : n_bad, next = 0, n_sorted;
    uint64_t n = n_reports(map);
    par_status entry;

    if (listed == NULL)
        return;
    for (uint64_t slot = 0; slot < n; slot++)
        if (read_failure(map, slot, &entry))
            pari_map_list(map, &entry);
    sort_list(map);
    drop_doubles(map);
    n_sorted = map->n_listed;
    for (size_t i = 0; map->n_listed < room && i < map->request->n; i++) {
        uint8_t status = statuses(map)[i];
        if (next < n_sorted && listed[next].index == i)
            next++;
        else if (status != PARI_FINAL(PAR_OK)) {
            entry = silent(i, status - 1);
            pari_map_list(map, &entry);
        }
    }
    sort_list(map);
}

/* ---- words */

static void
say_last_failure(const struct pari_map *map)
{
    par_status entry;

    for (uint64_t slot = n_reports(map); slot-- > 0;)
        if (read_failure(map, slot, &entry)) {
            pari_say("item %zu: %s", entry.index, entry.text);
            return;
        }
}

static void
say(const struct pari_map *map, size_t n_bad)
{
    if (map->stop == PARI_STOP_BROKEN)
        pari_say("%s is broken: %s", map->crew->name, map->crew->reason);
    else if (map->last[0] != '\0')
        pari_say("%s", map->last);
    else if (map->stop == PARI_STOP_DEADLINE)
        pari_say("the deadline passed: %zu of %zu items are not good", n_bad, map->request->n);
    else if (map->stop != PARI_STOP_NONE)
        pari_say("the job was cancelled: %zu of %zu items are not good", n_bad, map->request->n);
    else
        say_last_failure(map);
}

static int
error_of(const struct pari_map *map)
{
    switch (map->stop) {
    case PARI_STOP_DEADLINE: return ETIMEDOUT;
    case PARI_STOP_CANCELLED:
    case PARI_STOP_TERMINATED: return ECANCELED;
    case PARI_STOP_INTERRUPTED: return EINTR;
    case PARI_STOP_BROKEN: return ENOTRECOVERABLE;
    case PARI_STOP_NONE: break;
    }
    return map->n_lost > 0 ? ECHILD : 0;
}

ssize_t
pari_map_outcome(struct pari_map *map)
{
    int error = error_of(map);
    size_t n_bad;

    if (map->stop != PARI_STOP_NONE)
        settle_pending(map);
    n_bad = count_bad(map);
    if (map->out != NULL && n_bad == 0)
        memcpy(map->request->out, map->out, map->request->n * map->request->out_size);
    else if (map->out != NULL)
        copy_good(map);
    tell_states(map);
    if (n_bad > 0) {
        list_failures(map, n_bad);
        say(map, n_bad);
    }
    errno = n_bad > 0 && error != 0 ? error : map->request->errno_before;
    return (ssize_t)n_bad;
}
