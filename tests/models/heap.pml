/* SPDX-License-Identifier: MIT
 *
 * heap.pml: runs of pages in the arena's heap (libpar/shm/heap.c): split, merge, allocation and release, killed at any step, and the
 * walk that puts everything in order again.
 *
 * Two processes allocate and release in a heap of five pages. Claims, whenever the lock is in order: the runs cover the heap exactly;
 * a block that its owner was given is a run of that length, which nobody else has; no free run begins before first_free.
 */
#define N 2
#include "kernel.pml"

#define PAGES 5
#define INTERIOR 0
#define FREE 1
#define LARGE 2

/* A descriptor is one word in C: a change of both is one step. */
byte length[PAGES], kind[PAGES], owner[PAGES];
byte first_free;

byte has[N] = NOBODY, has_length[N]; /* the truth: the block that each was given */

#define set_run(page, n, what) atomic { length[page] = n; kind[page] = what }

inline rebuild()
{
    first_free = 0;
    page = 0;
    do
    :: page < PAGES ->
        assert(length[page] > 0); /* or the walk would never end */
        i = 1;
        do
        :: i < length[page] -> set_run(page + i, 0, INTERIOR); i++
        :: else -> break
        od;
        page = page + length[page]
    :: else -> break
    od;
    i = 0
}

inline enter(me)
{
    lock(me);
    if
    :: is_marked -> rebuild(); recovered()
    :: else
    fi
}

/* Walk over the truth; without steps of its own. */
inline leave()
{
    d_step {
        page = 0;
        do
        :: page < PAGES ->
            assert(length[page] > 0 && kind[page] != INTERIOR);
            assert(kind[page] != FREE || page >= first_free);
            page = page + length[page]
        :: else -> break
        od;
        assert(page == PAGES);
        i = 0;
        do
        :: i < N ->
            if
            :: has[i] != NOBODY && !doomed[i] ->
                assert(kind[has[i]] == LARGE && length[has[i]] == has_length[i] && owner[has[i]] == i)
            :: else
            fi;
            i++
        :: else -> break
        od;
        assert(has[0] == NOBODY || has[1] == NOBODY || doomed[0] || doomed[1] ||
               has[0] + has_length[0] <= has[1] || has[1] + has_length[1] <= has[0]);
        page = 0; i = 0
    }
    unlock()
}

inline merge_behind()
{
    do
    :: page + length[page] < PAGES ->
        i = page + length[page];
        if
        :: kind[i] == FREE ->
            more = length[i];
#ifdef CLEAR_FIRST /* what is behind is forgotten before it belongs to the run in front */
            set_run(i, 0, INTERIOR);
            set_run(page, length[page] + more, FREE)
#else
            set_run(page, length[page] + more, FREE);
            set_run(i, 0, INTERIOR)
#endif
        :: else -> break
        fi
    :: else -> break
    od
}

inline allocate(me, wanted)
{
    enter(me);
    page = first_free;
    is_first = true;
    do
    :: page < PAGES ->
        if
        :: kind[page] == FREE ->
            if
            :: is_first -> first_free = page; is_first = false
            :: else
            fi;
            merge_behind();
            if
            :: length[page] >= wanted -> break
            :: else
            fi
        :: else
        fi;
        page = page + length[page]
    :: else -> break
    od;
    if
    :: page < PAGES ->
        if
        :: length[page] > wanted -> set_run(page + wanted, length[page] - wanted, FREE)
        :: else
        fi;
        if
        :: page == first_free -> first_free = page + wanted
        :: else
        fi;
        owner[page] = me;
        atomic {
            length[page] = wanted;
            kind[page] = LARGE;
            has[me] = page;
            has_length[me] = wanted
        }
    :: else
    fi;
    leave()
}

inline release(me)
{
    if
    :: has[me] != NOBODY ->
        enter(me);
        page = has[me];
        atomic {
            kind[page] = FREE;
            has[me] = NOBODY
        }
        if
        :: page < first_free -> first_free = page
        :: else
        fi;
        leave()
    :: else
    fi
}

proctype user(byte me; byte one; byte two)
{
    byte page, i, more;
    bool is_first;
    {
        allocate(me, one);
        release(me);
        allocate(me, two);
        release(me)
    } unless { doomed[me] }
}

/* One that never dies: what it finds is in order after its own walk. */
proctype survivor()
{
    byte page, i;
    enter(N);
    leave();
    timeout;
    enter(N);
    leave()
}

init
{
    atomic {
        set_run(0, 2, FREE);
        set_run(2, 2, FREE);
        set_run(4, 1, FREE);
        run user(0, 1, 3);
        run user(1, 2, 4);
        run survivor()
    }
}
