/* Locked memory, of its own and of a file, within the usual 8 MiB. */
#include "target.h"

int main(void)
{
    long anonymous = 4 * MIB, cache = 2 * MIB;
    char name[64], *start, *mapped;

    start = map(anonymous);
    if (mlock(start, anonymous))
        fail("mlock");
    ready("locked=%ld locked_file=0", anonymous);
    snprintf(name, sizeof name, "memgap-target-%d", getpid());
    mapped = mmap(NULL, cache, PROT_READ | PROT_WRITE, MAP_SHARED, file(name, cache), 0);
    if (mapped == MAP_FAILED || mlock(mapped, cache))
        fail("mlock");
    ready("locked=%ld locked_file=%ld", anonymous + cache, cache);
    return 0;
}
