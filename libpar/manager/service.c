/* SPDX-License-Identifier: MIT
 *
 * service.c: a request's way to the server or to one of its objects, and what failed in the words of Python's exceptions.
 */
#include "service.h"

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
answer_error(struct pari_buffer *out, const char *exception, const char *text)
{
    par_obj *record = pari_obj_record(exception, par_tuple(par_str(text)));
    int answered = record != NULL ? pari_message_reply(out, PARI_REPLY_ERROR, record) : -1;

    par_obj_free(record);
    return answered;
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

/* What the request failed with, errno, as an answer. `absent`: the exception that says ENOENT. */
static int
refuse_errno(struct pari_buffer *out, const char *absent)
{
    int error = errno;

    if (error == EMSGSIZE)
        return refuse(out, PARI_REPLY_UNSERIALIZABLE, "too large to send");
    if (error == ENOENT && absent != NULL)
        return answer_error(out, absent, "no such index, key or value");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i].error == error)
            return answer_error(out, refusals[i].exception, refusals[i].text);
    return refuse(out, PARI_REPLY_TRACEBACK, strerror(error));
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
        return errno == EBADMSG ? -1 : refuse_errno(out, NULL);
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
call_method(struct pari_service *service, const struct request *request, struct pari_buffer *out)
{
    struct pari_object *object = request->ident != NULL ? pari_store_find(&service->store, request->ident) : NULL;
    const struct pari_method *method = object != NULL ? pari_method_find(object->value, request->method) : NULL;
    struct pari_method_call call = { .args = request->args, .out = out };

    if (object == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    if (method == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such method");
    if (par_obj_len(request->args) != method->n_args)
        return answer_error(out, "builtins.TypeError", "wrong number of arguments");
    call.object = object->value;
    return method->run(&call) == 0 ? 0 : refuse_errno(out, method->absent);
}

int
pari_service_call(struct pari_service *service, const unsigned char *message, size_t length, struct pari_buffer *out)
{
    struct request request;
    int answered, read = request_read(service, &request, message, length, out);

    if (read <= 0)
        return read;
    answered = call_method(service, &request, out);
    request_free(&request);
    return answered;
}

/* ---- asked of the server itself */

static int
answer_new(struct pari_buffer *out, par_obj *value)
{
    int answered = value != NULL ? pari_message_reply(out, PARI_REPLY_RETURN, value) : refuse_errno(out, NULL);

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

/* (ident, names of the methods), and one reference. */
static int
create(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    char ident[PARI_IDENT_SIZE];
    par_obj *value = first_value(args);

    if (service->store.n_held > service->store.n / 2) /* some of them may be named by nobody any more */
        pari_store_collect(&service->store);
    if (value == NULL || pari_store_add(&service->store, value, ident) != 0)
        return refuse_errno(out, NULL);
    if (answer_new(out, par_tuple(par_str(ident), pari_method_names(value))) == 0)
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
    return answer_new(out, par_none());
}

static int
dummy(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)service;
    (void)args;
    return answer_new(out, par_none());
}

static int
incref(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    struct pari_object *object = pari_store_find(&service->store, par_obj_as_str(par_obj_item(args, 0), ""));

    if (object == NULL || object->references == UINT32_MAX)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    object->references++;
    return answer_new(out, par_none());
}

static int
decref(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    struct pari_object *object = pari_store_find(&service->store, par_obj_as_str(par_obj_item(args, 0), ""));

    if (object == NULL)
        return refuse(out, PARI_REPLY_TRACEBACK, "no such object");
    pari_store_release(&service->store, object);
    return answer_new(out, par_none());
}

static int
number_of_objects(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)args;
    if (service->store.may_nest)
        pari_store_collect(&service->store);
    return answer_new(out, par_int((int64_t)service->store.n));
}

static int
end_service(struct pari_service *service, par_obj *args, struct pari_buffer *out)
{
    (void)args;
    service->is_over = true;
    return answer_new(out, par_none());
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
    { "number_of_objects", number_of_objects, PARI_SERVICE_DONE },
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
    int outcome, read = request_read(service, &request, message, length, out);

    if (read <= 0)
        return read;
    outcome = control(service, &request, out);
    request_free(&request);
    return outcome;
}

void
pari_service_end(struct pari_service *service)
{
    for (size_t i = 0; i < service->store.n_places; i++)
        par_obj_free(service->store.object[i].value);
    free(service->store.object);
}
