/* SPDX-License-Identifier: MIT
 *
 * hash.c: the hash by which a dict finds its keys: equal keys have equal ones.
 *
 * Keys come from peers, who must not be able to choose them so that all meet in one place and each search walks over all of them.
 * So this is SipHash-1-3 with a secret of the process.
 */
#include "object.h"

#include <math.h>
#include <string.h>

#define TWO_TO_63 9223372036854775808.0
#define FINAL_ROUNDS 3

struct sip {
    uint64_t v[4];
};

static uint64_t
rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static void
sip_round(struct sip *sip)
{
    uint64_t *v = sip->v;

    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void
sip_word(struct sip *sip, uint64_t word)
{
    sip->v[3] ^= word;
    sip_round(sip);
    sip->v[0] ^= word;
}

/* Keys of different kinds that have the same content are different. */
static struct sip
sip_begin(int kind, uint64_t content)
{
    uint64_t secret[2];
    struct sip sip;

    pari_secret(secret);
    sip = (struct sip){ { secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d, secret[0] ^ 0x6c7967656e657261,
                          secret[1] ^ 0x7465646279746573 } };
    sip_word(&sip, (uint64_t)kind);
    sip_word(&sip, content);
    return sip;
}

static uint64_t
sip_end(struct sip sip)
{
    sip.v[2] ^= 0xff;
    for (int i = 0; i < FINAL_ROUNDS; i++)
        sip_round(&sip);
    return sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
}

/* ---- keys */

static uint64_t
hash_content(int kind, const char *data, size_t size)
{
    struct sip sip = sip_begin(kind, size);
    uint64_t word;

    for (; size >= sizeof word; data += sizeof word, size -= sizeof word) {
        memcpy(&word, data, sizeof word);
        sip_word(&sip, word);
    }
    word = 0;
    if (size > 0)
        memcpy(&word, data, size);
    sip_word(&sip, word);
    return sip_end(sip);
}

uint64_t
pari_hash_text(const char *text, size_t size)
{
    return hash_content(PAR_STR, text, size);
}

/* A whole number is the key that the int is. */
static uint64_t
hash_float(const par_obj *obj)
{
    uint64_t bits;

    if (isnan(obj->real)) /* equals nothing: only let many of them not meet in one place */
        return sip_end(sip_begin(PAR_FLOAT, (uintptr_t)obj));
    if (obj->real >= -TWO_TO_63 && obj->real < TWO_TO_63 && obj->real == (double)(int64_t)obj->real)
        return sip_end(sip_begin(PAR_INT, (uint64_t)(int64_t)obj->real));
    memcpy(&bits, &obj->real, sizeof bits);
    return sip_end(sip_begin(PAR_FLOAT, bits));
}

static bool
hash_tuple(const par_obj *tuple, uint64_t *hash)
{
    struct sip sip = sip_begin(PAR_TUPLE, tuple->size);
    uint64_t one;

    for (size_t i = 0; i < tuple->size; i++) {
        if (!pari_obj_hash(par_obj_item(tuple, i), &one))
            return false;
        sip_word(&sip, one);
    }
    *hash = sip_end(sip);
    return true;
}

bool
pari_obj_hash(const par_obj *key, uint64_t *hash)
{
    switch (par_obj_type(key)) {
    case PAR_NONE: *hash = sip_end(sip_begin(PAR_NONE, 0)); return true;
    case PAR_BOOL:
    case PAR_INT: *hash = sip_end(sip_begin(PAR_INT, (uint64_t)par_obj_as_int(key, 0))); return true;
    case PAR_FLOAT: *hash = hash_float(key); return true;
    case PAR_STR: *hash = pari_hash_text(((const struct pari_text *)key)->data, key->size); return true;
    case PAR_BYTES: *hash = hash_content(PAR_BYTES, ((const struct pari_text *)key)->data, key->size); return true;
    case PAR_TUPLE: return hash_tuple(key, hash);
    default: return false;
    }
}
