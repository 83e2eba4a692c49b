/* Equal pages that the kernel may merge (KSM). */
#include "target.h"

int main(void)
{
    long size = 32 * MIB;
    char *start = map(size);

    if (madvise(start, size, MADV_MERGEABLE)) {
        ready("equal=0");
        return 0;
    }
    for (long at = 0; at < size; at += 4096)
        memset(start + at, 'a' + at / 4096 % 2, 4096);
    ready("equal=%ld", size);
    return 0;
}
