/* So much text in `maps` that who holds it whole is fat: as many mappings as a process
 * may have, each of a file with a path of some 900 bytes. The file and its directories
 * are gone before it is mapped: they stand where anybody may write. */
#include <sys/stat.h>
#include "target.h"

static char names[4][256];

int main(void)
{
    enum { AREAS = 60000, PATH = 900, DEEP = 4 };
    long page = sysconf(_SC_PAGESIZE), size = 32 * MIB;
    int top = open("/tmp", O_RDONLY | O_DIRECTORY), dirs[DEEP + 1] = { top };

    for (int i = 0; i < DEEP; i++) {
        memset(names[i], 'a' + i, PATH / DEEP);
        if (!i)
            snprintf(names[i], 16, "%015d", getpid());
        if (mkdirat(dirs[i], names[i], 0700))
            fail("mkdirat");
        dirs[i + 1] = openat(dirs[i], names[i], O_RDONLY | O_DIRECTORY);
        if (dirs[i + 1] < 0)
            fail("openat");
    }
    if (fchdir(dirs[DEEP]))
        fail("fchdir");
    memset(names[0] + 15, 'f', PATH / DEEP - 15);
    int fd = file(names[0], page);
    snprintf(names[0], 16, "%015d", getpid());
    for (int i = DEEP - 1; i >= 0; i--)
        if (unlinkat(dirs[i], names[i], AT_REMOVEDIR))
            fail("unlinkat");
    for (int i = 0; i < AREAS; i++)
        if (mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
            fail("mmap");
    /* Enough to be worth a walk. */
    touch(map(size), size);
    ready("areas=%d path=%d", AREAS, PATH);
    return 0;
}
