/* Shared memory that nobody maps: memory files kept open, and a System V segment that
 * outlives its mapping. A keeper removes the segment, however this ends. */
#include "memory_file.h"
#include <sys/ipc.h>
#include <sys/shm.h>

enum { FILES = 8 };

/* Waits until every other holder of the pipe has ended, then removes the segment. */
static void keep(int segment)
{
    int ends[2];
    char byte;

    if (pipe(ends))
        fail("pipe");
    switch (fork()) {
    case -1:
        fail("fork");
        break;
    case 0:
        close(ends[1]);
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        while (read(ends[0], &byte, 1) > 0)
            ;
        shmctl(segment, IPC_RMID, NULL);
        _exit(0);
    default:
        close(ends[0]);
    }
}

int main(void)
{
    long size = 2 * MIB;
    int segment = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    char *start;

    if (segment < 0)
        fail("shmget");
    keep(segment);
    start = shmat(segment, NULL, 0);
    if (start == (char *)-1)
        fail("shmat");
    touch(start, size);
    shmdt(start);
    for (int i = 0; i < FILES; i++) {
        memory_file("buffer-pool", size, &start);
        munmap(start, size);
    }
    /* This one stays mapped. */
    memory_file("mapped", size, &start);
    ready("memfd=%ld files=%d sysv=%ld mapped=%ld", FILES * size, FILES, size, size);
    return 0;
}
