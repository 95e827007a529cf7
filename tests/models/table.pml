/* The table of a shared directory while it grows: one bucket is split in two and chains grow
 * longer, under the lock and with death at every step, beside a reader that takes none.
 *
 * What is modelled is insert_word, replace_word, split_one and drop_moved of index.pyx, the recovery
 * of both, and find of lookup.pyx. A bucket has two slots; the last may be a link to a bucket of the
 * overflow file. A word is a key and an operation's number: larger is newer. Keys with the moving
 * bit go to the second bucket when the first is split.
 */
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef OPERATIONS
#define OPERATIONS 3 /* of each writer */
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef GETS
#define GETS 2
#endif

#define KEYS 3
#define WIDTH 2              /* slots of a bucket */
#define SPILLS 3             /* buckets of the overflow file */
#define SLOTS (WIDTH * (2 + SPILLS)) /* buckets 0 and 1, then those of the overflow file */
#define LINK 128
#define moves(key_) (key_ != 1)
#define word_of(key_, operation_) (8 * operation_ + key_ + 1)
#define key_in(word_) (word_ % 8 - 1)
#define operation_in(word_) (word_ / 8)

byte slot[SLOTS];
byte version[2];
bool split;            /* the directory word: there are two buckets */
byte spills = 2;       /* the next bucket of the overflow file */
byte lock;
bool armed;
byte redo_slot, redo_word, redo_home, redo_spills;

/* ghosts */
bool dead[6];
byte deaths = DEATHS;
byte ended;
byte operations;
byte present[KEYS];    /* the operation whose value the key has, 0: it has none */
byte vanished[KEYS];   /* how often it lost it */
byte redo_key, redo_operation;

#define step(store) \
    if \
    :: atomic { deaths > 0 -> deaths--; dead[_pid] = true; goto stop } \
    :: atomic { true -> store } \
    fi

#define home_of(key_) (split && moves(key_) -> 1 : 0)

/* Under the lock: where the key's word is, or a free slot, and the chain's last slot. */
inline find(key_) {
    d_step {
        found = 0; place = SLOTS; last = 0; i = WIDTH * home_of(key_); n = 0;
        do
        :: n < WIDTH ->
            if
            :: n == WIDTH - 1 && (slot[i] & LINK) -> i = WIDTH * (slot[i] - LINK); n = 0
            :: else ->
                if
                :: slot[i] && key_in(slot[i]) == key_ -> found = slot[i]; place = i; break
                :: !slot[i] && place == SLOTS -> place = i
                :: else
                fi;
                last = i; i++; n++
            fi
        :: else -> break
        od;
        i = 0; n = 0
    }
}

inline apply_redo() {
    step(version[redo_home] = version[redo_home] | 1);
#ifndef BOUND_LATE
    step(spills = redo_spills); /* before a link leads there: readers follow none beyond it */
#endif
    step(
        slot[redo_slot] = redo_word;
        present[redo_key] = redo_operation;
        if
        :: redo_operation == 0 -> vanished[redo_key]++
        :: else
        fi
    );
#ifdef BOUND_LATE
    step(spills = redo_spills);
#endif
    step(version[redo_home] = (version[redo_home] | 1) + 1);
    step(armed = false)
}

/* Of the key, to whose value of `operation` (0: none) the word leads. */
inline store_slot(at_, word_, spills_) {
    step(
        redo_slot = at_; redo_word = word_; redo_home = home_of(key); redo_spills = spills_;
        redo_key = key; redo_operation = operation; armed = true
    );
    apply_redo()
}

/* The old bucket's words that the new one has go, one by one, along the chain. */
inline drop_moved() {
    step(version[0] = version[0] | 1);
    i = 0; n = 0;
    do
    :: n < WIDTH ->
        if
        :: n == WIDTH - 1 && (slot[i] & LINK) -> i = WIDTH * (slot[i] - LINK); n = 0
        :: else ->
            if
            :: slot[i] && moves(key_in(slot[i])) -> step(slot[i] = 0)
            :: else
            fi;
            i++; n++
        fi
    :: else -> break
    od;
    i = 0; n = 0;
    step(version[0] = (version[0] | 1) + 1)
}

/* The new bucket: at most two words here, so it needs no chain of its own. */
inline fill_new() {
    version[1] = version[0];
    slot[WIDTH] = 0; slot[WIDTH + 1] = 0;
    i = 0; n = 0; place = WIDTH;
    do
    :: n < WIDTH ->
        if
        :: n == WIDTH - 1 && (slot[i] & LINK) -> i = WIDTH * (slot[i] - LINK); n = 0
        :: else ->
            if
            :: slot[i] && moves(key_in(slot[i])) -> slot[place] = slot[i]; place++
            :: else
            fi;
            i++; n++
        fi
    :: else -> break
    od;
    i = 0; n = 0; place = 0
}

/* What a lock's dead holder had begun is finished first. */
inline take_lock() {
    if
    :: atomic { lock == 0 -> lock = _pid }
    :: atomic { lock && dead[lock] -> lock = _pid }
#ifndef WITHOUT_RECOVER
        if
        :: armed -> apply_redo()
        :: else
        fi;
        if
        :: split -> drop_moved()
        :: else
        fi
#endif
    fi;
    skip
}

inline split_bucket() {
#ifdef DIRECTORY_FIRST
    step(split = true);
    step(fill_new());
    drop_moved()
#else
    step(fill_new());
#ifdef DROP_FIRST
    drop_moved();
    step(split = true)
#else
    step(split = true);
    drop_moved()
#endif
#endif
}

proctype writer() {
    byte left = OPERATIONS, key, place, found, last, i, n, operation;
    do
    :: left > 0 ->
        take_lock();
        atomic {
            left--;
            if
            :: key = 0
            :: key = 1
            :: key = 2
            :: !split -> key = KEYS
            fi
        }
        if
        :: key == KEYS -> split_bucket()
        :: else ->
            find(key);
            operation = 0;
            if
            :: found -> store_slot(place, 0, spills)
            :: true ->
                atomic { operations++; operation = operations }
                if
                :: place < SLOTS -> store_slot(place, word_of(key, operation), spills)
                :: place == SLOTS && spills < 2 + SPILLS -> /* the chain grows by a bucket */
#ifdef LINK_FIRST
                    n = slot[last];
                    store_slot(last, LINK + spills, spills + 1);
                    step(slot[WIDTH * (spills - 1)] = n;
                         slot[WIDTH * (spills - 1) + 1] = word_of(key, operation));
                    n = 0
#else
                    step(slot[WIDTH * spills] = slot[last];
                         slot[WIDTH * spills + 1] = word_of(key, operation));
                    store_slot(last, LINK + spills, spills + 1)
#endif
                :: else
                fi
            fi
        fi;
        step(lock = 0; key = 0; place = 0; found = 0; last = 0; operation = 0)
    :: else -> break
    od;
stop:
    ended++
}

/* Gets of one key without a lock, through an L1 that trusts the version of the key's bucket. */
proctype reader() {
    byte left = GETS, key, home, i, n, word, seen, floor, since, operation, held, held_version;
    bool seen_split;
    if
    :: key = 0
    :: key = 1
    fi;
    do
    :: left > 0 ->
        atomic { left--; floor = present[key]; since = vanished[key] }
again:
        atomic { seen_split = split; home = home_of(key); operation = 0 }
        seen = version[home];
        if
        :: held && held_version == seen -> operation = held
        :: else ->
            i = WIDTH * home; n = 0;
            do
            :: n < WIDTH ->
                word = slot[i];
                if
                :: n == WIDTH - 1 && (word & LINK) && word - LINK >= spills -> break
                :: n == WIDTH - 1 && (word & LINK) && word - LINK < spills ->
                    i = WIDTH * (word - LINK); n = 0
                :: word && !(word & LINK) && key_in(word) == key ->
                    operation = operation_in(word);
                    break
                :: else -> i++; n++
                fi
            :: else -> break
            od;
#ifndef MISS_AT_ONCE
            if
            :: !operation && seen_split != split -> goto again /* its word may have moved */
            :: else
            fi;
#endif
            atomic {
                held = (seen & 1 -> 0 : operation);
                held_version = (held -> seen : 0)
            }
        fi;
        atomic {
            if
            :: operation -> assert(operation >= floor)
            :: else -> assert(!floor || vanished[key] != since)
            fi;
            operation = 0; floor = 0; since = 0; word = 0; seen = 0; i = 0; n = 0; home = 0
        }
    :: else -> break
    od;
    ended++
}

/* When all have ended or died: each key is where it belongs, once, with its newest value. */
proctype auditor() {
    byte key, place, found, last, i, n, operation, home, times;
    ended == WRITERS + (GETS > 0);
    deaths = 0;
    take_lock();
    d_step {
        do
        :: key < KEYS ->
            home = 0; found = 0; times = 0;
            do
            :: home < 2 && (home == 0 || split) ->
                i = WIDTH * home; n = 0;
                do
                :: n < WIDTH ->
                    if
                    :: n == WIDTH - 1 && (slot[i] & LINK) -> i = WIDTH * (slot[i] - LINK); n = 0
                    :: else ->
                        if
                        :: slot[i] && key_in(slot[i]) == key ->
                            found = slot[i]; times++;
                            assert(home == home_of(key))
                        :: else
                        fi;
                        i++; n++
                    fi
                :: else -> break
                od;
                home++
            :: else -> break
            od;
            assert(times <= 1);
            assert(operation_in(found) == present[key]);
            key++
        :: else -> break
        od
    }
stop:
    skip
}

init {
    byte count;
    atomic {
        do
        :: count < WRITERS -> run writer(); count++
        :: else -> break
        od;
        if
        :: GETS > 0 -> run reader()
        :: else
        fi;
        run auditor()
    }
}
