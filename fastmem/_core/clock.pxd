"""Time inside a process: nanoseconds of CLOCK_BOOTTIME, which counts while the machine sleeps.

`boot_now_ns()`    the exact clock, about 30 ns.
`coarse_now_ns()`  the same time line, at most one kernel tick (1 to 10 ms) behind, about 2 ns:
                   CLOCK_MONOTONIC_COARSE plus the distance between the two clocks. That distance
                   changes only while the machine is suspended; it is read again by every
                   `deadline_after()` and whenever a second went by since the last time, so after a
                   suspend an entry may outlive its deadline by at most one second.
`wall_now_ms()`    milliseconds since 1970, as `time.time` counts them.
`deadline_after()` the deadline a number of nanoseconds from now; 0 (never) of 0, and when it
                   overflows.

None of these fails, runs Python or needs the GIL. Each compiled unit keeps a distance of its own.
The kernel's own function is called, not the C library's around it, which doubles the cost of a
coarse reading. Off Linux the others read CLOCK_MONOTONIC.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef FASTMEM_CLOCK
    #define FASTMEM_CLOCK
    #include <stdint.h>
    #include <time.h>
    static int (*fm_clock_gettime)(clockid_t, struct timespec *) = clock_gettime;
    #ifdef __linux__
    #include <dlfcn.h>
    __attribute__((constructor)) static void fm_find_clock(void) {
        /* one of them, by processor; the C library's stays where the kernel exports neither */
        void *library = dlopen("linux-vdso.so.1", RTLD_NOW | RTLD_NOLOAD), *found = NULL;
        if (library != NULL) found = dlsym(library, "__vdso_clock_gettime");
        if (library != NULL && found == NULL) found = dlsym(library, "__kernel_clock_gettime");
        if (found != NULL) *(void **)&fm_clock_gettime = found;
    }
    #define FM_EXACT CLOCK_BOOTTIME
    #define FM_COARSE CLOCK_MONOTONIC_COARSE
    #else
    #define FM_EXACT CLOCK_MONOTONIC
    #define FM_COARSE CLOCK_MONOTONIC
    #endif
    #define FM_SECOND INT64_C(1000000000)

    static int64_t fm_boot_minus_monotonic;
    static int64_t fm_measured_at = INT64_MIN / 2;

    static inline int64_t fm_read_clock(clockid_t clock) {
        struct timespec t;
        fm_clock_gettime(clock, &t);
        return (int64_t)t.tv_sec * FM_SECOND + t.tv_nsec;
    }

    /* The exact clock is read first: a thread stopped between the two reads makes the distance
       too short, so entries live a moment too long rather than vanish early. A second try when
       the pair took suspiciously long keeps that moment small. Two threads may write at once:
       both values are right. Returns the exact time. */
    static int64_t fm_measure_clocks(void) {
        int64_t exact, monotonic;
        int tries = 3;
        do {
            exact = fm_read_clock(FM_EXACT);
            monotonic = fm_read_clock(CLOCK_MONOTONIC);
        } while (--tries && fm_read_clock(FM_EXACT) - exact > 100000);
        __atomic_store_n(&fm_boot_minus_monotonic, exact - monotonic, __ATOMIC_RELAXED);
        __atomic_store_n(&fm_measured_at, monotonic, __ATOMIC_RELAXED);
        return exact;
    }

    static inline uint64_t fm_wall_now_ms(void) {
        return (uint64_t)(fm_read_clock(CLOCK_REALTIME) / 1000000);
    }

    static inline int64_t fm_boot_now_ns(void) { return fm_read_clock(FM_EXACT); }

    static inline int64_t fm_coarse_now_ns(void) {
        int64_t now = fm_read_clock(FM_COARSE);
        if (now - __atomic_load_n(&fm_measured_at, __ATOMIC_RELAXED) > FM_SECOND)
            fm_measure_clocks();
        return now + __atomic_load_n(&fm_boot_minus_monotonic, __ATOMIC_RELAXED);
    }

    static inline int64_t fm_deadline_after(int64_t ttl_ns) {
        int64_t deadline;
        if (ttl_ns == 0 || __builtin_add_overflow(fm_measure_clocks(), ttl_ns, &deadline)) return 0;
        return deadline;
    }
    #endif
    """
    uint64_t wall_now_ms "fm_wall_now_ms"() noexcept nogil
    int64_t boot_now_ns "fm_boot_now_ns"() noexcept nogil
    int64_t coarse_now_ns "fm_coarse_now_ns"() noexcept nogil
    int64_t deadline_after "fm_deadline_after"(int64_t ttl_ns) noexcept nogil


# Nanoseconds of a caller's `ttl_seconds`: int, float, timedelta, or anything with `__index__`;
# None, infinity and what does not fit (about 290 years) are 0, never. TypeError for bool, str and
# the rest; ValueError for zero, negative and NaN. Runs user code only for foreign types.
cdef int64_t ttl_ns(object ttl_seconds) except -1
