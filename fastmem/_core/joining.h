/* Joins small pages into huge ones where an array is full, in a thread that lives while there is
 * something to join.
 *
 * The kernel copies 2 MiB while nobody may touch them: half a millisecond. Before that it takes a
 * huge page, and on a virtual machine whose host supplies memory lazily the first touch of one
 * takes another 5 ms. So the thread has a huge page made for itself, touches it and gives it back,
 * which leaves it on top of the kernel's list, and only then asks for the joining: what a put or a
 * get may have to wait for, in a page fault, is the half millisecond. It learns from that page, too,
 * whether the system gives huge pages to this process at all ("never", a limit of memory, none in
 * one piece); MADV_COLLAPSE by itself goes over a "never".
 *
 * Invariants. The thread reads and writes no memory but its own, runs no Python and knows no GIL;
 * it blocks every signal. An address is in the kernel's hands only while `joining` names it, and
 * whoever unmaps or moves a range holds it first (fm_hold): nothing is ever joined that somebody
 * else may have mapped there since. `lock` is never held across a system call that takes long. There
 * is no thread during a fork, and nothing is waiting after it: what parent and child share stays as
 * it is. Where no thread can be had, or the kernel (before 6.1) knows no MADV_COLLAPSE, the advice
 * remains that the kernel was given, and it joins in its own time. */
#ifndef FASTMEM_JOINING_H
#define FASTMEM_JOINING_H
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define FM_HUGE_PAGE ((size_t)1 << 21)
#define FM_WAITING 64 /* ranges; what comes when there are as many is left to the kernel */
#define FM_JOINER_STACK ((long)1 << 16)

typedef struct {
    char *start; /* both on the boundary of a huge page */
    char *end;
} fm_range;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    int started;       /* `thread` is still to be joined with */
    int working;       /* it has not left yet */
    int forking;       /* it shall leave */
    int known;         /* the kernel knows MADV_COLLAPSE: 1 yes, -1 no */
    char *joining;     /* the huge page in the kernel's hands, or NULL */
    unsigned waiting;
    fm_range ranges[FM_WAITING];
} fm_joiner;

#define FM_NO_JOINER {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static fm_joiner fm_joins = FM_NO_JOINER;

/* A huge page that was touched and given back; 0 when the system gave none. */
static int fm_make_huge_page(void) {
    unsigned char resident = 0;
    char *page, *room = mmap(NULL, 2 * FM_HUGE_PAGE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return 0;
    page = room + (-(uintptr_t)room & (FM_HUGE_PAGE - 1));
    if (madvise(page, FM_HUGE_PAGE, MADV_HUGEPAGE) == 0) {
        *(volatile char *)page = 1;
        (void)mincore(page + FM_HUGE_PAGE / 2, 1, &resident);
    }
    munmap(room, 2 * FM_HUGE_PAGE);
    return resident & 1;
}

/* The next huge page that waits, taken off; called with the lock held and something waiting. */
static char *fm_next(fm_joiner *j) {
    fm_range *range = j->ranges;
    char *page = range->start;
    range->start += FM_HUGE_PAGE;
    if (range->start == range->end) *range = j->ranges[--j->waiting];
    return page;
}

static void *fm_join_waiting(void *joiner) {
    fm_joiner *j = joiner;
    (void)prctl(PR_SET_NAME, "fastmem-pages");
    pthread_mutex_lock(&j->lock);
    while (j->waiting && !j->forking && j->known >= 0) {
        int failed, made;
        pthread_mutex_unlock(&j->lock);
        made = fm_make_huge_page();
        pthread_mutex_lock(&j->lock);
        if (j->waiting == 0 || j->forking) continue; /* withdrawn meanwhile */
        j->joining = fm_next(j);
        if (made) {
            pthread_mutex_unlock(&j->lock);
            failed = madvise(j->joining, FM_HUGE_PAGE, MADV_COLLAPSE) ? errno : 0;
            pthread_mutex_lock(&j->lock);
            if (failed == 0) j->known = 1;
            if (failed == EINVAL && j->known == 0) j->known = -1;
        }
        j->joining = NULL;
        pthread_cond_broadcast(&j->changed);
    }
    if (j->known < 0) j->waiting = 0;
    j->working = 0;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static void fm_before_fork(void) {
    fm_joiner *j = &fm_joins;
    pthread_mutex_lock(&j->lock);
    j->forking++;
    j->waiting = 0;
    if (j->started) {
        pthread_t thread = j->thread;
        j->started = 0;
        pthread_mutex_unlock(&j->lock);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&j->lock);
    }
    while (j->working) pthread_cond_wait(&j->changed, &j->lock); /* another one joins with it */
}

static void fm_after_fork_in_parent(void) {
    fm_joins.forking--;
    pthread_mutex_unlock(&fm_joins.lock);
}

static void fm_after_fork_in_child(void) {
    const fm_joiner none = FM_NO_JOINER;
    int known = fm_joins.known;
    fm_joins = none;
    fm_joins.known = known;
}

static void fm_register_for_forks(void) {
    if (pthread_atfork(fm_before_fork, fm_after_fork_in_parent, fm_after_fork_in_child))
        fm_joins.known = -1;
}

/* Called with the lock held. */
static void fm_start_joiner(fm_joiner *j) {
    long least = sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_t attributes;
    sigset_t all, before;
    if (j->started) pthread_join(j->thread, NULL); /* it has left */
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, least > FM_JOINER_STACK ? least : FM_JOINER_STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    j->started = j->working = !pthread_create(&j->thread, &attributes, fm_join_waiting, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!j->working) j->waiting = 0;
}

/* `start` and `end` lie on the boundaries of huge pages, in memory advised MADV_HUGEPAGE. */
static void fm_join_soon(char *start, char *end) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fm_joiner *j = &fm_joins;
    pthread_once(&once, fm_register_for_forks);
    pthread_mutex_lock(&j->lock);
    if (j->known >= 0 && !j->forking && j->waiting < FM_WAITING) {
        j->ranges[j->waiting++] = (fm_range){start, end};
        if (!j->working) fm_start_joiner(j);
    }
    pthread_mutex_unlock(&j->lock);
}

/* From here to fm_let_go nothing between the two addresses is in the kernel's hands. */
static void fm_hold(const char *from, const char *to) {
    fm_joiner *j = &fm_joins;
    pthread_mutex_lock(&j->lock);
    while (j->joining != NULL && from <= j->joining && j->joining < to)
        pthread_cond_wait(&j->changed, &j->lock);
}

/* What waited there has moved to `now`; NULL: it is gone. */
static void fm_let_go(const char *from, const char *to, char *now) {
    fm_joiner *j = &fm_joins;
    unsigned i = 0;
    while (i < j->waiting) {
        fm_range *range = &j->ranges[i];
        if (range->end <= from || to <= range->start) {
            i++;
        } else if (now == NULL) {
            *range = j->ranges[--j->waiting];
        } else {
            range->start = now + (range->start - from);
            range->end = now + (range->end - from);
            i++;
        }
    }
    pthread_mutex_unlock(&j->lock);
}

/* Returns when nothing is waiting to be joined. */
static void fm_settle(void) {
    pthread_mutex_lock(&fm_joins.lock);
    while (fm_joins.working) pthread_cond_wait(&fm_joins.changed, &fm_joins.lock);
    pthread_mutex_unlock(&fm_joins.lock);
}
#endif
