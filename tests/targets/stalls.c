/* Loaded into a target beforehand: a thread of its own maps, writes and unmaps a little
 * memory without rest, and notes in the file STALLS how long the kernel took for it.
 * BALLAST are MiB that the target holds besides, all in one mapping, or in as many of one
 * size as PIECES says.
 *
 * Who waits for mmap_lock sleeps, and that is a voluntary switch. Time in which the
 * thread was ready and another one ran is taken off. So what counts as blocked is
 * neither preemption nor a slow kernel. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PHASES 8
#define LONG 1000000 /* ns */
#define SIZE (64 << 10)
#define BINS 256

/* As tests/src/stalls.rs reads it; times are in ns. */
static volatile struct {
    /* Which tally counts: set from outside. */
    uint64_t phase;
    struct tally {
        uint64_t calls, time, blocked, blocked_time, blocked_long, longest_blocked;
        /* Calls by how long they took; see bin(). */
        uint64_t bins[BINS];
    } tallies[PHASES];
} *notes;

static int schedstat;

static void fail(const char *what)
{
    perror(what);
    _exit(2);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static long voluntary_switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* The time that the thread was ready and did not run. */
static uint64_t delayed(void)
{
    char text[96] = "";
    unsigned long long delay;
    if (pread(schedstat, text, sizeof text - 1, 0) < 0 || sscanf(text, "%*u %llu", &delay) != 1)
        fail("schedstat");
    return delay;
}

/* Eight bins for each power of 2, of ns: one is at most an eighth wide. */
static unsigned bin(uint64_t ns)
{
    unsigned power = 63 - __builtin_clzll(ns | 8);
    unsigned at = 8 * (power - 2) + ((ns >> (power - 3)) & 7);
    return at < BINS ? at : BINS - 1;
}

static char *map(size_t size)
{
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        fail("mmap");
    return mapped;
}

/* Unmaps what is mapped, or maps it anew, and notes the time. */
static char *turn(char *mapped)
{
    uint64_t phase = notes->phase, delay = delayed();
    long switches = voluntary_switches();
    uint64_t start = now();
    if (mapped) {
        munmap(mapped, SIZE);
        mapped = NULL;
    } else {
        mapped = map(SIZE);
    }
    uint64_t took = now() - start;
    if (phase >= PHASES || phase != notes->phase)
        return mapped;
    volatile struct tally *tally = &notes->tallies[phase];
    tally->calls++;
    tally->time += took;
    delay = delayed() - delay;
    uint64_t blocked = took > delay ? took - delay : 0;
    tally->bins[bin(blocked)]++;
    if (voluntary_switches() == switches)
        return mapped;
    tally->blocked++;
    tally->blocked_time += blocked;
    tally->blocked_long += blocked > LONG;
    if (blocked > tally->longest_blocked)
        tally->longest_blocked = blocked;
    return mapped;
}

static void *work(void *unused)
{
    schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (schedstat < 0)
        fail("schedstat");
    for (char *mapped = NULL;;) {
        mapped = turn(mapped);
        if (mapped)
            memset(mapped, 1, SIZE);
    }
    return unused;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("STALLS"), *ballast = getenv("BALLAST");
    if (!path)
        return;
    const char *pieces = getenv("PIECES");
    size_t count = pieces ? strtoul(pieces, NULL, 10) : 1;
    size_t size = ((ballast ? strtoul(ballast, NULL, 10) : 0) << 20) / count;
    for (; size && count; count--) {
        char *memory = map(size + SIZE);
        /* EINVAL: there are no huge pages to refuse. */
        madvise(memory, size, MADV_NOHUGEPAGE);
        memset(memory, 1, size);
        /* Or the kernel makes one mapping of two. */
        mprotect(memory + size, SIZE, PROT_NONE);
    }
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || ftruncate(file, sizeof *notes))
        fail(path);
    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    pthread_t thread;
    if (notes == MAP_FAILED || pthread_create(&thread, NULL, work, NULL))
        fail("thread");
    close(file);
}
