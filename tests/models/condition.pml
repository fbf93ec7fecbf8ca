/* SPDX-License-Identifier: MIT
 *
 * condition.pml: tokens and horizon of a condition (libpar/sync/condition.c), its waiters and notifiers killed at any step.
 *
 * Process 0 waits twice, process 1 once, process 2 notifies all. Claims: there are never more tokens than waiters once the lock is in
 * order; a live waiter that had arrived when the notifier committed gets a token, whoever dies, also if somebody who waits again is
 * faster than it.
 */
#define N 3
#include "kernel.pml"

byte arrivals, n_waiting, n_tokens, horizon;
byte promised; /* the truth: waiters with a lower number have been notified */

inline enter(me)
{
    lock(me);
    if
    :: is_marked ->
        if
        :: n_tokens > n_waiting -> n_tokens = n_waiting
        :: else
        fi;
        recovered();
        notify(ALL)
    :: else
    fi
}

inline leave()
{
    assert(n_tokens <= n_waiting);
    unlock()
}

#ifdef NO_HORIZON
#define MAY_TAKE (n_tokens > 0)
#else
#define MAY_TAKE (n_tokens > 0 && number < horizon)
#endif

inline take_token(me)
{
    enter(me);
    taken = MAY_TAKE;
    if
    :: taken -> n_tokens--; n_waiting--
    :: else
    fi;
    leave()
}

inline sleep(me)
{
    if
    :: !asleep[me]
#ifdef SLICES
    :: timeout && asleep[me] && MAY_TAKE -> asleep[me] = false
#endif
    :: timeout && asleep[me] && !MAY_TAKE ->
        assert(number >= promised);
        break
    fi
}

proctype waiter(byte me; byte waits)
{
    byte key, number, seen, woken;
    bool is_done, taken;
    {
        do
        :: waits > 0 ->
            enter(me);
            number = arrivals;
            arrivals++;
            n_waiting++;
            leave();
            do
            :: prepare(key);
                take_token(me);
                if
                :: taken -> break
                :: else
                fi;
                futex_wait(me, key);
                sleep(me)
            od;
            waits--
        :: else -> break
        od
    } unless { doomed[me] }
}

proctype notifier(byte me)
{
    byte seen, woken;
    bool is_done;
    {
        enter(me);
        horizon = arrivals;
        atomic {
            n_tokens = n_waiting;
            promised = arrivals
        }
        leave();
        notify(ALL)
    } unless { doomed[me] }
}

init
{
    atomic {
        run waiter(0, 2);
        run waiter(1, 1);
        run notifier(2)
    }
}
