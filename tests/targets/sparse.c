/* Huge pages, where the kernel gives them, of which one small page each is needed. */
#include "target.h"

#define HUGE (2 * MIB)

int main(void)
{
    long size = 64 * MIB;
    char *start = map(size + HUGE);

    start += (HUGE - (long)start % HUGE) % HUGE;
    if (madvise(start, size, MADV_HUGEPAGE)) {
        ready("huge=0");
        return 0;
    }
    for (long at = 0; at < size; at += HUGE)
        start[at] = 1;
    ready("huge=%ld", size);
    return 0;
}
