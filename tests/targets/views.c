/* A heap that its own process maps three times, as some garbage collectors do. */
#include "target.h"

enum { VIEWS = 3 };

int main(void)
{
    long size = 16 * MIB;
    int fd = memfd_create("heap", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, size))
        fail("memfd_create");
    for (int i = 0; i < VIEWS; i++) {
        char *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (view == MAP_FAILED)
            fail("mmap");
        touch(view, size);
    }
    ready("heap=%ld views=%ld", size, VIEWS * size);
    return 0;
}
