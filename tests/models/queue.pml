/* SPDX-License-Identifier: MIT
 *
 * queue.pml: consumers that are killed at any step: which messages they had (libpar/channel/queue.c, ring.c, account.c).
 *
 * Process 0 consumes with the account of slot 0; process 1 with that of slot 1; process 2 is born into slot 0 once process 0 is dead
 * and takes over its account; process 3 joins, which closes the accounts of the dead. Each may be killed while it repairs what
 * another left. Claim: in the end every message that left the ring is counted once, as the one's who stored head over it: done, lost
 * with it, or in its account.
 */
#define N 4
#include "kernel.pml"

#define MESSAGES 2

byte head, n_out;                                     /* of the ring */
byte after, record_n, note = NOBODY, next_got[2];     /* the record, whose note names an account */
byte got[2], done[2], member[2] = NOBODY;             /* accounts */
byte closing = NOBODY, closing_done, closing_lost;    /* the settlement */
byte done_closed, n_lost;                             /* totals */

byte taken[N], did[N]; /* the truth: what the processes did */

inline settle()
{
    if
    :: closing != NOBODY ->
        done_closed = closing_done;
        n_lost = closing_lost;
        got[closing] = 0;
        done[closing] = 0;
        member[closing] = NOBODY;
        closing = NOBODY
    :: else
    fi
}

inline close_account(a)
{
#ifndef NOTE_KEPT
    if
    :: note == a -> note = NOBODY
    :: else
    fi;
#endif
    closing_done = done_closed + done[a];
    closing_lost = n_lost + got[a] - done[a];
    closing = a;
    settle()
}

inline enter(me)
{
    lock(me);
    if
    :: is_marked ->
        if
        :: head == after ->
            n_out = record_n;
            if
            :: note != NOBODY -> got[note] = next_got[note]
            :: else
            fi
        :: else
        fi;
        settle();
        recovered()
    :: else
    fi
}

inline remove(me, slot)
{
#ifndef AFTER_LAST
    after = head + 1;
#endif
    record_n = n_out + 1;
    note = slot;
    next_got[slot] = got[slot] + 1;
#ifdef AFTER_LAST /* a record that is not whole looks like the last one's, done again */
    after = head + 1;
#endif
    atomic {
        head = after;
        taken[me]++
    }
    n_out = record_n;
    got[slot] = next_got[slot]
}

proctype consumer(byte me; byte slot)
{
    {
        if
        :: me == 2 ->
end_unborn:  doomed[0]
        :: else
        fi;
        do
        :: enter(me);
            if
            :: head == MESSAGES -> unlock(); break
            :: else
            fi;
            if
            :: member[slot] != me ->
                if
                :: member[slot] != NOBODY -> close_account(slot)
                :: else
                fi;
                member[slot] = me
            :: else
            fi;
            remove(me, slot);
            unlock();
            atomic {
                done[slot]++;
                did[me]++
            }
        od
    } unless { doomed[me] }
}

inline survey(a)
{
    if
    :: member[a] != NOBODY && got[a] > done[a] ->
        if
        :: doomed[member[a]] -> close_account(a)
        :: else
        fi
    :: else
    fi
}

proctype joiner(byte me)
{
    byte round;
    {
        do
        :: round < 2 ->
            enter(me);
            survey(0);
            survey(1);
            unlock();
            round++
        :: else -> break
        od
    } unless { doomed[me] }
}

init
{
    atomic {
        run consumer(0, 0);
        run consumer(1, 1);
        run consumer(2, 0);
        run joiner(3)
    }
    timeout; /* all have ended or are dead: one more process comes, and repairs */
    enter(N);
    survey(0);
    survey(1);
    assert(n_out == head);
    assert(head == taken[0] + taken[1] + taken[2]);
    assert(done_closed + n_lost + got[0] + got[1] == n_out);
    assert(done_closed + done[0] + done[1] == did[0] + did[1] + did[2]);
    assert(n_lost == head - did[0] - did[1] - did[2])
}
