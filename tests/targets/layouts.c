/* One mapping of lazily freed memory after the other, each laid out in another way. */
#include "target.h"

#define HUGE (2 * MIB)

static long page;

static char *mapped(long size, int advice)
{
    char *start = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        fail("mmap");
    start += (HUGE - (long)start % HUGE) % HUGE;
    madvise(start, size, advice); /* EINVAL: no huge pages */
    return start;
}

static void give(char *start, long size)
{
    if (madvise(start, size, MADV_FREE))
        fail("madvise");
}

static void done(const char *name, char *start, long size)
{
    ready("%s=1 mapped=%ld", name, size);
    munmap(start, size);
}

int main(void)
{
    long size = 64 * MIB;
    unsigned seed = 1;
    char *start;

    page = sysconf(_SC_PAGESIZE);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    done("none", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    give(start, size);
    done("all", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    give(start + size / 8, size / 3 / page * page);
    done("stretch", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    for (long at = 0; at < size; at += 2 * page)
        give(start + at, page);
    done("every_other", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    for (long at = 0; at < size; at += page)
        if ((seed = seed * 1103515245 + 12345) >> 16 & 1)
            give(start + at, page);
    done("scattered", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    for (long at = 0; at < size; at += 64 * page)
        give(start + at, page);
    done("few", start, size);

    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    for (long at = 0; at < size; at += 2 * HUGE)
        give(start + at, HUGE);
    done("tables", start, size);

    /* A sixteenth of it is in use. */
    start = mapped(16 * size, MADV_NOHUGEPAGE);
    touch(start + 7 * size, size);
    give(start + 7 * size, size / 2);
    done("sparse", start, 16 * size);

    touch(start = mapped(size, MADV_HUGEPAGE), size);
    give(start, size / 2);
    done("huge", start, size);

    touch(start = mapped(size, MADV_HUGEPAGE), size);
    for (long at = 0; at < size; at += HUGE)
        give(start + at, HUGE / 2);
    done("halves", start, size);

    /* Written again: still on the lists of what is lazily freed. */
    touch(start = mapped(size, MADV_NOHUGEPAGE), size);
    give(start, size);
    touch(start, size / 2);
    done("rewritten", start, size);
    return 0;
}
