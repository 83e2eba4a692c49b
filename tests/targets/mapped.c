/* A file in the working directory, mapped twice: shared and read, private and
 * in part written, which makes those pages anonymous. */
#include "target.h"

int main(void)
{
    long size = 16 * MIB, written = 4 * MIB;
    char name[64], *shared, *own;
    volatile char sum = 0;
    int fd;

    snprintf(name, sizeof name, "memgap-target-%d", getpid());
    fd = file(name, size);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    own = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (shared == MAP_FAILED || own == MAP_FAILED)
        fail("mmap");
    touch(shared, size);
    ready("file=%ld anonymous=0", size);
    for (long at = 0; at < size; at += 4096)
        sum += own[at];
    touch(own, written);
    ready("file=%ld anonymous=%ld", 2 * size - written, written);
    return 0;
}
