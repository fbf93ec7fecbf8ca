/* SPDX-License-Identifier: MIT
 *
 * eventcount.pml: sleepers and wakers that meet at an event count (libpar/shm/nap.c), as a queue's consumers and producers do.
 *
 * Each waker commits one item and notifies; each sleeper takes one item. Claim: at the end no live sleeper sleeps while there is an
 * item (a state in which nobody can go on is an error of its own to the checker).
 */
#define N 4
#include "kernel.pml"

#ifndef WAKE
#define WAKE 1
#endif

byte items;

#ifdef LIGHT /* the waker has no fence: its look may overtake its commit, which waits in the processor until something drains it */
bool pending[N];

inline drain(i)
{
    atomic {
        if
        :: pending[i] -> pending[i] = false; items++
        :: else
        fi
    }
}
#endif

inline sleep(me)
{
    if
    :: !asleep[me]
#ifdef SLICES
    :: timeout && asleep[me] && items > 0 -> asleep[me] = false
#endif
    :: timeout && asleep[me] && items == 0 -> break /* right: there is nothing for it */
    fi
}

proctype sleeper(byte me)
{
    byte key;
    {
        do
        :: prepare(key);
#ifdef HEAVY /* the kernel drains every processor that runs one of the family */
            drain(2);
            drain(3);
#endif
            atomic {
                if
                :: items > 0 -> items--; break
                :: else
                fi
            }
            futex_wait(me, key);
            sleep(me)
        od
    } unless { doomed[me] }
}

proctype waker(byte me)
{
    byte seen, woken;
    bool is_done;
    {
#if defined LIGHT
        pending[me] = true;
        seen = word;
        drain(me);
        if
        :: seen & 1 -> notify(WAKE)
        :: else
        fi
#elif defined NO_FENCE /* the processor looks at bit 0 before its commit is seen */
        seen = word;
        items++;
        if
        :: seen & 1 -> notify(WAKE)
        :: else
        fi
#else
        items++;
        notify(WAKE)
#endif
    } unless {
        doomed[me];
#ifdef LIGHT /* what a process has stored before its death is seen */
        drain(me)
#endif
    }
}

init
{
    atomic {
        run sleeper(0);
        run sleeper(1);
        run waker(2);
        run waker(3)
    }
}
