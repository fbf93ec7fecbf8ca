/* SPDX-License-Identifier: MIT
 *
 * typed.c: the proxy of an object whose type the program has given to the manager.
 */
#include "proxy.h"

#include <errno.h>

struct par_proxy {
    struct pari_proxy proxy;
};

void
par_proxy_free(par_proxy *proxy)
{
    pari_proxy_free(proxy, PARI_TYPED_PROXY);
}

static bool
is_tuple(par_obj *args)
{
    if (par_obj_type(args) == PAR_TUPLE)
        return true;
    errno = args != NULL ? EINVAL : ENOMEM;
    par_obj_free(args);
    return false;
}

par_proxy *
par_manager_create(par_manager *manager, const char *type, par_obj *args, par_time deadline)
{
    if (!is_tuple(args))
        return NULL;
    if (type != NULL)
        return pari_proxy_new(manager, par_tuple(par_str(type), args), PARI_TYPED_PROXY, sizeof(par_proxy), deadline);
    par_obj_free(args);
    return pari_null(EINVAL);
}

par_obj *
par_proxy_call(par_proxy *proxy, const char *method, par_obj *args, par_time deadline)
{
    if (!is_tuple(args))
        return NULL;
    if (method != NULL)
        return pari_proxy_get(proxy, PARI_TYPED_PROXY, method, args, deadline);
    par_obj_free(args);
    return pari_null(EINVAL);
}

par_obj *
par_proxy_value(const par_proxy *proxy)
{
    return pari_proxy_value(proxy, PARI_TYPED_PROXY, PARI_TYPED_CLASS);
}

par_proxy *
par_manager_proxy_of(par_manager *manager, const par_obj *value, par_time deadline)
{
    return pari_proxy_of(manager, value, PARI_TYPED_CLASS, PARI_TYPED_PROXY, sizeof(par_proxy), deadline);
}
