/* Blocks of many sizes, of which it says what they can hold, by the allocator's own
 * words: all of them, then one of ten, then less those that another thread freed. */
#include <malloc.h>
#include <pthread.h>

#include "target.h"

#define COUNT 100000

static char *blocks[COUNT];

static long usable(void)
{
    long sum = 0;
    for (long i = 0; i < COUNT; i++)
        if (blocks[i])
            sum += malloc_usable_size(blocks[i]);
    return sum;
}

/* Frees every block but those whose number is a multiple. */
static void thin(long multiple)
{
    for (long i = 0; i < COUNT; i++)
        if (i % multiple) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
}

static void *other(void *nothing)
{
    thin(30);
    return nothing;
}

int main(void)
{
    for (long i = 0; i < COUNT; i++) {
        /* 8 to 3,007 bytes, some of hundreds of kilobytes, one of 40 MiB. */
        long size = i == 70 ? 40 * MIB : i % 1000 ? 8 + i * 7919 % 3000 : 200000 + i * 10;
        blocks[i] = malloc(size);
        if (!blocks[i])
            fail("malloc");
        memset(blocks[i], 1, size);
    }
    ready("usable=%ld", usable());
    thin(10);
    ready("usable=%ld", usable());
    pthread_t thread;
    if (pthread_create(&thread, NULL, other, NULL) || pthread_join(thread, NULL))
        fail("pthread");
    ready("usable=%ld", usable());
}
