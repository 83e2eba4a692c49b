/* Blocks of many sizes under tcmalloc, by what it says of itself: all of them, then one of
 * ten, then less those that other threads freed, which stay, then what it keeps given back. */
#include <dlfcn.h>
#include <pthread.h>

#include "target.h"

#define COUNT 100000
#define THREADS 4

static char *blocks[COUNT];
static pthread_barrier_t done, leave;

static void say(void)
{
    static const char *names[] = {
        "generic.current_allocated_bytes", "generic.heap_size",
        "tcmalloc.pageheap_free_bytes", "tcmalloc.pageheap_unmapped_bytes",
    };
    int (*get)(const char *, size_t *) =
        (int (*)(const char *, size_t *))dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    size_t said[4] = { 0 };
    for (int i = 0; i < 4; i++)
        if (!get || !get(names[i], &said[i]))
            fail(names[i]);
    ready("allocated=%zu heap=%zu free=%zu unmapped=%zu", said[0], said[1], said[2], said[3]);
}

/* Frees every block of a share but those whose number is a multiple. */
static void thin(long first, long step, long multiple)
{
    for (long i = first; i < COUNT; i += step)
        if (i % multiple) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
}

static void *other(void *first)
{
    thin((long)first, THREADS, 30);
    /* Of its cache's own, too. */
    for (long i = 0; i < 3000; i++)
        free(*(char *volatile *)&(char *){ malloc(i) });
    pthread_barrier_wait(&done);
    pthread_barrier_wait(&leave);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    /* The C library is to allocate nothing once it is said how much that is. */
    static char buffers[2][BUFSIZ];
    if (setvbuf(stdin, buffers[0], _IOFBF, BUFSIZ) || setvbuf(stdout, buffers[1], _IOFBF, BUFSIZ))
        fail("setvbuf");
    for (long i = 0; i < COUNT; i++) {
        /* 8 to 3,007 bytes, some of hundreds of kilobytes, one of 40 MiB. */
        long size = i == 70 ? 40 * MIB : i % 1000 ? 8 + i * 7919 % 3000 : 200000 + i * 10;
        blocks[i] = malloc(size);
        if (!blocks[i])
            fail("malloc");
        memset(blocks[i], 1, size);
    }
    say();
    thin(0, 1, 10);
    say();
    if (pthread_barrier_init(&done, NULL, THREADS + 1) || pthread_barrier_init(&leave, NULL, THREADS + 1))
        fail("pthread_barrier_init");
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, other, (void *)i))
            fail("pthread_create");
    pthread_barrier_wait(&done);
    say();
    void (*release)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "MallocExtension_ReleaseFreeMemory");
    if (!release)
        fail("MallocExtension_ReleaseFreeMemory");
    release();
    say();
    pthread_barrier_wait(&leave);
    for (long i = 0; i < THREADS; i++)
        if (pthread_join(threads[i], NULL))
            fail("pthread_join");
    say();
    /* At work until its input ends: three blocks in four are freed at once. */
    for (unsigned long i = 0;; i++) {
        char **block = &blocks[i * 2654435761UL % COUNT];
        free(*block);
        *block = i % 4 ? NULL : malloc(8 + i * 7919 % 3000);
    }
}
