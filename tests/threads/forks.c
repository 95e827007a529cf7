/* A thread without the GIL forks while another one notes what children must not inherit, or closes
 * that. The other is stopped where the array has moved, or the file is just being closed, till the
 * fork has happened or cannot happen. The child tells by its end. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int amid, forked;

static void wait_for_the_fork(void) {
    amid = 1;
    for (int i = 0; i < 200 && !forked; i++) usleep(1000);
}

static void *moving(void *old, size_t size) {
    void *grown = malloc(size);
    if (old) {
        size_t held = malloc_usable_size(old);
        memcpy(grown, old, held < size ? held : size);
        memset(old, 0x55, held); /* as whoever gets it next would */
        wait_for_the_fork();
        free(old);
    }
    return grown;
}

static int closing(int fd) {
    wait_for_the_fork();
    return close(fd);
}

#define realloc moving
#define close closing
#include "forks.h"
#undef realloc
#undef close

enum { NOTED = 64 };
static int fds[NOTED];
static uint64_t words[NOTED];

static void *note(void *unused) {
    for (int i = 1; i < NOTED && !amid; i++) fm_do_not_inherit(&fds[i], &words[i]);
    return unused;
}

static void *end(void *unused) {
    fm_close_own(&fds[0]);
    return unused;
}

static int child(int number) {
    if (words[0] != 0) return 2;
    if (fds[0] != -1) return 3;
    return fcntl(number, F_GETFD) == -1 && errno == EBADF ? 0 : 4;
}

int main(int argc, char **argv) {
    pthread_t other;
    int number, status = 0;
    pid_t pid;
    for (int i = 1; i < NOTED; i++) fds[i] = -1;
    fds[0] = number = open("/dev/null", O_RDONLY);
    words[0] = 7;
    if (fm_do_not_inherit(&fds[0], NULL) || fm_do_not_inherit(NULL, &words[0])) return 9;
    pthread_create(&other, NULL, argc > 1 && !strcmp(argv[1], "close") ? end : note, NULL);
    while (!amid) sched_yield();
    pid = fork();
    if (pid == 0) _exit(child(number));
    forked = 1;
    waitpid(pid, &status, 0);
    pthread_join(other, NULL);
    printf("%d %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status));
    return 0;
}
