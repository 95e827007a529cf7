/* The only loads and stores of words that other threads or processes may read.
 * Every one names its order. x86 hides a missing acquire or release, so nothing
 * outside this header may touch a shared word. */
#ifndef FASTMEM_ATOMICS_H
#define FASTMEM_ATOMICS_H
#include <stdint.h>

static inline uint64_t fm_load_acquire(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline uint64_t fm_load_relaxed(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}
/* Nor does the compiler move a later store before it, which costs nothing: who finishes what a
 * killed process had begun then meets a prefix of its program, plain stores included. */
static inline void fm_store_release(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static inline void fm_store_relaxed(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}
static inline int fm_swap_acquire(uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}
/* Store and full barrier: what is loaded after it is loaded after the store is seen. */
static inline void fm_exchange(uint64_t *word, uint64_t value) {
    (void)__atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
/* As fm_load_acquire, and never before an earlier fm_store_flag. */
static inline uint64_t fm_load_settled(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}
/* Add and return what was there before. */
static inline uint64_t fm_add(uint64_t *word, uint64_t value) {
    return __atomic_fetch_add(word, value, __ATOMIC_ACQ_REL);
}
static inline uint32_t fm_load_flag(const uint32_t *flag) {
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}
static inline void fm_store_flag(uint32_t *flag, uint32_t value) {
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}
static inline void fm_set_bits(uint8_t *byte, uint8_t bits) {
    (void)__atomic_fetch_or(byte, bits, __ATOMIC_RELAXED);
}
static inline void fm_clear_bits(uint8_t *byte, uint8_t bits) {
    (void)__atomic_fetch_and(byte, (uint8_t)~bits, __ATOMIC_RELAXED);
}
/* As fm_load_acquire, where no guard may be (faults.h): FM_GONE, which no shared word is, if the page
 * is missing. The handler knows the load by the no-op that follows it. */
#define FM_GONE 0xfffffffffffffffdULL
#if defined(__x86_64__)
#define FM_PEEKS 1
#define FM_PEEK_MARK {0x48, 0x8b, 0x00, 0x0f, 0x1f, 0x80, 'F', 'M', 'P', 'K'}
#define FM_PEEK_LOAD 3 /* bytes of it that are the load */
static inline uint64_t fm_peek(const uint64_t *word) {
    uint64_t value;
    __asm__ volatile("movq (%%rax), %%rax\n\t"
                     ".byte 0x0f, 0x1f, 0x80, 'F', 'M', 'P', 'K'"
                     : "=a"(value)
                     : "a"(word)
                     : "memory");
    return value;
}
#else /* no more than a load: who can goes by `peek` of faults.pxd */
#define FM_PEEKS 0
static inline uint64_t fm_peek(const uint64_t *word) { return fm_load_acquire(word); }
#endif
static inline void fm_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
#endif
