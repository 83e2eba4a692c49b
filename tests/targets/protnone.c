/* Memory without access rights: one part resident all the same, one never was. */
#include "target.h"

int main(void)
{
    long size = 16 * MIB, reserved = 64 * MIB;
    char *start = map(size);

    touch(start, size);
    if (mprotect(start, size, PROT_NONE))
        fail("mprotect");
    if (mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        == MAP_FAILED)
        fail("mmap");
    ready("resident=%ld reserved=%ld", size, reserved);
    return 0;
}
