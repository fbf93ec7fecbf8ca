/* SPDX-License-Identifier: MIT
 *
 * segment.h: what a par_shm is made of.
 */
#ifndef PARI_SEGMENT_H
#define PARI_SEGMENT_H

#include <par/shm.h>

#include "../shm/shm.h"

struct par_shm {
    struct pari_handle handle;
    unsigned char *data;
    size_t size;
    int fd; /* open for life: the creator's lock hangs on it */
    bool ends_with_us;
    char name[PARI_NAMED_SIZE];
};

#endif
