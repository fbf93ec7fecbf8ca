/* SPDX-License-Identifier: MIT
 *
 * proxy.c: making, asking and dropping an object of a server.
 *
 * Shared state: a proxy's fields, written once before it is given out. Only its creator frees it.
 */
#include "proxy.h"

#include "../object/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The reply to "create": (ident, names of methods). */
static int
read_ident(par_obj *reply, char ident[PARI_IDENT_SIZE])
{
    const char *name = par_obj_as_str(par_obj_item(reply, 0), "");
    size_t length = strnlen(name, PARI_IDENT_SIZE);
    bool fits = length > 0 && length < PARI_IDENT_SIZE;

    if (fits)
        memcpy(ident, name, length + 1);
    par_obj_free(reply);
    return fits ? 0 : pari_fail(EBADMSG);
}

static void
drop_object(const struct pari_proxy *proxy)
{
    pari_client_tell(&proxy->server, "decref", par_tuple(par_str(proxy->ident)));
}

/* The handle of an object of which this process has a reference. */
static void *
publish(struct pari_proxy *made, enum pari_kind kind, size_t size)
{
    struct pari_proxy *proxy = pari_handle_new(kind, size);

    if (proxy == NULL) {
        drop_object(made);
        return NULL;
    }
    made->handle = proxy->handle;
    *proxy = *made;
    return proxy;
}

void *
pari_proxy_new(par_manager *manager, par_obj *args, enum pari_kind kind, size_t size, par_time deadline)
{
    struct pari_proxy made;
    par_obj *reply;

    if (pari_manager_server(manager, &made.server) != 0) {
        par_obj_free(args);
        return NULL;
    }
    reply = pari_client_control(&made.server, "create", args, deadline);
    if (reply == NULL || read_ident(reply, made.ident) != 0)
        return NULL;
    return publish(&made, kind, size);
}

par_obj *
pari_proxy_value(const void *p, enum pari_kind kind, const char *class)
{
    const struct pari_proxy *proxy = p;

    return pari_handle_check(p, kind) == 0 ? pari_obj_record(class, par_tuple(par_str(proxy->ident))) : NULL;
}

void *
pari_proxy_of(par_manager *manager, const par_obj *value, const char *class, enum pari_kind kind, size_t size,
              par_time deadline)
{
    const char *ident = pari_proxy_ident(value, class);
    struct pari_proxy made;
    par_obj *reply;

    if (pari_manager_server(manager, &made.server) != 0)
        return NULL;
    if (ident == NULL || strlen(ident) >= sizeof made.ident)
        return pari_null(EINVAL);
    (void)strcpy(made.ident, ident);
    reply = pari_client_control(&made.server, "incref", par_tuple(par_str(ident)), deadline);
    if (reply == NULL)
        return NULL;
    par_obj_free(reply);
    return publish(&made, kind, size);
}

void
pari_proxy_free(void *p, enum pari_kind kind)
{
    int saved = errno;

    if (p != NULL && pari_handle_check_mine(p, kind) == 0) {
        drop_object(p);
        pari_handle_free(p);
    }
    errno = saved;
}

par_obj *
pari_proxy_get(const void *p, enum pari_kind kind, const char *method, par_obj *args, par_time deadline)
{
    const struct pari_proxy *proxy = p;

    if (args == NULL || pari_handle_check(p, kind) != 0) {
        par_obj_free(args);
        return NULL;
    }
    return pari_client_ask(&proxy->server, proxy->ident, method, args, deadline);
}

int
pari_proxy_do(const void *p, enum pari_kind kind, const char *method, par_obj *args, par_time deadline)
{
    par_obj *result = pari_proxy_get(p, kind, method, args, deadline);

    if (result == NULL)
        return -1;
    par_obj_free(result);
    return 0;
}

/* So flat that no message and no container of the server nests too deep for it. */
#define POST_HEIGHT (PAR_OBJ_MAX_DEPTH / 2)

int
pari_proxy_post(const void *p, enum pari_kind kind, const char *method, par_obj *args, par_time deadline)
{
    const struct pari_proxy *proxy = p;

    if (args == NULL || args->height > POST_HEIGHT)
        return pari_proxy_do(p, kind, method, args, deadline);
    if (pari_handle_check(p, kind) != 0) {
        par_obj_free(args);
        return -1;
    }
    return pari_client_post(&proxy->server, proxy->ident, method, args, deadline);
}

ssize_t
pari_proxy_count(const void *p, enum pari_kind kind, const char *method, par_obj *args, par_time deadline)
{
    par_obj *result = pari_proxy_get(p, kind, method, args, deadline);
    int64_t n;

    if (result == NULL)
        return -1;
    n = par_obj_as_int(result, -1);
    par_obj_free(result);
    return n >= 0 && n <= PTRDIFF_MAX ? (ssize_t)n : pari_fail(EBADMSG);
}

/* One call of stdio for the whole line, so that threads do not mix theirs, nor processes whose stream is line-buffered. */
static int
print_line(const char *text, FILE *file)
{
    size_t length = strlen(text);
    char *line = pari_malloc(length + 2);
    bool written;

    if (line == NULL)
        return -1;
    memcpy(line, text, length);
    line[length] = '\n';
    written = fwrite(line, 1, length + 1, file) == length + 1;
    free(line);
    return written ? 0 : -1;
}

int
pari_proxy_print(const void *p, enum pari_kind kind, FILE *file, par_time deadline)
{
    par_obj *result;
    const char *text;
    int printed;

    if (file == NULL)
        return pari_fail(EINVAL);
    result = pari_proxy_get(p, kind, "__str__", par_obj_tuple(0, NULL), deadline);
    if (result == NULL)
        return -1;
    text = par_obj_as_str(result, NULL);
    printed = text != NULL ? print_line(text, file) : pari_fail(EBADMSG);
    par_obj_free(result);
    return printed;
}
