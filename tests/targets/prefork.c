/* Workers that inherit a heap and never write to it: each shows all of it as its own. */
#include "target.h"
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>

enum { WORKERS = 8, BLOCK = 4000, BLOCKS = 25000 };

static void worker(void)
{
    int pipes[2];
    char byte;
    pid_t pid;

    if (pipe(pipes) || (pid = fork()) < 0)
        fail("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(pipes[1], "x", 1) != 1)
            _exit(2);
        for (;;)
            pause();
    }
    if (read(pipes[0], &byte, 1) != 1)
        fail("read");
}

int main(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    for (int i = 0; i < BLOCKS; i++) {
        char *block = malloc(BLOCK);
        if (!block)
            fail("malloc");
        memset(block, 1, BLOCK);
    }
    for (int i = 0; i < WORKERS; i++)
        worker();
    ready("allocated=%ld workers=%d", (long)mallinfo2().uordblks, WORKERS);
    return 0;
}
