/* SPDX-License-Identifier: MIT
 *
 * fault.c: the one seam where a test makes a system call fail. A program never sets the hook.
 */
#include "os.h"

int (*pari_fault_hook)(enum pari_call call);
