/* Memory that two children inherit, and that each of them writes a part of. */
#include "target.h"
#include <sys/prctl.h>
#include <signal.h>

enum { CHILDREN = 2 };

static pid_t child(char *start, long written)
{
    int pipes[2];
    char byte;
    pid_t pid;

    if (pipe(pipes) || (pid = fork()) < 0)
        fail("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        touch(start, written);
        if (write(pipes[1], "x", 1) != 1)
            _exit(2);
        for (;;)
            pause();
    }
    if (read(pipes[0], &byte, 1) != 1)
        fail("read");
    return pid;
}

int main(void)
{
    long size = 32 * MIB, written = 4 * MIB;
    char *start = map(size);
    pid_t a, b;

    touch(start, size);
    ready("whole=%ld", size);
    a = child(start, written);
    b = child(start, written);
    /* Counted in each RSS, yet in memory once but for the written parts. */
    ready("whole=%ld child=%d child_2=%d", size + CHILDREN * written, a, b);
    return 0;
}
