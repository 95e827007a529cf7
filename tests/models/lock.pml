/* The lock of a shared directory: a word that names its holder (slot and incarnation of a process),
 * a flag that somebody sleeps, and one lock byte a process slot, which the kernel frees when the last
 * process that has the file open is gone. Death at every step, slots that are used again, a child
 * that inherits the file, a holder that stands still for as long as it likes, threads of one process.
 *
 * Two kinds of time-out: one that comes early, as often as EARLY says, and one that comes when nobody
 * else can go on. After the latter the lock has to be had: else everybody waits for ever.
 */
#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef OPERATIONS
#define OPERATIONS 1 /* of each */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef FORKS
#define FORKS 0
#endif
#ifndef THREADS
#define THREADS 0 /* more of the first process; of a process that is killed only one is modelled */
#endif
#ifndef EARLY
#define EARLY 1 /* time-outs of each, while others could go on */
#endif

#define SLOTS 2 /* fewer than processes: they are used again */
#ifdef SLOT_ONLY
#define word_of(slot_) (16 * slot_)
#else
#define word_of(slot_) (16 * slot_ + incarnation[slot_])
#endif
#define slot_in(word_) (word_ / 16)
#define ALL (PROCESSES + THREADS)

byte lock;
bool waiters;
byte incarnation[SLOTS + 1]; /* in `procs`: counted on by who has locked the byte */
bool half_done;              /* a change that a death would leave so */

/* the kernel's */
byte opened[SLOTS + 1]; /* processes that have the file open by which the byte is locked */
bool asleep[ALL + 1];

/* ghosts */
byte holder; /* who entered last and has not left */
bool dead[ALL + 1];
byte deaths = DEATHS;
byte forks = FORKS;

#define step(store) \
    if \
    :: atomic { deaths > 0 -> goto killed } \
    :: atomic { true -> store } \
    fi

inline enter() {
    assert(!holder || dead[holder]);
    holder = _pid
}

inline take_over() {
#ifdef FORGIVEN
    holder = _pid
#else
    enter()
#endif
}

inline wake() {
    d_step {
        n = 1;
        do
        :: n <= ALL -> asleep[n] = false; n++
        :: else -> break
        od;
        n = 0
    }
}

/* Slot and word are those of the process, if it is a further thread of one. */
proctype process(byte slot, me, threads) {
    byte left = OPERATIONS, owner, n, early = EARLY;
    bool gone, nobody;
    if
    :: slot -> goto operate
    :: else
    fi;
end: /* all slots may be taken for ever */
    atomic {
        if
        :: !opened[1] -> slot = 1
        :: !opened[2] -> slot = 2
        fi;
        opened[slot]++
    }
    step(incarnation[slot]++; me = word_of(slot));
    if
    :: goto stop /* lives on, and never asks for the lock */
    :: true
    fi;
    atomic {
        do
        :: threads > 0 -> threads--; opened[slot]++; run process(slot, me, 0)
        :: else -> break
        od
    }
operate:
    do
    :: left > 0 ->
        left--;
again:
        if
        :: atomic { lock == 0 -> lock = me; enter(); goto entered }
        :: atomic { lock != 0 }
        :: atomic { deaths > 0 -> goto killed }
        fi;
        step(waiters = true);
#ifndef SLEEP_UNASKED
        if
        :: atomic { lock == 0 -> lock = me; enter(); goto entered }
        :: atomic { lock != 0 }
        fi;
#endif
        atomic { /* the kernel compares and puts to sleep at once */
            if
            :: waiters -> asleep[_pid] = true
            :: else -> goto again
            fi
        }
        if
        :: atomic { !asleep[_pid] -> goto again }
#ifndef WITHOUT_TIMEOUT
        :: atomic { early > 0 -> early--; asleep[_pid] = false }
        :: atomic { timeout -> nobody = true; asleep[_pid] = false }
#endif
        :: atomic { deaths > 0 -> asleep[_pid] = false; goto killed }
        fi;
        atomic {
            owner = lock;
            if
            :: owner == 0 -> goto again
            :: else
            fi
        }
#ifdef BLINDLY
        gone = true;
#else
#ifndef OWN_BYTE
        if
        :: owner == me -> goto again /* a thread of this process, which lives */
        :: else
        fi;
#endif
        /* The kernel tells of the locks of other descriptions only. */
        gone = !opened[slot_in(owner)] || slot_in(owner) == slot;
#if !defined(SLOT_ONLY) && !defined(BYTE_ALONE)
        gone = gone || word_of(slot_in(owner)) != owner; /* the slot is another's: locked since */
#endif
#endif
        if
        :: gone ->
            if
            :: atomic { lock == owner -> lock = me; gone = false; take_over() }
                if
                :: true
                :: step( /* something is to be mapped first: it is the dead one's again */
#ifdef FREED_UNDONE
                        lock = 0;
#else
                        lock = owner;
#endif
                        holder = 0; owner = 0
                    );
                    nobody = false;
                    goto again
                fi;
                owner = 0;
#ifndef WITHOUT_RECOVER
                step(half_done = false)
#endif
            :: atomic { lock != owner -> owner = 0; gone = false; goto again }
            fi
        :: else ->
            assert(!nobody); /* else all wait for ever */
            owner = 0;
            goto again
        fi;
entered:
        nobody = false;
        if
        :: atomic { forks > 0 -> forks--; opened[slot]++; run child(slot) }
        :: true
        fi;
        step(
#ifndef FORGIVEN
            assert(holder == _pid && !half_done);
#endif
            half_done = true
        );
        step(
#ifndef FORGIVEN
            assert(holder == _pid);
#endif
            half_done = false
        );
        step(
#ifdef UNLOCK_BY_SWAP
            if
            :: lock == me -> lock = 0
            :: else
            fi;
#else
            lock = 0;
#endif
            if
            :: holder == _pid -> holder = 0
            :: else
            fi
        );
#ifndef WITHOUT_WAKE
        if
        :: atomic { waiters -> skip }
            step(waiters = false);
            step(wake())
        :: atomic { !waiters }
        fi
#endif
    :: else -> break
    od;
    atomic { opened[slot]--; goto stop } /* closed */
killed:
    atomic { deaths--; dead[_pid] = true; opened[slot]-- }
stop:
    skip
}

/* Of a thread that was not in the lock. It has the parent's file open until it closes it. */
proctype child(byte slot) {
#ifndef CHILD_KEEPS
    opened[slot]--
#else
    skip
#endif
}

init {
    byte n;
    atomic {
        do
        :: n < PROCESSES -> n++; run process(0, 0, (n == 1 -> THREADS : 0))
        :: else -> break
        od
    }
}
