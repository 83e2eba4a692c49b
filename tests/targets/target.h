/* What every target shares. A target does one step, says "ready" with what it
 * holds as name=bytes, and waits for a line before the next. It ends when its
 * input ends, so it can not outlive its test. No step waits for time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MIB (1L << 20)

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

/* No huge pages for this process, whatever the machine gives all: before Linux 6.7 the
 * stacks of threads are among what it gives them to, and hold more then than was written. */
static inline void small_pages(void)
{
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0))
        fail("prctl");
}

/* Writes each page of a range. */
static inline void touch(char *start, long size)
{
    long page = sysconf(_SC_PAGESIZE);
    for (long at = 0; at < size; at += page)
        *(volatile char *)(start + at) = 1;
}

/* Maps private memory of small pages, and touches none. */
static inline char *map(long size)
{
    char *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        fail("mmap");
    madvise(start, size, MADV_NOHUGEPAGE); /* EINVAL: no huge pages to refuse */
    return start;
}

/* A new file of a size, already gone from the directory. */
static inline int file(const char *name, long size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || unlink(name) || ftruncate(fd, size))
        fail(name);
    return fd;
}

/* Never stands still: each word is true for a while and absurd for another. */
static inline void rewrite(volatile uint64_t **words, unsigned count)
{
    static const uint64_t absurd[] = { 0, 16, 1UL << 46, UINT64_MAX - 15, 1UL << 63 };

    for (unsigned i = 0;; i++) {
        volatile uint64_t *word = words[i % count];
        uint64_t kept = *word;
        *word = absurd[i / count % 5];
        for (volatile int wait = 0; wait < 5000; wait++)
            ;
        *word = kept;
        for (volatile int wait = 0; wait < 5000; wait++)
            ;
    }
}

static void ready(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void ready(const char *format, ...)
{
    va_list figures;
    char line[64];
    printf("ready ");
    va_start(figures, format);
    vprintf(format, figures);
    va_end(figures);
    printf("\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(0);
}
