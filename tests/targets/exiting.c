/* Ends on command, with mappings enough that a reader is in the middle of them. */
#include "target.h"

int main(void)
{
    long page = sysconf(_SC_PAGESIZE), areas = 2000;
    char *start = map(areas * page);

    touch(start, areas * page);
    for (long i = 0; i < areas; i += 2)
        if (mprotect(start + i * page, page, PROT_READ))
            fail("mprotect");
    ready("areas=%ld resident=%ld", areas, areas * page);
    _exit(0);
}
