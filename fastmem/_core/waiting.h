/* What a process waits on for another: byte locks, which the kernel frees when their holder dies,
 * whatever its pid and container; and a futex. */
#ifndef FASTMEM_WAITING_H
#define FASTMEM_WAITING_H
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Lock bytes for an open file (F_RDLCK, F_WRLCK) or free them (F_UNLCK). 0, or errno: EAGAIN and
 * EACCES when another open file holds one of them. */
static inline int fm_lock_bytes(int fd, int64_t start, int64_t length, int kind) {
    struct flock lock = {.l_type = (short)kind, .l_whence = SEEK_SET,
                         .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &lock) ? errno : 0;
}

/* The first of these bytes that another open file holds, -1 when there is none, -2 for an error. */
static inline int64_t fm_held_byte(int fd, int64_t start, int64_t length) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET,
                         .l_start = start, .l_len = length};
    if (fcntl(fd, F_OFD_GETLK, &lock)) return -2;
    if (lock.l_type == F_UNLCK) return -1;
    return lock.l_start < start ? start : lock.l_start;
}

static inline void fm_futex_wait(uint32_t *flag, uint32_t value, long nanoseconds) {
    struct timespec most = {0, nanoseconds};
    syscall(SYS_futex, flag, FUTEX_WAIT, value, &most, NULL, 0);
}

static inline void fm_futex_wake(uint32_t *flag) {
    syscall(SYS_futex, flag, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static inline void fm_nap(long nanoseconds) {
    struct timespec most = {0, nanoseconds};
    nanosleep(&most, NULL);
}
#endif
