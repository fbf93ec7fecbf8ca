/* SPDX-License-Identifier: MIT
 *
 * owner.c: whose a block is, who inherits it, and what becomes of it when its owner dies.
 *
 * Shared state: a block's owner, in its header: the one word that decides. It is written without the heap's lock by those who hold
 * the block, and under it by those who leave it to an heir. The heir is in `next`, which a live block does not need otherwise; it is
 * written under the heap's lock.
 * Lock order: the heap's lock.
 * If a process dies here: its owner's name stands in the block or does not. A sweep that was cut off is begun again: it visits every
 * block that still names the dead.
 */
#include "heap.h"

void
pari_heap_own(void *p, pari_member owner)
{
    struct pari_block *block = (struct pari_block *)p - 1;

    atomic_store_explicit(&block->owner, owner, memory_order_release); /* partner: sweep_block */
}

pari_member
pari_heap_owner(const void *p)
{
    const struct pari_block *block = (const struct pari_block *)p - 1;

    return atomic_load_explicit(&block->owner, memory_order_acquire); /* partner: bequeath */
}

/* The offer stands where the block's lock will be, once others use it. */
void
pari_heap_offer(void *p, uint64_t offer)
{
    struct pari_block *block = (struct pari_block *)p - 1;

    block->lock_words[0] = offer;
}

static bool
end_offer(void *p, pari_member from, uint64_t offer, pari_member owner)
{
    struct pari_block *block;
    bool is_offered = false;

    if (offer == 0 || pari_heap_lock() != 0)
        return false;
    block = pari_block_of(p);
    if (block != NULL && block->lock_words[0] == offer && atomic_load_explicit(&block->owner, memory_order_relaxed) == from) {
        block->lock_words[0] = 0;
        atomic_store_explicit(&block->owner, owner, memory_order_release); /* partner: sweep_block */
        is_offered = true;
    }
    pari_heap_unlock();
    return is_offered;
}

bool
pari_heap_adopt(void *p, pari_member from, uint64_t offer)
{
    return end_offer(p, from, offer, 0);
}

bool
pari_heap_withdraw(void *p, uint64_t offer)
{
    return end_offer(p, pari_self(), offer, pari_self());
}

bool
pari_heap_share(void *p, pari_member owner, pari_member heir)
{
    struct pari_block *block;
    bool is_shared = false;

    if (pari_heap_lock() != 0)
        return false;
    block = pari_block_of(p);
    if (block != NULL && atomic_load_explicit(&block->owner, memory_order_relaxed) == owner && block->next == 0) {
        block->next = heir;
        is_shared = true;
    }
    pari_heap_unlock();
    return is_shared;
}

/* Under the heap's lock, which the sweep of the heir takes after its slot is marked: that sweep finds the block, or it is freed. */
static void
bequeath(struct pari_block *block)
{
    pari_member heir = block->next;

    if (heir != 0 && !pari_member_is_released(heir)) {
        atomic_store_explicit(&block->owner, heir, memory_order_release); /* partner: pari_heap_owner */
        block->next = 0;                                                  /* not before: who inherits from nobody? */
    } else
        pari_block_release(block + 1);
}

void
pari_heap_leave(void *p)
{
    if (pari_heap_lock() != 0)
        return; /* it is swept when this process ends */
    bequeath((struct pari_block *)p - 1);
    pari_heap_unlock();
}

void
pari_heap_renounce(void *p)
{
    struct pari_block *block = (struct pari_block *)p - 1;
    pari_member me = pari_self();

    if (pari_heap_lock() != 0)
        return; /* it is swept when this process ends */
    if (atomic_load_explicit(&block->owner, memory_order_relaxed) == me)
        bequeath(block); /* its owner has left it just before, and there is no further heir */
    else if (block->next == me)
        block->next = 0;
    pari_heap_unlock();
}

void
pari_heap_fate(void *p, const _Atomic uint8_t *fate, uint8_t keep)
{
    struct pari_block *block = (struct pari_block *)p - 1;

    block->keep = keep;
    atomic_store_explicit(&block->fate, (uintptr_t)fate, memory_order_release); /* partner: sweep_block */
}

/* ---- the blocks of the dead */

static void
sweep_block(struct pari_block *block, pari_member dead)
{
    const _Atomic uint8_t *fate;

    if (!pari_block_is_live(block) ||
        atomic_load_explicit(&block->owner, memory_order_acquire) != dead) /* partner: pari_heap_own */
        return;
    fate = (const _Atomic uint8_t *)atomic_load_explicit(&block->fate, memory_order_acquire); /* partner: pari_heap_fate */
    if (pari_block_is_cell(block))
        pari_cell_sweep((struct pari_cell *)(void *)(block + 1));
    else if (fate != NULL && pari_is_committed((const void *)fate) && atomic_load(fate) == block->keep)
        (void)atomic_compare_exchange_strong(&block->owner, &dead, 0); /* who took it over meanwhile keeps it */
    else
        bequeath(block);
}

void
pari_heap_sweep(pari_member dead)
{
    if (dead == 0 || pari_heap_lock() != 0)
        return;
    pari_heap_walk(sweep_block, dead);
    pari_heap_unlock();
}
