/* SPDX-License-Identifier: MIT
 *
 * kernel.pml: what the models share: processes that are killed at any step, the robust mutex, futex and event count.
 *
 * A model defines N, its number of mortal processes, 0 to N - 1, and includes this file. The body of each is
 * `{ ... } unless { doomed[me] }`: an unless looks before every single step. Killing is one step of the kernel: it takes the victim
 * out of the futex's line and marks the mutex that it holds.
 *
 * Every statement is one step; a step that is several in C, but that others see as one (an atomic operation, a system call), is
 * `atomic`. A slice ends when nothing else can happen any more (`timeout`), which is the worst moment for it.
 */

#define NOBODY 255
#define ALL 200

bool doomed[N];

/* ---- the robust mutex: one in each model */

byte holder = NOBODY;
bool is_marked; /* its holder died, and nobody has said "recovered" since */

inline lock(me)
{
    atomic {
        holder == NOBODY;
        holder = me
    }
}

inline recovered()
{
    is_marked = false
}

inline unlock()
{
    holder = NOBODY
}

/* ---- the futex and the event count on it */

byte word;
bool asleep[N];

inline futex_wait(me, key)
{
    atomic {
        if
        :: word == key -> asleep[me] = true
        :: else
        fi
    }
}

/* Any n of the sleepers: nothing here relies on an order. */
inline futex_wake(n, woken)
{
    atomic {
        woken = 0;
        do
        :: woken < n && asleep[0] -> asleep[0] = false; woken++
        :: woken < n && asleep[1] -> asleep[1] = false; woken++
#if N > 2
        :: woken < n && asleep[2] -> asleep[2] = false; woken++
#endif
#if N > 3
        :: woken < n && asleep[3] -> asleep[3] = false; woken++
#endif
        :: else -> break
        od
    }
}

inline prepare(key)
{
    atomic {
        word = word | 1;
        key = word
    }
}

/* pari_eventcount_notify. `seen`, `woken` and `is_done` are the caller's variables. */
inline notify(n)
{
    seen = word;
    do
    :: !(seen & 1) -> break
    :: else ->
        atomic {
            is_done = (word == seen);
            if
            :: is_done && n == ALL -> word = (seen & 254) + 2
            :: is_done && n != ALL -> word = seen + 2
            :: else -> seen = word
            fi
        }
        if
        :: is_done ->
            futex_wake(n, woken);
            clear(n);
            break
        :: else
        fi
    od;
    seen = 0; woken = 0; is_done = false
}

/* Fewer sleepers than would have been woken: the next notify need not look for any. */
inline clear(n)
{
    if
    :: woken < n && n != ALL ->
        atomic {
            is_done = (word == seen + 2);
            if
#ifdef CLEAR_BLINDLY /* as if nobody could have gone to sleep since the wake */
            :: is_done -> word = (seen + 2) & 254; is_done = false
#else
            :: is_done -> word = (seen & 254) + 4
#endif
            :: else
            fi
        }
        if
        :: is_done -> futex_wake(ALL, woken)
        :: else
        fi
    :: else
    fi
}

/* ---- who kills: any of the N, KILLS times at most, at any moment */

#ifndef KILLS
#define KILLS 0
#endif

inline slay(victim)
{
    atomic {
        !doomed[victim] -> doomed[victim] = true;
        asleep[victim] = false;
        if
        :: holder == victim -> holder = NOBODY; is_marked = true
        :: else
        fi
    }
}

active proctype killer()
{
    byte i;
    do
    :: i < KILLS ->
        if
        :: slay(0)
        :: slay(1)
#if N > 2
        :: slay(2)
#endif
#if N > 3
        :: slay(3)
#endif
        :: break
        fi;
        i++
    :: else -> break
    od
}
