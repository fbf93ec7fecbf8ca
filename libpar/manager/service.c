/* SPDX-License-Identifier: MIT
 *
 * service.c: a request's way to the server or to one of its objects, and what failed in the words of Python's exceptions.
 */
#include "service.h"

#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct request {
    par_obj *whole, *args;      /* whole: NULL if it was not needed */
    const char *ident, *method; /* borrowed from the whole, or the copies; ident NULL: the server itself */
    char copy[2][PARI_NAME_SIZE];
};

/* ---- refusals */

static const struct {
    int error;
    const char *exception, *text;
} refusals[] = {
    { EINVAL, "builtins.TypeError", "wrong kind of argument or value" },
    { ELOOP, "builtins.RecursionError", "nested too deep" },
    { EOVERFLOW, "builtins.OverflowError", "number too large" },
    { EPROTONOSUPPORT, "builtins.TypeError", "not plain data" },
    { ENOMEM, "builtins.MemoryError", "out of memory" },
};

static int
answer_record(struct pari_buffer *out, const char *exception, par_obj *args)
{
    par_obj *record = pari_obj_record(exception, args);
    int answered = record != NULL ? pari_message_reply(out, PARI_REPLY_ERROR, record) : -1;

    par_obj_free(record);
    return answered;
}

static int
answer_error(struct pari_buffer *out, const char *exception, const char *text)
{
    return answer_record(out, exception, par_tuple(par_str(text)));
}

/* Text, for a request that is wrong as such. */
static int
refuse(struct pari_buffer *out, const char *kind, const char *text)
{
    par_obj *payload = par_str(text);
    int answered = payload != NULL ? pari_message_reply(out, kind, payload) : -1;

    par_obj_free(payload);
    return answered;
}

static const char absent_name[][20] = { "", "builtins.IndexError", "builtins.KeyError", "builtins.ValueError" };

/* What the request failed with, errno, as an answer. `absent`: what ENOENT means. */
static int
refuse_errno(struct pari_service *service, struct pari_buffer *out, enum pari_absent absent)
{
    int error = errno;

    service->refused = error;
    if (error == EMSGSIZE)
        return refuse(out, PARI_REPLY_UNSERIALIZABLE, "too large to send");
    if (error == ENOENT && absent != PARI_ABSENT_NOTHING)
        return answer_error(out, absent_name[absent], "no such index, key or value");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].error == error)
            return answer_error(out, refusals[i].exception, refusals[i].text);
    return answer_record(out, "builtins.OSError", par_tuple(par_int(error), par_str(strerror(error))));
}

/* ---- requests */

/* (ident, method, args, kwds), where no method takes keywords. */
static bool
request_is_valid(const par_obj *whole)
{
    const par_obj *ident = par_obj_item(whole, 0), *kwds = par_obj_item(whole, 3);

    return par_obj_type(whole) == PAR_TUPLE && par_obj_len(whole) == 4 &&
           (par_obj_type(ident) == PAR_STR || par_obj_type(ident) == PAR_NONE) &&
           par_obj_type(par_obj_item(whole, 1)) == PAR_STR && par_obj_type(par_obj_item(whole, 2)) == PAR_TUPLE &&
           par_obj_type(kwds) == PAR_DICT && par_obj_len(kwds) == 0;
}

/* 1: read. 0: a message whose values cannot be taken; it has been answered. -1: not a request. */
static int
request_read(struct pari_service *service, struct request *request, const unsigned char *message, size_t length,
             struct pari_buffer *out)
{
    if (!service->store.may_nest)
        service->store.may_nest = memmem(message, length, PARI_PROXY_TEXT, sizeof PARI_PROXY_TEXT - 1) != NULL;
    request->whole = NULL;
    if (pari_message_read_request(message, length, request->copy[0], request->copy[1], &request->args)) {
        request->ident = request->copy[0];
        request->method = request->copy[1];
        return 1;
    }
    request->whole = pari_unpickle(message, length);
    if (request->whole == NULL)
        return errno == EBADMSG ? -1 : refuse_errno(service, out, PARI_ABSENT_NOTHING);
    if (!request_is_valid(request->whole)) {
        par_obj_free(request->whole);
        return -1;
    }
    request->ident = par_obj_as_str(par_obj_item(request->whole, 0), NULL);
    request->method = par_obj_as_str(par_obj_item(request->whole, 1), NULL);
    request->args = pari_obj_seq_take(request->whole, 2);
    return 1;
}

static void
request_free(struct request *request)
{
    par_obj_free(request->args);
    par_obj_free(request->whole);
}

/* ---- asked of an object */

static int
call_typed(struct pari_service *service, const struct pari_object *object, const struct request *request,
           struct pari_buffer *out)
{
    const par_manager_method *method = object->type->methods;
    par_obj *result;
    int answered;

    while (method->name != NULL && strcmp(method->name, request->method) != 0)
        method++;
    if (method->name == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such method");
    errno = EINVAL; /* of one that does not say why */
    result = method->run(object->state, request->args);
    answered = result != NULL && pari_message_reply(out, PARI_REPLY_RETURN, result) == 0
                   ? 0
                   : refuse_errno(service, out, PARI_ABSENT_NOTHING);
    par_obj_free(result);
    return answered;
}

static int
call_method(struct pari_service *service, const struct request *request, struct pari_buffer *out)
{
    struct pari_object *object = request->ident != NULL ? pari_store_find(&service->store, request->ident) : NULL;
    const struct pari_method *method;
    struct pari_method_call call = { .args = request->args, .out = out };

    if (object == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    if (object->type != NULL)
        return call_typed(service, object, request, out);
    method = pari_method_find(object->value, request->method);
    if (method == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such method");
    if (par_obj_len(request->args) != method->n_args)
        return answer_error(out, "builtins.TypeError", "wrong number of arguments");
    call.object = object->value;
    return method->run(&call) == 0 ? 0 : refuse_errno(service, out, method->absent);
}

int
pari_service_call(struct pari_service *service, const unsigned char *message, size_t length, struct pari_buffer *out)
{
    struct request request;
    int answered, read;

    service->refused = 0;
    read = request_read(service, &request, message, length, out);
    if (read <= 0)
        return read;
    answered = call_method(service, &request, out);
    request_free(&request);
    return answered;
}

/* ---- asked of the server itself */

static int
answer_new(struct pari_service *service, struct pari_buffer *out, par_obj *value)
{
    int answered =
        value != NULL ? pari_message_reply(out, PARI_REPLY_RETURN, value) : refuse_errno(service, out, PARI_ABSENT_NOTHING);

    par_obj_free(value);
    return answered;
}

/* An empty list or dict, or the initial value among the arguments. */
static par_obj *
first_value(par_obj *args)
{
    const char *type = par_obj_as_str(par_obj_item(args, 0), "");
    const par_obj *initial = par_obj_item(args, 1);
    bool is_list = strcmp(type, "list") == 0;

    if ((!is_list && strcmp(type, "dict") != 0) || par_obj_len(args) > 2)
        return pari_null(EINVAL);
    if (initial == NULL)
        return is_list ? par_obj_list() : par_obj_dict();
    return par_obj_type(initial) == (is_list ? PAR_LIST : PAR_DICT) ? pari_obj_seq_take(args, 1) : pari_null(EINVAL);
}

static const par_manager_type *
find_type(const struct pari_service *service, const char *name)
{
    const par_manager_type *type = service->types;

    while (type != NULL && type->name != NULL && strcmp(type->name, name) != 0)
        type++;
    return type != NULL && type->name != NULL ? type : pari_kept_type(name);
}

static par_obj *
names_of(const par_manager_type *type)
{
    par_obj *names = par_obj_list();

    for (const par_manager_method *method = type->methods; method->name != NULL && names != NULL; method++)
        if (par_obj_append(names, par_str(method->name)) != 0) {
            par_obj_free(names);
            return NULL;
        }
    return names;
}

/* What the type makes of the arguments behind its name. NULL: the names of its methods. */
static par_obj *
make_typed(struct pari_service *service, const par_manager_type *type, const par_obj *args, char ident[PARI_IDENT_SIZE])
{
    const par_obj *arg = par_obj_item(args, 1);
    par_obj *names;
    void *state;

    errno = EINVAL; /* of one that does not say why */
    if (pari_kept_type(type->name) == type)
        state = pari_kept_take(type, (uintptr_t)par_obj_as_int(arg, 0), (uint64_t)par_obj_as_int(par_obj_item(args, 2), 0),
                               service->client);
    else
        state = par_obj_type(arg) == PAR_TUPLE ? type->create(arg) : NULL;
    if (state == NULL || pari_store_add_typed(&service->store, type, state, ident) != 0)
        return NULL;
    pari_store_find(&service->store, ident)->offer = (uint64_t)par_obj_as_int(par_obj_item(args, 2), 0);
    names = names_of(type);
    if (names == NULL)
        pari_store_release(&service->store, pari_store_find(&service->store, ident));
    return names;
}

static par_obj *
make_plain(struct pari_service *service, par_obj *args, char ident[PARI_IDENT_SIZE])
{
    par_obj *value = first_value(args), *names = value != NULL ? pari_method_names(value) : NULL;

    if (names == NULL) {
        par_obj_free(value);
        return NULL;
    }
    if (pari_store_add(&service->store, value, ident) == 0)
        return names;
    par_obj_free(names);
    return NULL;
}

/* (type, what that wants): (ident, names of the methods), and one reference. */
static int
create(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    const par_manager_type *type = find_type(service, par_obj_as_str(par_obj_item(args, 0), ""));
    char ident[PARI_IDENT_SIZE];
    par_obj *names;

    if (service->store.n_held > service->store.n / 2) /* some of them may be named by nobody any more */
        pari_store_collect(&service->store);
    if (type != NULL)
        names = make_typed(service, type, args, ident);
    else
        names = make_plain(service, args, ident);
    if (names == NULL)
        return refuse_errno(service, out, PARI_ABSENT_NOTHING);
    if (answer_new(service, out, par_tuple(par_str(ident), names)) == 0)
        return 0;
    pari_store_release(&service->store, pari_store_find(&service->store, ident));
    return -1;
}

/* (name of the client), and for libpar's own the address and the number of a mailbox. */
static int
accept_connection(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    service->offered = (uint64_t)par_obj_as_int(par_obj_item(args, 1), 0);
    service->offer = (uint64_t)par_obj_as_int(par_obj_item(args, 2), 0);
    return answer_new(service, out, par_none());
}

static int
dummy(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)args;
    return answer_new(service, out, par_none());
}

/* Is it of the kind that is asked for? What is kept is asked for by its type. */
static bool
is_of_kind(const struct pari_object *object, const char *kind)
{
    return kind != NULL ? pari_kept_is(object) && strcmp(object->type->name, kind) == 0 : !pari_kept_is(object);
}

/* (ident), or for what is kept (ident, type): then its address. */
static int
incref(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    struct pari_object *object = pari_store_find(&service->store, par_obj_as_str(par_obj_item(args, 0), ""));

    if (object == NULL || !is_of_kind(object, par_obj_as_str(par_obj_item(args, 1), NULL)) || object->references == UINT32_MAX)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    object->references++;
    return answer_new(service, out, pari_kept_is(object) ? par_int((int64_t)(intptr_t)object->state) : par_none());
}

/* The name of what is kept at this address; NULL ENOENT. */
static const char *
name_of_kept(struct pari_service *service, const par_obj *args)
{
    const char *name = pari_store_name(&service->store, (const void *)(intptr_t)par_obj_as_int(par_obj_item(args, 0), 0));

    return name != NULL && pari_kept_is(pari_store_find(&service->store, name)) ? name : pari_null(ENOENT);
}

static int
name_kept(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    const char *name = name_of_kept(service, args);

    return name != NULL ? answer_new(service, out, par_str(name)) : refuse_errno(service, out, PARI_ABSENT_NOTHING);
}

/* (address), or (address, offer) by a client that has not heard of what it offered: there may be another one by now. */
static int
release_kept(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    const char *name = name_of_kept(service, args);
    struct pari_object *object = name != NULL ? pari_store_find(&service->store, name) : NULL;
    uint64_t offer = (uint64_t)par_obj_as_int(par_obj_item(args, 1), 0);

    if (object == NULL || object->references == 0 || (offer != 0 && offer != object->offer)) {
        errno = ENOENT;
        return refuse_errno(service, out, PARI_ABSENT_NOTHING);
    }
    pari_store_release(&service->store, object);
    return answer_new(service, out, par_none());
}

static int
decref(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    struct pari_object *object = pari_store_find(&service->store, par_obj_as_str(par_obj_item(args, 0), ""));

    if (object == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    pari_store_release(&service->store, object);
    return answer_new(service, out, par_none());
}

static int
number_of_objects(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)args;
    if (service->store.may_nest)
        pari_store_collect(&service->store);
    return answer_new(service, out, par_int((int64_t)service->store.n));
}

static int
end_service(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)args;
    service->is_over = true;
    return answer_new(service, out, par_none());
}

static const struct {
    const char *name;
    int (*run)(struct pari_service *service, par_obj *args, struct pari_buffer *out);
    int outcome;
} controls[] = {
    { "accept_connection", accept_connection, PARI_SERVICE_ACCEPTED },
    { "create", create, PARI_SERVICE_DONE },
    { "decref", decref, PARI_SERVICE_DONE },
    { "dummy", dummy, PARI_SERVICE_DONE },
    { "incref", incref, PARI_SERVICE_DONE },
    { "name", name_kept, PARI_SERVICE_DONE },
    { "number_of_objects", number_of_objects, PARI_SERVICE_DONE },
    { "release", release_kept, PARI_SERVICE_DONE },
    { "shutdown", end_service, PARI_SERVICE_DONE },
};

static int
control(struct pari_service *service, const struct request *request, struct pari_buffer *out)
{
    for (size_t i = 0; request->ident == NULL && i < sizeof controls / sizeof controls[0]; i++)
        if (strcmp(controls[i].name, request->method) == 0)
            return controls[i].run(service, request->args, out) == 0 ? controls[i].outcome : -1;
    return refuse(out, PARI_REPLY_TRACEBACK, "no such request");
}

int
pari_service_control(struct pari_service *service, const unsigned char *message, size_t length, struct pari_buffer *out)
{
    struct request request;
    int outcome, read;

    service->refused = 0;
    read = request_read(service, &request, message, length, out);
    if (read <= 0)
        return read;
    outcome = control(service, &request, out);
    request_free(&request);
    return outcome;
}

int
pari_service_refuse(struct pari_service *service, struct pari_buffer *out)
{
    return refuse_errno(service, out, PARI_ABSENT_NOTHING);
}

void
pari_service_end(struct pari_service *service)
{
    pari_store_end(&service->store);
}
