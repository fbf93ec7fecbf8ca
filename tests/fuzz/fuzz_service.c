/* SPDX-License-Identifier: MIT
 *
 * fuzz_service.c: bytes as what a client sends to a manager's server: messages, each after a byte that says whom it asks and two of
 * length. Every answer is a frame around a pickle of (kind, payload). What a message costs stays in proportion to its bytes and to
 * what is stored already.
 */
#include "fuzz.h"

#include "../../libpar/manager/service.h"

static void
check_answer(const struct pari_buffer *out)
{
    par_obj *answer;

    must(out->size > PARI_FRAME_HEADER);
    answer = pari_unpickle(out->data + PARI_FRAME_HEADER, out->size - PARI_FRAME_HEADER);
    must(answer != NULL);
    must(par_obj_type(answer) == PAR_TUPLE && par_obj_len(answer) == 2 && par_obj_type(par_obj_item(answer, 0)) == PAR_STR);
    par_obj_free(answer);
}

/* A list and a dict, so that the first names are known to the corpus. */
static void
furnish(struct pari_service *service)
{
    char ident[PARI_IDENT_SIZE];

    must(pari_store_add(&service->store, par_obj_list(), ident) == 0);
    must(pari_store_add(&service->store, par_obj_dict(), ident) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = { data, data + size };
    struct pari_service service = { 0 };
    struct pari_buffer out = { 0 };

    furnish(&service);
    while (fuzz_left(&in) > 0) {
        bool is_control = (fuzz_take(&in, 1) & 1) != 0;
        size_t length = (size_t)fuzz_take(&in, 2);
        size_t before = fuzz_allocated;
        int answered;
        if (length > fuzz_left(&in))
            length = fuzz_left(&in);
        answered = (is_control ? pari_service_control : pari_service_call)(&service, in.at, length, &out);
        must(fuzz_allocated - before <= 4 * fuzz_allowance(size));
        in.at += length;
        if (answered >= 0)
            check_answer(&out);
    }
    pari_buffer_free(&out);
    pari_service_end(&service);
    return 0;
}
