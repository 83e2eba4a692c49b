/* Huge pages of hugetlbfs: mapped, then half of them touched. */
#include "target.h"

int main(void)
{
    long size = 16 * MIB;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    if (start == MAP_FAILED)
        fail("mmap");
    ready("mapped=%ld used=0", size);
    touch(start, size / 2);
    ready("mapped=%ld used=%ld", size, size / 2);
    return 0;
}
