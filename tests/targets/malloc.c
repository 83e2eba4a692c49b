/* A program that allocates by malloc in the ways that STEPS name, and says after
 * each what the C library counts. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "target.h"

#define MANY 1000000
#define THREADS 8

/* mallinfo2 came with 2.33; before, figures have 32 bits. */
struct info {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
extern struct info info_of_64_bits(void) __asm__("mallinfo2") __attribute__((weak));

/* What the thread keeps for itself: freed, and counted as in use. */
static size_t cached;

static void *blocks[MANY];
static pthread_barrier_t barrier;

static struct info info(void)
{
    if (info_of_64_bits)
        return info_of_64_bits();
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    struct mallinfo old = mallinfo();
    return (struct info){
        .arena = (unsigned)old.arena,
        .hblks = (unsigned)old.hblks,
        .hblkhd = (unsigned)old.hblkhd,
        .uordblks = (unsigned)old.uordblks,
        .fordblks = (unsigned)old.fordblks,
    };
}

static long resident(void)
{
    long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY);
    char text[128] = "";
    if (file < 0 || read(file, text, sizeof text - 1) < 0)
        fail("statm");
    close(file);
    sscanf(text, "%*d %ld", &pages);
    return pages * sysconf(_SC_PAGESIZE);
}

static void *filled(size_t size)
{
    void *block = malloc(size);
    if (!block)
        fail("malloc");
    return memset(block, 1, size);
}

/* 40 MiB in blocks of all sizes up to 4 KiB, none freed. */
static void steady(void)
{
    for (long i = 0, sum = 0; sum < 40 * MIB; i++, sum += 16 + i % 4000)
        blocks[i] = filled(16 + i % 4000);
}

/* Every block but one in 16 is freed again. */
static void fragmented(void)
{
    steady();
    for (long i = 0; i < MANY && blocks[i]; i++)
        if (i % 16)
            free(blocks[i]);
}

/* All is freed but the last block, so that the top can not shrink. */
static void last(void)
{
    long i;
    steady();
    for (i = 0; i + 1 < MANY && blocks[i + 1]; i++)
        free(blocks[i]);
}

/* Mapped one by one: half of them stay. */
static void mapped(void)
{
    mallopt(M_MMAP_THRESHOLD, MIB);
    for (long i = 0; i < 16; i++)
        blocks[i] = filled((4 + i) * MIB + 100);
    for (long i = 0; i < 16; i += 2)
        free(blocks[i]);
}

/* A million chunks, every other one free. */
static void alternating(size_t size)
{
    mallopt(M_MXFAST, 0);
    for (long i = 0; i < MANY; i++)
        blocks[i] = filled(size + i % 2 * 48);
    for (long i = 0; i < MANY; i += 2)
        free(blocks[i]);
}

static void many(void)
{
    alternating(100);
}

/* As many, in 1 GiB. */
static void large(void)
{
    alternating(1000);
}

static void *worker(void *argument)
{
    long self = (long)argument, each = MANY / THREADS;
    void **own = blocks + self * each;
    for (long i = 0; i < each / 10; i++)
        own[i] = filled(24 + (i * 37 + self) % 1500);
    for (long i = 0; i < each / 10; i += 3)
        free(own[i]);
    pthread_barrier_wait(&barrier);
    pause();
    return NULL;
}

static void threads(void)
{
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)i))
            fail("pthread_create");
    }
    pthread_barrier_wait(&barrier);
}

/* For ever: blocks of all sizes come and go. */
static void *churner(void *argument)
{
    uint32_t random = 1 + (uint32_t)(uintptr_t)argument;
    void *own[10000] = {0};
    for (;;) {
        random = random * 1664525 + 1013904223;
        void **block = own + random / 7 % 10000;
        free(*block);
        *block = malloc(16 + random % 3000);
    }
    return NULL;
}

static void churn(void)
{
    steady();
    for (long i = 0; i < 2; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, churner, (void *)i))
            fail("pthread_create");
    }
}

/* A few chunks of some sizes, which no other step frees. */
static void cache(void)
{
    static const size_t sizes[] = {600, 700, 808, 904, 1000};
    void *own[5][5];
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            own[i][j] = filled(sizes[i]);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            cached += malloc_usable_size(own[i][j]) + sizeof(size_t);
            free(own[i][j]);
        }
}

/* What every pattern is followed by, to see what it gives back. */
static void trim(void)
{
    malloc_trim(0);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*step)(void);
    } steps[] = {
        {"steady", steady}, {"fragmented", fragmented}, {"last", last},   {"mapped", mapped},
        {"many", many},     {"threads", threads},       {"churn", churn}, {"trim", trim},
        {"cache", cache},   {"large", large},
    };
    /* Its own words and its leave to go on take no memory from malloc. */
    static char input[4096], output[4096];
    setvbuf(stdin, input, _IOFBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    char *asked = getenv("STEPS");
    static char list[256];
    snprintf(list, sizeof list, "%s", asked ? asked : "");
    for (char *name = strtok(list, " "); name; name = strtok(NULL, " ")) {
        for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
            if (!strcmp(name, steps[i].name))
                steps[i].step();
        struct info now = info();
        ready("in_use=%zu free=%zu mapped=%zu count=%zu cached=%zu rss=%ld",
              now.uordblks + now.hblkhd, now.fordblks, now.hblkhd, now.hblks, cached, resident());
    }
    return 0;
}
