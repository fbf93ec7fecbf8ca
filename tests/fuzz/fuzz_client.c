/* SPDX-License-Identifier: MIT
 *
 * fuzz_client.c: bytes as what a manager's server answers to a client: a result, or an errno that the header promises. (How they come
 * out of the stream is fuzz_frame.c's.)
 */
#include "fuzz.h"

#include "../../libpar/manager/client.c"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = fuzz_allocated;
    par_obj *result = read_reply(data, size);
    char *text;

    must(fuzz_allocated - before <= fuzz_allowance(size));
    if (result == NULL) {
        must(errno == EBADMSG || errno == ENOENT || errno == EINVAL || errno == ELOOP || errno == ENOMEM ||
             errno == EOVERFLOW || errno == EMSGSIZE);
        return 0;
    }
    text = par_obj_repr(result);
    must(text != NULL);
    free(text);
    par_obj_free(result);
    return 0;
}
