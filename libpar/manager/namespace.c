/* SPDX-License-Identifier: MIT
 *
 * namespace.c: the proxy of a namespace: names with values, which the server keeps as a dict whose keys are strings.
 */
#include "proxy.h"

#include <errno.h>
#include <stdlib.h>

struct par_namespace {
    struct pari_proxy proxy;
};

par_namespace *
par_manager_namespace(par_manager *manager, par_time deadline)
{
    return pari_proxy_new(manager, par_tuple(par_str("dict")), PARI_NAMESPACE_PROXY, sizeof(par_namespace), deadline);
}

void
par_namespace_free(par_namespace *ns)
{
    pari_proxy_free(ns, PARI_NAMESPACE_PROXY);
}

/* The name as a value; NULL: EINVAL it is none. */
static par_obj *
key_of(const char *name)
{
    return name != NULL && *name != '\0' ? par_str(name) : pari_null(EINVAL);
}

int
par_namespace_set(par_namespace *ns, const char *name, par_obj *value, par_time deadline)
{
    par_obj *key = key_of(name);

    if (key == NULL) {
        par_obj_free(value);
        return -1;
    }
    return pari_proxy_post(ns, PARI_NAMESPACE_PROXY, "__setitem__", par_tuple(key, value), deadline);
}

par_obj *
par_namespace_get(par_namespace *ns, const char *name, par_time deadline)
{
    par_obj *key = key_of(name);

    return key != NULL ? pari_proxy_get(ns, PARI_NAMESPACE_PROXY, "__getitem__", par_tuple(key), deadline) : NULL;
}

int
par_namespace_del(par_namespace *ns, const char *name, par_time deadline)
{
    par_obj *key = key_of(name);

    return key != NULL ? pari_proxy_do(ns, PARI_NAMESPACE_PROXY, "__delitem__", par_tuple(key), deadline) : -1;
}

/* ---- as text */

/* Python leaves out what begins with an underscore. */
static void
put_pair(struct pari_buffer *text, const char *name, const par_obj *value, bool *is_first)
{
    char *repr;

    if (name[0] == '_')
        return;
    repr = par_obj_repr(value);
    if (repr == NULL) {
        pari_buffer_fail(text, ENOMEM);
        return;
    }
    if (!*is_first)
        pari_buffer_put_text(text, ", ");
    *is_first = false;
    pari_buffer_put_text(text, name);
    pari_buffer_put_text(text, "=");
    pari_buffer_put_text(text, repr);
    free(repr);
}

int
par_namespace_print(par_namespace *ns, FILE *file, par_time deadline)
{
    struct pari_buffer text = { 0 };
    const par_obj *key, *value;
    bool is_first = true;
    par_obj *pairs;
    size_t pos = 0;
    int printed = -1;

    if (file == NULL)
        return pari_fail(EINVAL);
    pairs = pari_proxy_get(ns, PARI_NAMESPACE_PROXY, "copy", par_obj_tuple(0, NULL), deadline);
    if (pairs == NULL)
        return -1;
    pari_buffer_put_text(&text, "Namespace(");
    while (par_obj_next(pairs, &pos, &key, &value))
        put_pair(&text, par_obj_as_str(key, "_"), value, &is_first);
    pari_buffer_put_text(&text, ")\n");
    if (pari_buffer_end(&text) == 0)
        printed = fwrite(text.data, 1, text.size, file) == text.size ? 0 : -1;
    pari_buffer_free(&text);
    par_obj_free(pairs);
    return printed;
}
