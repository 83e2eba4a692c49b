/* Threads with an arena each, of 2 MiB in blocks of one kind, of which each frees a
 * half at random, and then most. After each step it says what the C library counts.
 *
 * usage: arenas THREADS small|mixed|large */
#include <malloc.h>
#include <pthread.h>

#include "target.h"

#define EACH (2 * MIB)
#define MOST_BLOCKS 40000

static pthread_barrier_t barrier;
static const char *kind;

struct worker {
    char *blocks[MOST_BLOCKS];
    long count;
    uint64_t random;
};

static uint64_t next(struct worker *self)
{
    self->random = self->random * 6364136223846793005 + 1442695040888963407;
    return self->random >> 33;
}

/* Small ones are up to 300 bytes, mixed ones 16 bytes to 16 KiB, each doubling as likely
 * as the others, large ones 8 to 96 KiB. */
static size_t some_size(struct worker *self)
{
    uint64_t random = next(self);
    if (!strcmp(kind, "small"))
        return 16 + random % 285;
    if (!strcmp(kind, "mixed"))
        return (16 << random % 10) + (random >> 8) % (16 << random % 10);
    return 8192 + random % (88 << 10);
}

static void free_all_but_one_in(struct worker *self, long many)
{
    for (long i = 0; i < self->count; i++)
        if (next(self) % many) {
            free(self->blocks[i]);
            self->blocks[i] = NULL;
        }
}

static void *work(void *argument)
{
    struct worker *self = argument;
    for (size_t sum = 0; sum < EACH && self->count < MOST_BLOCKS; self->count++) {
        size_t size = some_size(self);
        char *block = malloc(size);
        if (!block)
            fail("malloc");
        self->blocks[self->count] = memset(block, 1, size);
        sum += size + 16;
    }
    for (int step = 0; step < 3; step++) {
        if (step)
            free_all_but_one_in(self, step == 1 ? 2 : 5);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    /* Its own words take no memory from malloc. */
    static char input[4096], output[4096];
    setvbuf(stdin, input, _IOFBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    long threads = argc > 1 ? atol(argv[1]) : 4;
    kind = argc > 2 ? argv[2] : "small";
    mallopt(M_ARENA_MAX, threads + 1);
    pthread_barrier_init(&barrier, NULL, threads + 1);
    struct worker *workers = (void *)map(threads * (long)sizeof *workers);
    for (long i = 0; i < threads; i++) {
        pthread_t thread;
        workers[i].random = i;
        if (pthread_create(&thread, NULL, work, workers + i))
            fail("pthread_create");
    }
    for (int step = 0; step < 3; step++) {
        pthread_barrier_wait(&barrier);
        struct mallinfo2 now = mallinfo2();
        ready("in_use=%zu free=%zu", now.uordblks + now.hblkhd, now.fordblks);
        pthread_barrier_wait(&barrier);
    }
    return 0;
}
