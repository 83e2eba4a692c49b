/* Threads that wait deep in their stacks and one that never waits, beside memory of an
 * allocator that puts a guard before each slab. */
#include "target.h"
#include <pthread.h>

enum { THREADS = 4, SLABS = 8 };
static const long used = MIB;
static pthread_barrier_t deep, done;
static volatile int stop;

static void *wait_deep(void *unused)
{
    char frame[used];

    touch(frame, used);
    pthread_barrier_wait(&deep);
    pthread_barrier_wait(&done);
    return unused;
}

static void *run(void *unused)
{
    char frame[used];

    touch(frame, used);
    pthread_barrier_wait(&deep);
    while (!stop)
        ;
    return unused;
}

static void slab(long size)
{
    long guard = sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, guard + size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED || mprotect(start + guard, size, PROT_READ | PROT_WRITE))
        fail("mmap");
    madvise(start + guard, size, MADV_NOHUGEPAGE);
    touch(start + guard, size);
}

static void start(pthread_t *thread, void *(*body)(void *))
{
    if (pthread_create(thread, NULL, body, NULL))
        fail("pthread_create");
}

int main(void)
{
    pthread_t threads[THREADS], runner;

    small_pages();
    pthread_barrier_init(&deep, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        start(&threads[i], wait_deep);
    pthread_barrier_wait(&deep);
    for (int i = 0; i < SLABS; i++)
        slab(2 * MIB);
    ready("stacks=%ld slabs=%ld", THREADS * used, SLABS * 2 * MIB);

    pthread_barrier_destroy(&deep);
    pthread_barrier_init(&deep, NULL, 2);
    start(&runner, run);
    pthread_barrier_wait(&deep);
    ready("stacks=%ld slabs=%ld", (THREADS + 1) * used, SLABS * 2 * MIB);
    stop = 1;
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(runner, NULL);
    return 0;
}
