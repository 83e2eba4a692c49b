/* Looks for many files that are not there: the kernel remembers each name in vain. */
#include "target.h"

int main(void)
{
    enum { NAMES = 200000 };
    char name[64];

    ready("names=0");
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "memgap-missing-%d-%d", getpid(), i);
        if (!access(name, F_OK))
            fail(name);
    }
    ready("names=%d", NAMES);
    return 0;
}
