/* Faults under mappings. The kernel answers a touch of a mapped page that it cannot supply (the file
 * was cut, the device failed, there is no room for a hole) with SIGBUS. Work that touches mapped
 * bytes runs under a guard: such a fault then ends the work, and not the process.
 *
 * One handler serves the process. What is no fault of ours it hands to whatever was installed when
 * it came, which cannot tell the difference. Somebody may install a handler on top of it later, one
 * that knows of ours or one that does not: `fm_stay` then goes on top again, and hands theirs what is
 * not ours. Each time it is another function with one handler below it for good, so that whoever puts
 * back what was there before him gets just that, and no circle comes of it. */
#ifndef FASTMEM_FAULTS_H
#define FASTMEM_FAULTS_H
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "atomics.h"

/* -- which bytes are ours: read by the handler, so nothing here is ever moved or freed ------------ */

typedef struct {
    uintptr_t base; /* 0: free */
    size_t size;
} fm_range;

#define FM_RANGES 256
typedef struct fm_ranges {
    fm_range range[FM_RANGES];
    struct fm_ranges *more;
} fm_ranges;

static fm_ranges fm_watched;

/* 0 when there is no memory. */
static int fm_watch(const void *base, size_t size) {
    fm_ranges *at = &fm_watched, *none, *fresh;
    for (;;) {
        for (int i = 0; i < FM_RANGES; i++) {
            uintptr_t unused = 0;
            if (!__atomic_compare_exchange_n(&at->range[i].base, &unused, (uintptr_t)base, 0,
                                             __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                continue;
            __atomic_store_n(&at->range[i].size, size, __ATOMIC_RELEASE);
            return 1;
        }
        if (__atomic_load_n(&at->more, __ATOMIC_ACQUIRE) == NULL) {
            none = NULL;
            fresh = calloc(1, sizeof(fm_ranges));
            if (fresh == NULL) return 0;
            if (!__atomic_compare_exchange_n(&at->more, &none, fresh, 0, __ATOMIC_ACQ_REL,
                                             __ATOMIC_ACQUIRE))
                free(fresh);
        }
        at = __atomic_load_n(&at->more, __ATOMIC_ACQUIRE);
    }
}

static fm_range *fm_range_of(uintptr_t address, int exactly) {
    fm_ranges *at = &fm_watched;
    for (; at != NULL; at = __atomic_load_n(&at->more, __ATOMIC_ACQUIRE)) {
        for (int i = 0; i < FM_RANGES; i++) {
            uintptr_t base = __atomic_load_n(&at->range[i].base, __ATOMIC_ACQUIRE);
            size_t size = __atomic_load_n(&at->range[i].size, __ATOMIC_ACQUIRE);
            if (base != 0 && (exactly ? base == address : address - base < size))
                return &at->range[i];
        }
    }
    return NULL;
}

/* Before the range is unmapped: its addresses may then be somebody else's. */
static void fm_unwatch(const void *base) {
    fm_range *range = fm_range_of((uintptr_t)base, 1);
    if (range == NULL) return;
    __atomic_store_n(&range->size, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&range->base, 0, __ATOMIC_RELEASE);
}

/* -- the guard ------------------------------------------------------------------------------------ */

/* A guard saves no more than where to go on: a dozen instructions less than sigsetjmp's fifty. Clang
 * has the same for some processors only. */
#if defined(__x86_64__) || defined(__GNUC__) && !defined(__clang__)
typedef void *fm_place[5];
#define fm_begin(place) __builtin_setjmp(place)
#define fm_end(place) __builtin_longjmp(place, 1)
#else
typedef sigjmp_buf fm_place;
#define fm_begin(place) sigsetjmp(place, 0)
#define fm_end(place) siglongjmp(place, 1)
#endif

typedef struct fm_guard {
    fm_place place;
    struct fm_guard *outer;
    volatile uintptr_t at; /* where the fault was */
    int waits;             /* a SIGBUS that is no fault came meanwhile */
    siginfo_t sent;        /* it */
} fm_guard;

/* A few bytes in the static block: the handler must not be the one that allocates them. */
static __thread fm_guard *fm_here __attribute__((tls_model("initial-exec")));

typedef void (*fm_work)(void *facts);

static void fm_send_again(const siginfo_t *sent) {
    siginfo_t again = *sent;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &again);
}

static __attribute__((noinline)) uintptr_t fm_after_fault(fm_guard *guard) {
    fm_here = guard->outer;
    /* A handler above ours may have raised it, for the very fault that has come to us since. */
    if (guard->waits && !(guard->sent.si_code == SI_TKILL && guard->sent.si_pid == getpid()))
        fm_send_again(&guard->sent);
    return guard->at;
}

/* 0 when the work is done; the address of the fault that ended it. What it had changed by then stays
 * changed. The work is C alone: it calls no Python, allocates nothing, and takes no lock. */
static __attribute__((noinline)) uintptr_t fm_guarded(fm_work work, void *facts) {
    fm_guard guard;
    guard.outer = fm_here;
    guard.waits = 0;
    if (__builtin_expect(fm_begin(guard.place) != 0, 0)) return fm_after_fault(&guard);
    fm_here = &guard;
    work(facts);
    fm_here = guard.outer;
    if (__builtin_expect(guard.waits, 0)) fm_send_again(&guard.sent);
    return 0;
}

typedef int (*fm_between)(void *facts);

/* The same for two pieces of work. Between them, and unguarded, `between` runs, which may do what the
 * work may not, and says whether there is a second: one guard costs less than two. */
static __attribute__((noinline)) uintptr_t fm_guarded_pair(fm_work first, fm_between between,
                                                           fm_work second, void *facts) {
    fm_guard guard;
    guard.outer = fm_here;
    guard.waits = 0;
    if (__builtin_expect(fm_begin(guard.place) != 0, 0)) return fm_after_fault(&guard);
    fm_here = &guard;
    first(facts);
    fm_here = guard.outer;
    if (between(facts)) {
        fm_here = &guard;
        second(facts);
        fm_here = guard.outer;
    }
    if (__builtin_expect(guard.waits, 0)) fm_send_again(&guard.sent);
    return 0;
}

/* -- the handler ---------------------------------------------------------------------------------- */

#define FM_TURNS 8
static struct sigaction fm_below[FM_TURNS];
static int fm_turns; /* how many are, or have been, installed */

static int fm_is_fault(const siginfo_t *info) {
    return info->si_code == BUS_ADRALN || info->si_code == BUS_ADRERR ||
           info->si_code == BUS_OBJERR || info->si_code == BUS_MCEERR_AR;
}

/* What happens without any handler, a core dump included. */
static void fm_die(const siginfo_t *info) {
    struct sigaction none;
    sigset_t bus;
    memset(&none, 0, sizeof(none));
    none.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &none, NULL);
    if (fm_is_fault(info)) return; /* to the instruction, which faults again */
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
    fm_send_again(info);
}

/* As the kernel would have called it. */
static void fm_hand_down(struct sigaction *below, int number, siginfo_t *info, void *context) {
    struct sigaction action = *below;
    sigset_t blocked, before;
    if (!(action.sa_flags & SA_SIGINFO)) {
        if (action.sa_handler == SIG_IGN && !fm_is_fault(info)) return;
        if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) {
            fm_die(info);
            return;
        }
    }
    if (action.sa_flags & SA_RESETHAND) {
        below->sa_flags &= ~SA_SIGINFO;
        below->sa_handler = SIG_DFL;
    }
    blocked = action.sa_mask;
    if (!(action.sa_flags & SA_NODEFER)) sigaddset(&blocked, SIGBUS);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    if (action.sa_flags & SA_SIGINFO)
        action.sa_sigaction(number, info, context);
    else
        action.sa_handler(number);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A fault of fm_peek: as if it had loaded FM_GONE. */
static int fm_pass_peek(void *context) {
#if FM_PEEKS
    static const unsigned char mark[] = FM_PEEK_MARK;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const volatile unsigned char *at = (const unsigned char *)registers[REG_RIP];
    for (size_t i = 0; i < sizeof(mark); i++) /* not a byte beyond the first that differs */
        if (at[i] != mark[i]) return 0;
    registers[REG_RAX] = (greg_t)FM_GONE;
    registers[REG_RIP] += FM_PEEK_LOAD;
    return 1;
#else
    (void)context;
    return 0;
#endif
}

static void fm_on_bus(int turn, int number, siginfo_t *info, void *context) {
    int kept = errno;
    fm_guard *guard = fm_here;
    if (fm_is_fault(info) && fm_range_of((uintptr_t)info->si_addr, 0) != NULL &&
        fm_pass_peek(context)) {
        errno = kept;
        return;
    }
    if (guard != NULL && fm_is_fault(info)) {
        if (fm_range_of((uintptr_t)info->si_addr, 0) != NULL) {
            guard->at = (uintptr_t)info->si_addr;
            fm_end(guard->place);
        }
    } else if (guard != NULL) {
        /* Sent by somebody: a moment later, when it can be told from a fault that is told twice. */
        guard->sent = *info;
        guard->waits = 1;
        return;
    }
    fm_hand_down(&fm_below[turn], number, info, context);
    errno = kept;
}

#define FM_TURN(n) \
    static void fm_turn_##n(int number, siginfo_t *info, void *context) { \
        fm_on_bus(n, number, info, context); \
    }
FM_TURN(0) FM_TURN(1) FM_TURN(2) FM_TURN(3) FM_TURN(4) FM_TURN(5) FM_TURN(6) FM_TURN(7)
static void (*const fm_turn[FM_TURNS])(int, siginfo_t *, void *) = {
    fm_turn_0, fm_turn_1, fm_turn_2, fm_turn_3, fm_turn_4, fm_turn_5, fm_turn_6, fm_turn_7,
};

static int fm_is_ours(const struct sigaction *action) {
    for (int i = 0; i < FM_TURNS; i++)
        if (action->sa_flags & SA_SIGINFO && action->sa_sigaction == fm_turn[i]) return 1;
    return 0;
}

static int fm_same(const struct sigaction *one, const struct sigaction *other) {
    return one->sa_flags == other->sa_flags && one->sa_handler == other->sa_handler &&
           one->sa_sigaction == other->sa_sigaction;
}

static pthread_mutex_t fm_staying = PTHREAD_MUTEX_INITIALIZER;

/* Have SIGBUS come to us first. One system call where it does already. */
static void fm_stay(void) {
    struct sigaction now, ours;
    int turn;
    if (sigaction(SIGBUS, NULL, &now) != 0 || fm_is_ours(&now)) return;
    if (pthread_mutex_trylock(&fm_staying) != 0) return; /* another thread is at it */
    if (sigaction(SIGBUS, NULL, &now) == 0 && !fm_is_ours(&now)) {
        turn = fm_turns > 0 && fm_same(&fm_below[fm_turns - 1], &now) ? fm_turns - 1
               : fm_turns < FM_TURNS                                  ? fm_turns++
                                                                      : FM_TURNS - 1;
        fm_below[turn] = now;
        memset(&ours, 0, sizeof(ours));
        ours.sa_sigaction = fm_turn[turn];
        /* Not deferred: a jump out of the handler leaves the signal as it was, unblocked. */
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
        sigaction(SIGBUS, &ours, NULL);
    }
    pthread_mutex_unlock(&fm_staying);
}
#endif
