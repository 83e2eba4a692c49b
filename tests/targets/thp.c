/* Huge pages, where the kernel gives them: whole, lazily freed as a unit, and
 * unmapped in part. */
#include "target.h"

#define HUGE (2 * MIB)

int main(void)
{
    long size = 32 * MIB;
    char *start = map(size + HUGE);

    start += (HUGE - (long)start % HUGE) % HUGE;
    if (madvise(start, size, MADV_HUGEPAGE))
        perror("madvise"); /* no huge pages: small ones hold the same */
    touch(start, size);
    ready("resident=%ld lazy=0", size);
    if (madvise(start, size / 2, MADV_FREE))
        fail("madvise");
    ready("resident=%ld lazy=%ld", size, size / 2);
    if (munmap(start + size - MIB, MIB))
        fail("munmap");
    ready("resident=%ld lazy=%ld", size - MIB, size / 2);
    return 0;
}
