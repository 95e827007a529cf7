/* The log of a shared directory: writers, reclaim and readers without locks, with death at every
 * step. What is modelled is FORMAT.md's log and index, changed as appending.pyx, index.pyx and
 * recovery.pyx change them and read as reading.pyx reads. The table is one chain; a record takes
 * one address, and of a segment's addresses none is ever used again.
 *
 * Operations are numbered in the order of the log: larger is newer. Each load and store of a word
 * that somebody else may read or write meanwhile is a step of its own; in a d_step stands what
 * the lock guards, or a ghost, a variable that only the assertions read.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef OPERATIONS
#define OPERATIONS 2 /* of each writer */
#endif
#ifndef GETS
#define GETS 2
#endif
#ifndef READERS
#if GETS
#define READERS 1
#else
#define READERS 0
#endif
#endif
#ifndef RECLAIMS
#define RECLAIMS 1 /* segments */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define KEYS 2
#define SLOTS 2
#define SEGMENT 2
#define LAST 8  /* addresses 1..LAST: the warm log */
#define COLD 9  /* from here on: the cold log */
#define END 14
#define VALUE 1
#define TOMBSTONE 2
#define OTHERS (WRITERS + (RECLAIMS > 0) + READERS) /* processes but the auditor */

typedef record {
    byte kind; /* 0: bytes that do not validate. A record is written before, and then, it does */
    byte key;
    byte operation;
    byte origin; /* cold: the warm address that is its version */
    bool shadows /* the archive may hold an older one of its key */
}

record at[END + 1];
byte slot[SLOTS];
byte version; /* odd while a slot changes */
byte tail = 1, head = 1, cold_tail = COLD;
byte linked = 1; /* the oldest segment that is not unlinked begins here */
byte lock; /* who holds it: a pid, which is never 0 */
bool armed;
byte redo_slot, redo_word;

/* ghosts */
bool dead[8];
byte deaths = DEATHS;
byte ended;
byte operations; /* begun */
byte acknowledged[KEYS]; /* the newest operation that returned */
byte shown[KEYS]; /* the newest operation whose value a get returned */
bool deletes[WRITERS * OPERATIONS + 1]; /* of an operation: it is a delete */
byte vanished[KEYS]; /* how often the key's slot was cleared */
byte deleted[KEYS]; /* the newest delete that was begun */
byte evicted[KEYS]; /* the newest operation whose value was, or is about to be */

/* A store of the lock's holder, who may be killed before it. */
#define step(store) \
    if \
    :: atomic { deaths > 0 -> deaths--; dead[_pid] = true; goto stop } \
    :: atomic { true -> store } \
    fi

/* Where the key's word is, and which; else a free slot and 0. Under the lock. */
inline find(key_) {
    d_step {
        found = 0; place = SLOTS; i = 0;
        do
        :: i < SLOTS ->
            if
            :: slot[i] && at[slot[i]].key == key_ -> found = slot[i]; place = i; break
            :: !slot[i] && place == SLOTS -> place = i
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline apply_redo() {
#ifndef WITHOUT_BUSY
    step(version = version | 1);
#endif
    step(
        if
        :: redo_word == 0 && slot[redo_slot] -> vanished[at[slot[redo_slot]].key]++
        :: else
        fi;
        slot[redo_slot] = redo_word
    );
    step(version = (version | 1) + 1);
    step(armed = false)
}

inline store_slot(word_) {
    step(redo_slot = place; redo_word = word_; armed = true);
    apply_redo()
}

/* What a lock's dead holder had begun is finished first. */
inline recover() {
    if
    :: armed -> apply_redo()
    :: else
    fi;
#ifndef UNMAPPED_TAIL /* by who does not map the tail's segment, and takes that for nothing there */
    do
    :: tail <= LAST && at[tail].kind ->
        find(at[tail].key);
        if
        :: at[tail].kind == VALUE && found != tail -> store_slot(tail)
        :: at[tail].kind == TOMBSTONE && found -> store_slot(0)
        :: else
        fi;
        step(tail++)
    :: else -> break
    od;
#endif
    do
    :: cold_tail <= END && at[cold_tail].kind ->
        find(at[cold_tail].key);
        if
        :: at[cold_tail].kind == TOMBSTONE || found == cold_tail -> step(cold_tail++)
        :: else -> step(at[cold_tail].kind = 0) /* it was never visible */
        fi
    :: else -> break
    od
}

inline take_lock() {
    if
    :: atomic { lock == 0 -> lock = _pid }
    :: atomic { lock && dead[lock] -> lock = _pid }
#ifndef WITHOUT_RECOVER
        recover()
#endif
    fi;
    skip
}

proctype writer() {
    byte left = OPERATIONS, key, place, found, i, operation, word;
    bool delete;
    do
    :: left > 0 ->
#ifdef REUSE_WITHOUT_LOCK
        atomic {
            if
            :: key = 0
            :: key = 1
            fi;
            find(key);
            word = place
        }
        take_lock();
        atomic {
            find(key);
            if
            :: !found -> place = word
            :: else
            fi;
#else
        take_lock();
        atomic {
            if
            :: key = 0
            :: key = 1
            fi;
            find(key);
#endif
            if
            :: delete = false
            :: delete = true
            fi;
            left--
        }
        if
        :: tail > LAST || delete && !found
        :: else ->
            step(
                assert(slot[0] != tail && slot[1] != tail); /* or a reader meets another record */
                operations++;
                operation = operations;
                deletes[operation] = delete;
                if
                :: delete -> deleted[key] = operation
                :: else
                fi;
                at[tail].key = key;
                at[tail].operation = operation;
                at[tail].shadows = found && (found >= COLD || at[found].shadows);
                at[tail].kind = (delete -> TOMBSTONE : VALUE);
                word = (delete -> 0 : tail)
            );
#ifdef TAIL_FIRST
            step(tail++);
            store_slot(word)
#else
            store_slot(word);
            step(tail++)
#endif
        fi;
        step(
            lock = 0;
            if
            :: operation > acknowledged[key] -> acknowledged[key] = operation
            :: else
            fi;
            operation = 0; word = 0; found = 0; place = 0; key = 0; delete = false
        )
    :: else -> break
    od;
stop:
    ended++
}

inline shadow() {
    step(
        at[cold_tail].key = key;
        at[cold_tail].origin = from;
        at[cold_tail].kind = TOMBSTONE
    );
    step(cold_tail++)
}

/* Moves the oldest segment's live records forward or to the archive, or out, and unlinks it. */
proctype reclaimer() {
    byte left = RECLAIMS, key, place, found, i, from, upto;
    do
    :: left > 0 && linked + SEGMENT <= tail ->
        from = linked;
        upto = linked + SEGMENT;
#ifdef UNLINK_FIRST
        linked = upto;
#endif
        do
        :: from < upto ->
            take_lock();
            atomic {
                key = at[from].key;
                find(key)
            }
            if
            :: found == from && cold_tail <= END ->
                step(
                    at[cold_tail].key = key;
                    at[cold_tail].operation = at[from].operation;
                    at[cold_tail].origin = from;
                    at[cold_tail].kind = VALUE
                );
                store_slot(cold_tail);
                step(cold_tail++)
            :: found == from && tail <= LAST ->
                step(
                    at[tail].key = key;
                    at[tail].operation = at[from].operation;
                    at[tail].shadows = at[from].shadows;
                    at[tail].kind = VALUE
                );
                store_slot(tail);
                step(tail++)
            :: found == from && tail > LAST && cold_tail > END -> goto no_room
#ifdef EVICT
            :: found == from && cold_tail <= END ->
                evicted[key] = at[from].operation;
                if
                :: at[from].shadows -> shadow()
                :: else
                fi;
#ifdef HEAD_LATE
                store_slot(0);
                step(head = from + 1)
#else
                step(head = from + 1);
                store_slot(0)
#endif
#endif
            :: found != from && at[from].shadows ->
#ifndef TOMBSTONE_EARLY
                shadow()
#else
                skip
#endif
            :: found != from && !at[from].shadows
            fi;
            step(lock = 0; from++)
        :: else -> break
        od;
        step(head = upto);
        step(linked = upto; left--)
    :: left == 0 || linked + SEGMENT > tail -> break
    od;
    goto stop;
no_room:
    lock = 0;
stop:
    ended++
}

/* Gets of one key without a lock, through an L1 that trusts the version of the key's chain. */
proctype reader() {
    byte left = GETS, key, i, word, seen, floor, since, operation, held, held_version;
    bool absent;
    if
    :: key = 0
    :: key = 1
    fi;
    do
    :: left > 0 ->
        atomic {
            left--;
            floor = (acknowledged[key] > shown[key] -> acknowledged[key] : shown[key]);
            since = vanished[key];
            absent = !(slot[0] && at[slot[0]].key == key || slot[1] && at[slot[1]].key == key)
        }
again:
        atomic { seen = version; i = 0 }
        if
        :: held && held_version == seen -> operation = held
        :: else ->
            do
            :: i < SLOTS ->
                atomic { word = slot[i]; i++ }
                if
                :: word && at[word].kind && at[word].key == key ->
                    if
                    :: atomic { word < linked -> /* unlinked, and not mapped here */
                            assert(slot[i - 1] != word); /* else it is damaged */
                            goto again }
                    :: true /* mapped */
                    fi;
#ifdef SLOT_TWICE
                    word = slot[i - 1];
                    assert(word && at[word].key == key);
#endif
                    operation = at[word].operation;
                    break
                :: else
                fi
            :: else -> break
            od;
#ifdef VERSION_AFTER
            seen = version;
#endif
            atomic {
                held = (seen & 1 -> 0 : operation);
                held_version = (held -> seen : 0)
            }
        fi;
        atomic {
            if
            :: operation ->
                assert(!deletes[operation]);
                assert(operation >= floor); /* never an older value */
                shown[key] = operation
            :: else -> /* a miss: it was absent when asked for, or vanished meanwhile */
                assert(absent || vanished[key] != since)
            fi;
            operation = 0; floor = 0; since = 0; word = 0; seen = 0; i = 0; absent = false
        }
    :: else -> break
    od;
    ended++
}

/* When all have ended or died: the index is what a rebuild of the log would make, but for what was
 * about to be evicted. */
proctype auditor() {
    byte key, place, found, i, newest, from;
    bool value;
    ended == OTHERS;
    deaths = 0;
    take_lock();
    d_step {
        do
        :: key < KEYS ->
            newest = 0; value = false; from = head; i = 0; found = 0;
            do
            :: from < tail ->
                if
                :: at[from].key == key -> newest = from; value = at[from].kind == VALUE; i = from
                :: else
                fi;
                from++
            :: else -> break
            od;
            from = COLD;
            do
            :: from < cold_tail ->
                if
                :: at[from].key == key && at[from].origin >= newest ->
                    newest = at[from].origin; value = at[from].kind == VALUE; i = from
                :: else
                fi;
                from++
            :: else -> break
            od;
            place = i; /* the newest record of the key */
            from = 0;
            do
            :: from < SLOTS ->
                if
                :: slot[from] && at[slot[from]].key == key ->
                    assert(!found); /* no key twice */
                    found = slot[from]
                :: else
                fi;
                from++
            :: else -> break
            od;
            assert(!value || found && at[found].operation == at[place].operation);
            assert(value || !found || evicted[key] == at[found].operation);
            if
            :: found -> assert(at[found].operation >= acknowledged[key])
            :: else ->
                assert(deleted[key] >= acknowledged[key] || evicted[key] >= acknowledged[key])
            fi;
            key++
        :: else -> break
        od
    }
stop:
    skip
}

init {
    byte n;
    atomic {
        do
        :: n < WRITERS -> run writer(); n++
        :: else -> break
        od;
        do
        :: n < WRITERS + READERS -> run reader(); n++
        :: else -> break
        od;
        if
        :: RECLAIMS > 0 -> run reclaimer()
        :: else
        fi;
        run auditor()
    }
}
