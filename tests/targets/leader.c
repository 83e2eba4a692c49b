/* A program whose first thread has ended while another goes on. */
#include "target.h"
#include <pthread.h>

static pthread_t first;

static void *other(void *unused)
{
    long size = 32 * MIB, held = 4 * MIB;
    char *start = map(size), *pool;
    int fd = memfd_create("pool", MFD_CLOEXEC);

    touch(start, size);
    if (fd < 0 || ftruncate(fd, held))
        fail("memfd_create");
    pool = mmap(NULL, held, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pool == MAP_FAILED)
        fail("mmap");
    touch(pool, held);
    munmap(pool, held);
    pthread_join(first, NULL);
    ready("heap=%ld memfd=%ld", size, held);
    exit(0);
    return unused;
}

int main(void)
{
    pthread_t thread;

    first = pthread_self();
    if (pthread_create(&thread, NULL, other, NULL))
        fail("pthread_create");
    pthread_exit(NULL);
}
