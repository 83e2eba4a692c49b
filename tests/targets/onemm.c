/* Two processes with one memory: a child that clone made without a copy. */
#include "target.h"
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

static int wait_for_end(void *unused)
{
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
    return 0;
}

int main(void)
{
    long size = 32 * MIB, stack = 64 << 10;
    char *start = map(size), *end = map(stack) + stack;
    pid_t child;

    touch(start, size);
    child = clone(wait_for_end, end, CLONE_VM | SIGCHLD, NULL);
    if (child < 0)
        fail("clone");
    ready("heap=%ld child=%d", size, child);
    kill(child, SIGKILL);
    return 0;
}
