/* Memory of two allocators: of the C library, and of another library that LIBRARY names. */
#include "target.h"
#include <dlfcn.h>

enum { PIECE = 64 << 10 };

static void fill(void *(*allocate)(size_t), long size)
{
    for (long at = 0; at < size; at += PIECE) {
        char *piece = allocate(PIECE);
        if (!piece)
            fail("malloc");
        memset(piece, 1, PIECE);
    }
}

int main(void)
{
    long size = 24 * MIB;
    void *library = dlopen(getenv("LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    void *(*allocate)(size_t) = library ? dlsym(library, "malloc") : NULL;

    if (!allocate) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    fill(malloc, size);
    ready("one=%ld other=0", size);
    fill(allocate, size);
    ready("one=%ld other=%ld", size, size);
    return 0;
}
