/* SPDX-License-Identifier: MIT
 *
 * method.c: which start method is the standard in this process, and which ones it has.
 *
 * Nothing here is shared; a child inherits the values, by fork or by its order.
 */
#include "birth.h"

static _Atomic int standard = PAR_FORK;
static _Atomic bool is_allowed; /* main begins with par_spawn_support, so a program started anew is a child at once */

void
pari_method_allow(void)
{
    atomic_store(&is_allowed, true);
}

void
pari_method_inherit(int method)
{
    atomic_store(&standard, method);
    pari_method_allow();
}

int
pari_method(int asked)
{
    int method = asked == PAR_START_STANDARD ? atomic_load(&standard) : asked;

    if (method < PAR_FORK || method > PAR_FORKSERVER)
        return pari_fail(EINVAL);
    if (method != PAR_FORK && !atomic_load(&is_allowed)) {
        pari_say(
            "main() does not begin with par_spawn_support(), or the program has more rights than its caller, or a dynamic loader "
            "was told to run it: started anew it would not know that it is a child");
        return pari_fail(ENOTSUP);
    }
    return method;
}

int
par_set_start_method(int method)
{
    method = pari_method(method);
    if (method < 0)
        return -1;
    atomic_store(&standard, method);
    return 0;
}

int
par_start_method(void)
{
    return atomic_load(&standard);
}
