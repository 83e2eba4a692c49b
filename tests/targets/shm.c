/* Shared memory of every kind, each wholly touched. */
#include "target.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static void share(int fd, long size)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (start == MAP_FAILED)
        fail("mmap");
    touch(start, size);
}

int main(void)
{
    long size = 8 * MIB;
    int memfd, id;
    char name[64], *start;

    share(-1, size);
    ready("shmem=%ld", size);

    memfd = memfd_create("target", 0);
    if (memfd < 0 || ftruncate(memfd, size))
        fail("memfd_create");
    share(memfd, size);
    ready("shmem=%ld", 2 * size);

    id = shmget(IPC_PRIVATE, size, 0600);
    if (id < 0)
        fail("shmget");
    start = shmat(id, NULL, 0);
    /* Gone when the last user is. */
    if (shmctl(id, IPC_RMID, NULL) || start == (char *)-1)
        fail("shmat");
    touch(start, size);
    ready("shmem=%ld", 3 * size);

    snprintf(name, sizeof name, "/dev/shm/memgap-target-%d", getpid());
    share(file(name, size), size);
    ready("shmem=%ld", 4 * size);
    return 0;
}
