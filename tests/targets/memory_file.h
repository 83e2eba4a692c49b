/* Memory files, which older C libraries do not know. Includes target.h, which has to come first. */
#pragma once
#include "target.h"

/* A memory file of so many bytes, all of them written, and where it is mapped. */
static inline int memory_file(const char *name, long size, char **start)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, size))
        fail("memfd_create");
    *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*start == MAP_FAILED)
        fail("mmap");
    touch(*start, size);
    return fd;
}
