/* What a forked child must do before anything else, whoever forked it and whether Python is told:
 * close the files whose byte locks say that its parent lives, or they would say so as long as the
 * child does; and forget under which name the parent takes the write lock.
 *
 * A thread without the GIL may fork at any moment. What is noted changes under a mutex that a fork
 * waits for, so the child finds it whole; a file is closed under it, too, and never known to nobody
 * while it is still open. */
#ifndef FASTMEM_FORKS_H
#define FASTMEM_FORKS_H
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    int *fd;         /* closed and set to -1, if it is given */
    uint64_t *word;  /* set to 0, if it is given */
} fm_inherited;

static fm_inherited *fm_inheritance;
static size_t fm_inherited_count, fm_inherited_room;
static pthread_mutex_t fm_inheritance_lock = PTHREAD_MUTEX_INITIALIZER;

static void fm_ahead_of_fork(void) { pthread_mutex_lock(&fm_inheritance_lock); }

static void fm_after_fork_in_parent(void) { pthread_mutex_unlock(&fm_inheritance_lock); }

static void fm_after_fork(void) {
    size_t i;
    for (i = 0; i < fm_inherited_count; i++) {
        if (fm_inheritance[i].fd && *fm_inheritance[i].fd >= 0) {
            close(*fm_inheritance[i].fd);
            *fm_inheritance[i].fd = -1;
        }
        if (fm_inheritance[i].word) *fm_inheritance[i].word = 0;
    }
    pthread_mutex_unlock(&fm_inheritance_lock);
}

static int fm_forks_unseen = -1;

static void fm_see_forks(void) {
    fm_forks_unseen = pthread_atfork(fm_ahead_of_fork, fm_after_fork_in_parent, fm_after_fork);
}

/* -1 when there is no memory. */
static inline int fm_do_not_inherit(int *fd, uint64_t *word) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int failed = 0;
    pthread_once(&once, fm_see_forks);
    if (fm_forks_unseen) return -1;
    pthread_mutex_lock(&fm_inheritance_lock);
    if (fm_inherited_count == fm_inherited_room) {
        size_t room = 2 * fm_inherited_room + 8;
        fm_inherited *grown = realloc(fm_inheritance, room * sizeof(fm_inherited));
        if (grown == NULL) {
            failed = -1;
        } else {
            fm_inheritance = grown;
            fm_inherited_room = room;
        }
    }
    if (!failed) fm_inheritance[fm_inherited_count++] = (fm_inherited){fd, word};
    pthread_mutex_unlock(&fm_inheritance_lock);
    return failed;
}

/* Under the lock. */
static inline void fm_forget_inherited(const int *fd, const uint64_t *word) {
    size_t i;
    for (i = 0; i < fm_inherited_count; i++)
        if (fm_inheritance[i].fd == fd && fm_inheritance[i].word == word) {
            fm_inheritance[i] = fm_inheritance[--fm_inherited_count];
            return;
        }
}

/* From here on children inherit the word; no effect when they do already. */
static inline void fm_inherit(const uint64_t *word) {
    pthread_mutex_lock(&fm_inheritance_lock);
    fm_forget_inherited(NULL, word);
    pthread_mutex_unlock(&fm_inheritance_lock);
}

/* Close a file, whether children were to inherit it or not. */
static inline void fm_close_own(int *fd) {
    pthread_mutex_lock(&fm_inheritance_lock);
    fm_forget_inherited(fd, NULL);
    if (*fd >= 0) close(*fd);
    *fd = -1;
    pthread_mutex_unlock(&fm_inheritance_lock);
}
#endif
