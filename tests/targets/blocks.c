/* Blocks of many sizes, of which nine of ten are freed then: what it says is what
 * it asked for. Built with any C library.
 *
 * usage: blocks [COUNT] */
#include "target.h"

#define MOST 200000

static char *blocks[MOST];
static long sizes[MOST];

int main(int argc, char **argv)
{
    long asked = 0, count = argc > 1 ? atol(argv[1]) : 50000;
    if (count > MOST)
        return 2;
    for (long i = 0; i < count; i++) {
        /* 8 to 507 bytes; now and then one that has a mapping of its own. */
        sizes[i] = i % 2500 ? 8 + i * 7919 % 500 : 3 * MIB / 10;
        blocks[i] = malloc(sizes[i]);
        if (!blocks[i])
            fail("malloc");
        memset(blocks[i], 1, sizes[i]);
        asked += sizes[i];
    }
    ready("asked=%ld", asked);
    for (long i = 0; i < count; i++)
        if (i % 10) {
            free(blocks[i]);
            asked -= sizes[i];
        }
    ready("asked=%ld", asked);
}
