/* SPDX-License-Identifier: MIT
 *
 * barrier.pml: rounds of a barrier (libpar/sync/barrier.c) whose parties are killed at any step.
 *
 * Two parties meet ROUNDS times. A deadline passes only when nothing else can happen any more. Claims: who is told that a round is
 * complete knows that both came; two that ended the same round alive were told the same; nobody waits for a deadline when the one
 * that does not come has been there before and is dead. With ABORTER a third process, no party, aborts the barrier at any moment and
 * may be killed at that: once the barrier says that it is broken, nobody waits for a deadline.
 */
#ifdef ABORTER
#define N 3
#else
#define N 2
#endif
#include "kernel.pml"

#ifndef ROUNDS
#define ROUNDS 2
#endif
#define PARTIES 2
#define CANCELED 1
#define OWNER_DIED 2

byte why, n_arrived, count_of, round, failed_rounds;
byte n_known, party[PARTIES];

byte came[ROUNDS + 3];               /* the truth: how many have come in a round */
byte told[ROUNDS + 3];               /* 0: nobody yet, 1: complete, 2: failed */

#define N_WAITING (count_of == round -> n_arrived : 0)
#define PARTY_DIED ((n_known > 0 && doomed[party[0]]) || (n_known > 1 && doomed[party[1]]))

inline fail_round(reason)
{
    why = reason;
    failed_rounds = failed_rounds | (1 << round);
    round = round + 1
}

inline enter(me)
{
    lock(me);
    if
    :: is_marked ->
        if
        :: why != 0 && N_WAITING > 0 -> fail_round(why)
        :: else
        fi;
        recovered();
        notify(ALL)
    :: else
    fi
}

inline break_round(me, reason)
{
    enter(me);
    if
    :: round == mine -> fail_round(reason)
    :: else
    fi;
    unlock();
    notify(ALL)
}

inline tell(me)
{
    atomic {
        if
        :: failed_rounds & (1 << mine) ->
            assert(told[mine] != 1);
            told[mine] = 2
        :: else ->
            assert(told[mine] != 2 && came[mine] == PARTIES);
            told[mine] = 1
        fi
    }
}

/* The former parties have all ended: the caller is the first of a new set. */
#ifdef FORGET_EARLY /* as if the caller had not been one of them */
#define ALL_ENDED(me) ((n_known < 1 || party[0] == me || doomed[party[0]]) && (n_known < 2 || party[1] == me || doomed[party[1]]))
#else
#define ALL_ENDED(me) ((n_known < 1 || doomed[party[0]]) && (n_known < 2 || doomed[party[1]]))
#endif

inline sign_in(me)
{
    if
    :: N_WAITING == 0 && n_known > 0 && ALL_ENDED(me) -> n_known = 0
    :: else
    fi;
    if
    :: (n_known > 0 && party[0] == me) || (n_known > 1 && party[1] == me)
    :: else ->
        if
        :: n_known < PARTIES ->
            party[n_known] = me;
            n_known++
        :: else
        fi
    fi
}

/* *before is how many have come earlier; PARTIES: the barrier is broken. */
inline arrive(me)
{
    enter(me);
    mine = round;
    if
    :: why != 0 -> before = PARTIES
    :: else ->
        sign_in(me);
        before = N_WAITING;
        if
        :: before == 0 ->
            n_arrived = 0;
            count_of = round
        :: else
        fi;
        atomic {
            n_arrived = before + 1;
            came[mine]++
        }
    fi;
    unlock()
}

inline finish_round(me)
{
    died = PARTY_DIED;
    enter(me);
    if
    :: round == mine && died -> fail_round(OWNER_DIED)
    :: round == mine && !died ->
        failed_rounds = failed_rounds & (255 - (1 << mine));
        round = round + 1
    :: else
    fi;
    unlock();
    notify(ALL)
}

#ifdef NO_LOOK
#define WAITS_OUT (why != 0 && round == mine)
#else
#define WAITS_OUT false
#endif

inline wait_for_round(me)
{
    do
    :: prepare(key);
        if
        :: round != mine -> break
        :: else
        fi;
        if
        :: PARTY_DIED -> break_round(me, OWNER_DIED)
#ifndef NO_LOOK /* as if only the mutex's mark told of an abort that was cut off */
        :: !PARTY_DIED && why != 0 ->
            enter(me);
            unlock()
#endif
        :: else ->
            futex_wait(me, key);
            if
            :: !asleep[me]
            :: PARTY_DIED && asleep[me] -> asleep[me] = false /* its alive word wakes */
#ifdef SLICES
            :: timeout && asleep[me] && (round != mine || why != 0) && !WAITS_OUT -> asleep[me] = false
#endif
            :: timeout && asleep[me] && round == mine && (why == 0 || WAITS_OUT) ->
                assert(why == 0 && !(doomed[1 - me] && has_come[1 - me]));
                asleep[me] = false;
                break_round(me, CANCELED)
            fi
        fi
    od
}

bool has_come[N]; /* the truth: has been counted in once */

proctype user(byte me)
{
    byte key, mine, before, seen, woken, n;
    bool is_done, died;
    {
        do
        :: n < ROUNDS ->
            arrive(me);
            if
            :: before == PARTIES -> break
            :: else -> has_come[me] = true
            fi;
            if
            :: before + 1 == PARTIES -> finish_round(me)
            :: else -> wait_for_round(me)
            fi;
            tell(me);
            n++
        :: else -> break
        od
    } unless { doomed[me] }
}

#ifdef ABORTER
proctype aborter(byte me)
{
    byte seen, woken;
    bool is_done;
    {
        enter(me);
        fail_round(CANCELED);
        unlock();
        notify(ALL)
    } unless { doomed[me] }
}
#endif

init
{
    atomic {
        run user(0);
        run user(1);
#ifdef ABORTER
        run aborter(2)
#endif
    }
}
