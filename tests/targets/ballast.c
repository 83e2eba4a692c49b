/* A reservation that is never touched, and then a little. */
#include "target.h"

int main(void)
{
    long size = 1024 * MIB, some = 16 * MIB;
    char *start;

    ready("mapped=0 touched=0");
    start = map(size);
    ready("mapped=%ld touched=0", size);
    touch(start, some);
    ready("mapped=%ld touched=%ld", size, some);
    return 0;
}
