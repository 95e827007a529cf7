/* Reorderings of the C core's loads and stores, as the C11 memory model allows them, explored by
 * Relacy (Debian's relacy-dev). The header of the operations is included as it stands, with its words
 * made Relacy's (`words.h`, written by the test); what stands here is a transcription of those
 * who call them, and of the reader. A plain store of a word that others may read is a relaxed one.
 *
 *     orders SCENE [BUG]        exit status 0: no execution breaks it; 1: one does, and is printed
 */
#include <relacy/relacy.hpp>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

typedef rl::atomic<uint64_t> shared64_t, word_t;
typedef rl::atomic<uint32_t> shared32_t, flag_t;
typedef rl::atomic<uint8_t> shared8_t;
#define ORDER(name) static_cast<rl::memory_order>(name) /* the numbers are the same */
#define __atomic_load_n(word, order) (word)->load(ORDER(order), $)
#define __atomic_store_n(word, value, order) (word)->store(value, ORDER(order), $)
#define __atomic_exchange_n(word, value, order) (word)->exchange(value, ORDER(order), $)
#define __atomic_fetch_add(word, value, order) (word)->fetch_add(value, ORDER(order), $)
#define __atomic_fetch_or(word, value, order) (word)->fetch_or(value, ORDER(order), $)
#define __atomic_fetch_and(word, value, order) (word)->fetch_and(value, ORDER(order), $)
#define __atomic_signal_fence(order) static_cast<void>(0) /* the order of the program is kept here */
#define __atomic_compare_exchange_n(word, expected, desired, weak, order, failed) \
    (word)->compare_exchange_strong(*(expected), desired, ORDER(order), $, ORDER(failed), $)
#include "words.h"

static std::string bug;
static bool planted(const char *name) { return bug == name; }

/* fm_store_release, but for the one that a bug names */
static void publish(word_t *word, uint64_t value, const char *relaxed_by) {
    if (planted(relaxed_by))
        fm_store_relaxed(word, value);
    else
        fm_store_release(word, value);
}
static uint64_t look(word_t *word, const char *relaxed_by) {
    return planted(relaxed_by) ? fm_load_relaxed(word) : fm_load_acquire(word);
}

enum { A = 1, B = 2, LINK = 1 << 10, ALL = 3 };

struct bucket_t {
    word_t version;
    word_t slot[2];
    void clear() {
        fm_store_relaxed(&version, 0);
        fm_store_relaxed(&slot[0], 0);
        fm_store_relaxed(&slot[1], 0);
    }
};

/* index.pyx: apply_redo, but for the counts */
static void apply_redo(word_t *version, word_t *slot, uint64_t word, word_t *bound, uint64_t next) {
    const uint64_t before = fm_load_relaxed(version);
    if (!planted("BUSY_LATE"))
        fm_store_release(version, before | 1);
    if (bound && !planted("BOUND_LATE"))
        fm_store_relaxed(bound, next);
    publish(slot, word, "SLOT_RELAXED");
    if (planted("BUSY_LATE"))
        fm_store_release(version, before | 1);
    if (bound && planted("BOUND_LATE"))
        fm_store_relaxed(bound, next);
    publish(version, (before | 1) + 1, "EVEN_RELAXED");
}

/* A put is seen by a reader whole: bytes of the record before the slot that leads to them. */
struct put : rl::test_suite<put, 2> {
    bucket_t home;
    rl::var<int> bytes;
    void before() { home.clear(); }
    void thread(unsigned which) {
        if (which == 0) {
            bytes($) = 7;
            apply_redo(&home.version, &home.slot[0], A, NULL, 0);
        } else if (look(&home.slot[0], "SLOT_READ_RELAXED")) {
            RL_ASSERT(bytes($) == 7);
        }
    }
};

/* Two writers, one after the other: all that the lock guards are plain words. */
struct lock : rl::test_suite<lock, 2> {
    word_t word;
    rl::var<int> tail;
    void before() {
        fm_store_relaxed(&word, 0);
        tail($) = 0;
    }
    void thread(unsigned which) {
        uint64_t free = 0;
        const bool mine = planted("LOCK_RELAXED")
            ? word.compare_exchange_strong(free, which + 1, rl::mo_relaxed, $)
            : fm_swap_acquire(&word, 0, which + 1);
        if (!mine)
            return;
        tail($) = tail($) + 1;
        if (planted("UNLOCK_RELAXED"))
            fm_store_relaxed(&word, 0);
        else
            fm_exchange(&word, 0);
    }
};

/* A value in L1, with the version that was read before its slot: once the put that replaced it has
 * returned, and the reader knows that, it is no hit. */
struct coherent : rl::test_suite<coherent, 2> {
    bucket_t home;
    word_t returned;
    void before() {
        home.clear();
        fm_store_relaxed(&home.slot[0], A);
        fm_store_relaxed(&returned, 0);
    }
    void thread(unsigned which) {
        if (which == 0) {
            apply_redo(&home.version, &home.slot[0], B, NULL, 0);
            fm_store_release(&returned, 1);
            return;
        }
        uint64_t seen = look(&home.version, "VERSION_RELAXED");
        const uint64_t word = fm_load_acquire(&home.slot[0]);
        if (planted("VERSION_AFTER"))
            seen = fm_load_acquire(&home.version);
        if (seen & 1)
            return; /* not kept in L1 */
        if (fm_load_acquire(&returned) && fm_load_relaxed(&home.version) == seen)
            RL_ASSERT(word == B);
    }
};

/* What one reader was shown, another has no older hit for: the bucket is busy before the slot. */
struct readers : rl::test_suite<readers, 3> {
    bucket_t home;
    word_t shown;
    void before() {
        home.clear();
        fm_store_relaxed(&home.slot[0], A);
        fm_store_relaxed(&shown, 0);
    }
    void thread(unsigned which) {
        if (which == 0) {
            apply_redo(&home.version, &home.slot[0], B, NULL, 0);
        } else if (which == 1) {
            if (look(&home.slot[0], "SLOT_READ_RELAXED") == B)
                fm_store_release(&shown, 1);
        } else if (fm_load_acquire(&shown)) { /* it holds A, and version 0 */
            RL_ASSERT(fm_load_relaxed(&home.version) != 0);
        }
    }
};

/* A bucket is split beside a reader of a key that moves and is there throughout. */
struct split : rl::test_suite<split, 2> {
    word_t directory;
    bucket_t half[2];
    void before() {
        fm_store_relaxed(&directory, 0);
        half[0].clear();
        half[1].clear();
        fm_store_relaxed(&half[0].slot[0], A);
    }
    void fill() {
        fm_store_relaxed(&half[1].version, fm_load_relaxed(&half[0].version));
        fm_store_relaxed(&half[1].slot[0], A);
    }
    void thread(unsigned which) {
        if (which == 0) { /* split_one and drop_moved */
            if (!planted("DIRECTORY_FIRST"))
                fill();
            publish(&directory, 1, "DIRECTORY_RELAXED");
            if (planted("DIRECTORY_FIRST"))
                fill();
            const uint64_t version = fm_load_relaxed(&half[0].version);
            fm_store_release(&half[0].version, version | 1);
            publish(&half[0].slot[0], 0, "DROP_RELAXED");
            fm_store_release(&half[0].version, (version | 1) + 1);
            return;
        }
        for (;;) {
            const uint64_t now = look(&directory, "DIRECTORY_READ_RELAXED");
            if (look(&half[now].slot[0], "SLOT_READ_RELAXED") == A)
                return;
            RL_ASSERT(!planted("MISS_AT_ONCE"));
            RL_ASSERT(fm_load_relaxed(&directory) != now); /* else the miss is final */
        }
    }
};

/* A chain grows by a bucket: the last slot's word goes there, and a link takes its place. */
struct chain : rl::test_suite<chain, 2> {
    bucket_t home, spill;
    word_t overflow_next;
    void before() {
        home.clear();
        spill.clear();
        fm_store_relaxed(&home.slot[1], A);
        fm_store_relaxed(&overflow_next, 1);
    }
    void thread(unsigned which) {
        if (which == 0) { /* insert_word */
            fm_store_relaxed(&spill.slot[0], A);
            fm_store_relaxed(&spill.slot[1], B);
            apply_redo(&home.version, &home.slot[1], LINK | 1, &overflow_next, 2);
            return;
        }
        const uint64_t word = look(&home.slot[1], "SLOT_READ_RELAXED"); /* next_slot */
        if (!(word & LINK)) {
            RL_ASSERT(word == A);
            return;
        }
        RL_ASSERT((word & (LINK - 1)) < fm_load_relaxed(&overflow_next)); /* else a miss of A */
        RL_ASSERT(fm_load_acquire(&spill.slot[0]) == A);
    }
};

/* Two slots as one: who wants that reads the version again after them. Both ways to order it. */
struct snapshot : rl::test_suite<snapshot, 2> {
    bucket_t home;
    void before() { home.clear(); }
    void thread(unsigned which) {
        const bool fences = planted("BY_FENCES");
        const bool relaxed = fences || planted("STORES_RELAXED");
        if (which == 0) {
            fm_store_release(&home.version, 1);
            if (fences)
                rl::atomic_thread_fence(rl::mo_release, $);
            for (int i = 0; i < 2; i++)
                if (relaxed)
                    fm_store_relaxed(&home.slot[i], B);
                else
                    fm_store_release(&home.slot[i], B);
            fm_store_release(&home.version, 2);
            return;
        }
        uint64_t word[2];
        const uint64_t seen = fm_load_acquire(&home.version);
        for (int i = 0; i < 2; i++)
            word[i] = fences || planted("LOADS_RELAXED") ? fm_load_relaxed(&home.slot[i])
                                                         : fm_load_acquire(&home.slot[i]);
        if (fences)
            rl::atomic_thread_fence(rl::mo_acquire, $);
        /* An acquire of this load would order what follows it, and nothing does. */
        const uint64_t now = planted("LOADS_RELAXED") ? fm_load_acquire(&home.version)
                                                      : fm_load_relaxed(&home.version);
        if (!(seen & 1) && now == seen)
            RL_ASSERT(word[0] == word[1]);
    }
};

/* lease.pyx: unlock looks for sleepers after its store; who is about to sleep looks at the lock after
 * his. Each misses the other's store unless all four are sequentially consistent. */
struct wake : rl::test_suite<wake, 2> {
    word_t word;
    flag_t waiters;
    rl::var<int> woken, sleeps;
    void before() {
        fm_store_relaxed(&word, 1);
        fm_store_flag(&waiters, 0);
        woken($) = sleeps($) = 0;
    }
    void thread(unsigned which) {
        if (which == 0) {
            if (planted("UNLOCK_UNFENCED"))
                fm_store_release(&word, 0);
            else
                fm_exchange(&word, 0);
            if (fm_load_flag(&waiters))
                woken($) = 1;
        } else {
            fm_store_flag(&waiters, 1);
            sleeps($) = 0 != (planted("SLEEP_UNFENCED") ? fm_load_acquire(&word)
                                                        : fm_load_settled(&word));
        }
    }
    void after() { RL_ASSERT(!sleeps($) || woken($)); }
};

template <typename scene> static bool explore() {
    rl::test_params params;
    std::ostringstream told, progress;
    params.output_stream = &told;
    params.progress_stream = &progress;
    params.search_type = rl::fair_full_search_scheduler_type;
    const bool sound = rl::simulate<scene>(params);
    std::cout << told.str() << "executions: " << params.stop_iteration << std::endl;
    if (!sound)
        std::_Exit(1); /* Relacy frees what its threads had when it stopped them */
    return sound;
}

int main(int count, char **arguments) {
    const std::map<std::string, bool (*)()> scenes = {
        {"put", explore<put>},           {"lock", explore<lock>},   {"coherent", explore<coherent>},
        {"readers", explore<readers>},   {"split", explore<split>}, {"chain", explore<chain>},
        {"snapshot", explore<snapshot>}, {"wake", explore<wake>},
    };
    if (count > 2)
        bug = arguments[2];
    return count < 2 || !scenes.at(arguments[1])();
}
