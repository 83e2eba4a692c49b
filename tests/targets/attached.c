/* Shared memory of which this process holds pages, and others what they please: a child
 * wrote a part of it and is no more, another has it attached. */
#include "target.h"
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>

int main(void)
{
    long size = 64 * MIB, gone = 32 * MIB, own = 8 * MIB;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t writer, child;

    if (start == MAP_FAILED)
        fail("mmap");
    writer = fork();
    if (writer == 0) {
        touch(start, gone);
        _exit(0);
    }
    if (writer < 0 || waitpid(writer, NULL, 0) != writer)
        fail("fork");
    touch(start + gone, own);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    ready("size=%ld gone=%ld own=%ld child=%d", size, gone, own, child);
    kill(child, SIGKILL);
    return 0;
}
