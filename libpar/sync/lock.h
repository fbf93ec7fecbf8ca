/* SPDX-License-Identifier: MIT
 *
 * lock.h: what the condition needs to know of a lock.
 */
#ifndef PARI_LOCK_H
#define PARI_LOCK_H

#include <par/sync.h>

bool pari_lock_is_mine(const par_lock *lock); /* false: errno is EPERM, or EINVAL for what is no lock */

#endif
