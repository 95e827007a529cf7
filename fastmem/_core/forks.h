/* What a forked child must do before anything else, whoever forked it and whether Python is told:
 * close the files whose byte locks say that its parent lives, or they would say so as long as the
 * child does; and forget under which name the parent takes the write lock. */
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

static void fm_after_fork(void) {
    size_t i;
    for (i = 0; i < fm_inherited_count; i++) {
        if (fm_inheritance[i].fd && *fm_inheritance[i].fd >= 0) {
            close(*fm_inheritance[i].fd);
            *fm_inheritance[i].fd = -1;
        }
        if (fm_inheritance[i].word) *fm_inheritance[i].word = 0;
    }
}

/* -1 when there is no memory. Under the GIL, as its counterpart. */
static inline int fm_do_not_inherit(int *fd, uint64_t *word) {
    if (fm_inherited_count == fm_inherited_room) {
        size_t room = 2 * fm_inherited_room + 8;
        fm_inherited *grown = realloc(fm_inheritance, room * sizeof(fm_inherited));
        if (grown == NULL) return -1;
        if (fm_inherited_room == 0 && pthread_atfork(NULL, NULL, fm_after_fork)) {
            fm_inheritance = grown;
            return -1;
        }
        fm_inheritance = grown;
        fm_inherited_room = room;
    }
    fm_inheritance[fm_inherited_count].fd = fd;
    fm_inheritance[fm_inherited_count].word = word;
    fm_inherited_count++;
    return 0;
}

static inline void fm_inherit(const int *fd, const uint64_t *word) {
    size_t i;
    for (i = 0; i < fm_inherited_count; i++)
        if (fm_inheritance[i].fd == fd && fm_inheritance[i].word == word) {
            fm_inheritance[i] = fm_inheritance[--fm_inherited_count];
            return;
        }
}
#endif
