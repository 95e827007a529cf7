/* The only loads and stores of words that other threads or processes may read.
 * Five operations; every one names its order. x86 hides a missing acquire or
 * release, so nothing outside this header may touch a shared word. */
#ifndef FASTMEM_ATOMICS_H
#define FASTMEM_ATOMICS_H
#include <stdint.h>

static inline uint64_t fm_load_acquire(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline uint64_t fm_load_relaxed(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}
static inline void fm_store_release(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline void fm_store_relaxed(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline int fm_swap_acquire(uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}
#endif
