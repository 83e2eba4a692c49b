/* Memory that the kernel may drop when it is short, written: MAP_DROPPABLE (Linux 6.11). */
#include "target.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

int main(void)
{
    long size = 32 * MIB;
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);

    if (start == MAP_FAILED)
        size = 0;
    touch(start, size);
    ready("droppable=%ld", size);
    return 0;
}
