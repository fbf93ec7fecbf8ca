/* SPDX-License-Identifier: MIT
 *
 * fuzz_pickle.c: bytes as a pickle. What can be read can be printed, written and read again, and is the same then. What reading it
 * asks for stays in proportion to the bytes, what printing it asks for to that.
 */
#include "fuzz.h"

#include "../../libpar/object/object.h"
#include "../../libpar/object/pickle.h"

static void
check_round_trip(const par_obj *obj)
{
    struct pari_buffer bytes = { 0 }, again = { 0 };
    par_obj *copy;

    must(pari_pickle(obj, &bytes) == 0);
    copy = pari_unpickle(bytes.data, bytes.size);
    must(copy != NULL);
    must(pari_pickle(copy, &again) == 0);
    must(bytes.size == again.size && memcmp(bytes.data, again.data, bytes.size) == 0);
    par_obj_free(copy);
    pari_buffer_free(&bytes);
    pari_buffer_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = fuzz_allocated, taken;
    par_obj *obj = pari_unpickle(data, size);
    char *text;

    taken = fuzz_allocated - before;
    must(taken <= fuzz_allowance(size));
    if (obj == NULL) {
        must(errno == EBADMSG || errno == EPROTONOSUPPORT || errno == EOVERFLOW || errno == ELOOP || errno == EMSGSIZE);
        return 0;
    }
    text = par_obj_repr(obj);
    must(text != NULL && pari_utf8_is_valid(text, strlen(text)));
    must(fuzz_allocated - before - taken <= 16 * taken + 1024);
    free(text);
    check_round_trip(obj);
    par_obj_free(obj);
    return 0;
}
