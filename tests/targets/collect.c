/* Pieces of memory of which most are freed, and then what the allocator is asked for to give
 * back what is free: mi_collect, or malloc_trim of the C library. */
#include "target.h"
#include <dlfcn.h>

enum { PIECES = 8192, PIECE = 8 << 10 };

static char *pieces[PIECES];

int main(void)
{
    void (*collect)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "mi_collect");
    int (*trim)(size_t) = (int (*)(size_t))dlsym(RTLD_DEFAULT, "malloc_trim");

    for (int i = 0; i < PIECES; i++) {
        pieces[i] = malloc(PIECE);
        if (!pieces[i])
            fail("malloc");
        memset(pieces[i], 1, PIECE);
    }
    ready("kept=%ld", (long)PIECES * PIECE);
    /* The first and the last stay. */
    for (int i = 1; i < PIECES - 1; i++)
        free(pieces[i]);
    ready("kept=%ld", 2L * PIECE);
    if (collect)
        collect(1);
    else if (trim)
        trim(0);
    ready("kept=%ld", 2L * PIECE);
    return 0;
}
