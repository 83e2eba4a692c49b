/* Memory that is written, swapped out where the machine has swap, and read again. */
#include "target.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

int main(void)
{
    long size = 32 * MIB;
    char *start = map(size);

    touch(start, size);
    ready("written=%ld", size);
    if (madvise(start, size, MADV_PAGEOUT))
        fail("madvise");
    ready("written=%ld", size);
    touch(start, size);
    ready("written=%ld", size);
    return 0;
}
