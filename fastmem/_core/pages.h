/* Memory for arrays that grow large, in whole mappings: cleared by the kernel page by page when it
 * is first touched, moved by page tables and not by copy, so that allocating and growing cost next
 * to nothing at any size.
 *
 * Huge pages make a hit in a large cache a third faster, but clearing one takes a moment (5 ms on a
 * virtual machine whose host supplies memory lazily), which must not fall into somebody's put. So
 * memory is first touched in small pages, and they are joined into huge ones behind the place where
 * it fills up (joining.h): no page is taken that is not in use from end to end. */
#ifndef FASTMEM_PAGES_H
#define FASTMEM_PAGES_H
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FM_MAPPED ((size_t)1 << 18) /* smaller arrays come from malloc, and grow by copy */
#define FM_SMALL_PAGE ((uintptr_t)1 << 16) /* or a multiple of one */

#ifdef __linux__
#include "joining.h"

static inline size_t fm_whole(size_t bytes) {
    return (bytes + FM_HUGE_PAGE - 1) & ~(FM_HUGE_PAGE - 1);
}

/* Address space that begins on a huge page; not memory yet. */
static inline char *fm_reserve(size_t bytes) {
    size_t head;
    char *all = mmap(NULL, bytes + FM_HUGE_PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) return NULL;
    head = (size_t)(-(uintptr_t)all & (FM_HUGE_PAGE - 1));
    if (head) munmap(all, head);
    munmap(all + head + bytes, FM_HUGE_PAGE - head);
    return all + head;
}

static inline char *fm_map(size_t bytes) {
    char *at = fm_reserve(bytes);
    if (at == NULL) return NULL;
    if (mprotect(at, bytes, PROT_READ | PROT_WRITE)) {
        munmap(at, bytes);
        return NULL;
    }
    (void)madvise(at, bytes, MADV_NOHUGEPAGE);
    return at;
}

/* Both places begin on a huge page, so whole page tables move. */
static inline char *fm_remap(char *old, size_t old_bytes, size_t bytes) {
    char *moved, *at = mremap(old, old_bytes, bytes, 0);
    if (at == MAP_FAILED) {
        at = fm_reserve(bytes);
        if (at == NULL) return NULL;
        fm_hold(old, old + old_bytes);
        moved = mremap(old, old_bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at);
        fm_let_go(old, old + old_bytes, moved == MAP_FAILED ? old : at);
        if (moved == MAP_FAILED) {
            munmap(at, bytes);
            return NULL;
        }
    }
    (void)madvise(at + old_bytes, bytes - old_bytes, MADV_NOHUGEPAGE);
    return at;
}
#endif

/* Zeroed; NULL when there is no memory. To be freed with its size. */
static inline void *fm_array_new(size_t bytes) {
#ifdef __linux__
    if (bytes >= FM_MAPPED) return fm_map(fm_whole(bytes));
#endif
    return PyMem_RawCalloc(1, bytes);
}

static inline void fm_array_free(void *array, size_t bytes) {
#ifdef __linux__
    if (bytes >= FM_MAPPED) {
        char *end = (char *)array + fm_whole(bytes);
        fm_hold(array, end);
        munmap(array, fm_whole(bytes));
        fm_let_go(array, end, NULL);
        return;
    }
#endif
    PyMem_RawFree(array);
}

/* What lies between two addresses is in use from end to end. */
static inline void fm_array_filled(void *from, void *to) {
#ifdef __linux__
    char *start = from, *end = to;
    start += -(uintptr_t)start & (FM_HUGE_PAGE - 1);
    end -= (uintptr_t)end & (FM_HUGE_PAGE - 1);
    if (start < end && madvise(start, (size_t)(end - start), MADV_HUGEPAGE) == 0)
        fm_join_soon(start, end);
#else
    (void)from;
    (void)to;
#endif
}

/* Returns when nothing is being joined, nor waits for it. */
static inline void fm_pages_settle(void) {
#ifdef __linux__
    fm_settle();
#endif
}

/* A full array with room behind, zeroed; NULL when there is no memory, and nothing has changed. */
static inline void *fm_array_grow(void *array, size_t old_bytes, size_t bytes) {
    void *bigger;
#ifdef __linux__
    if (old_bytes >= FM_MAPPED) {
        size_t whole = fm_whole(old_bytes);
        if (whole == fm_whole(bytes)) return array;
        (void)madvise(array, whole, MADV_HUGEPAGE); /* one mapping again: only that can move */
        bigger = fm_remap(array, whole, fm_whole(bytes));
        if (bigger != NULL) return bigger;
    }
#endif
    bigger = fm_array_new(bytes);
    if (bigger == NULL) return NULL;
    memcpy(bigger, array, old_bytes);
    fm_array_free(array, old_bytes);
    return bigger;
}

/* Gives back the whole pages between two addresses of an array; what is there is lost. */
static inline void fm_array_discard(void *from, void *to) {
#ifdef __linux__
    char *start = from, *end = to;
    start += -(uintptr_t)start & (FM_SMALL_PAGE - 1);
    end -= (uintptr_t)end & (FM_SMALL_PAGE - 1);
    if (start >= end) return;
    fm_hold(start, end);
    (void)madvise(start, (size_t)(end - start), MADV_DONTNEED);
    fm_let_go(start, end, NULL);
#else
    (void)from;
    (void)to;
#endif
}
#endif
