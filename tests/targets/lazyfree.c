/* Memory that is written, then in part lazily freed, then in part written again:
 * that part is live, and stays on the file lists. */
#include "target.h"

int main(void)
{
    long size = 64 * MIB, freed = 32 * MIB, rewritten = 16 * MIB;
    char *start = map(size);

    touch(start, size);
    ready("resident=%ld lazy=0 hidden=0", size);
    if (madvise(start, freed, MADV_FREE))
        fail("madvise");
    ready("resident=%ld lazy=%ld hidden=0", size, freed);
    touch(start, rewritten);
    ready("resident=%ld lazy=%ld hidden=%ld", size, freed - rewritten, rewritten);
    if (madvise(start, size, MADV_DONTNEED))
        fail("madvise");
    ready("resident=0 lazy=0 hidden=0");
    return 0;
}
