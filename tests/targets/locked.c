/* Contents of a file: mapped and read, then locked, then no longer. */
#include "target.h"

int main(void)
{
    long size = 32 * MIB;
    char name[64], *start;

    snprintf(name, sizeof name, "memgap-target-%d", getpid());
    start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file(name, size), 0);
    if (start == MAP_FAILED)
        fail("mmap");
    touch(start, size);
    ready("locked=0");
    if (mlock(start, size))
        fail("mlock");
    ready("locked=%ld", size);
    if (munlock(start, size))
        fail("munlock");
    ready("locked=0");
    return 0;
}
