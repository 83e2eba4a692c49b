/* Threads that each use a known part of their stack. */
#include "target.h"
#include <pthread.h>

enum { THREADS = 8 };
static const long used = MIB;
static pthread_barrier_t deep, done;

static void *thread(void *unused)
{
    char frame[used];

    touch(frame, used);
    pthread_barrier_wait(&deep);
    pthread_barrier_wait(&done);
    return unused;
}

int main(void)
{
    pthread_t threads[THREADS];

    small_pages();
    ready("stacks=0");
    pthread_barrier_init(&deep, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, thread, NULL))
            fail("pthread_create");
    pthread_barrier_wait(&deep);
    ready("stacks=%ld", THREADS * used);
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
