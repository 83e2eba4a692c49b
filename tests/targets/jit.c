/* Code that was made at run time: sealed, as most compilers do, and left writable. */
#include "target.h"

static void code(long size, int protection)
{
    char *start = map(size);

    touch(start, size);
    if (mprotect(start, size, protection))
        fail("mprotect");
}

int main(void)
{
    long sealed = 24 * MIB, open = 8 * MIB;

    code(sealed, PROT_READ | PROT_EXEC);
    code(open, PROT_READ | PROT_WRITE | PROT_EXEC);
    ready("sealed=%ld open=%ld", sealed, open);
    return 0;
}
