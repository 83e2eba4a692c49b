/* THREADS threads, or so many that their stacks alone are more mappings than one walk may meet. */
#include <pthread.h>
#include "target.h"

static void *wait(void *unused)
{
    pause();
    return unused;
}

int main(void)
{
    const char *asked = getenv("THREADS");
    int threads = asked ? atoi(asked) : 10000;
    long size = 32 * MIB;
    pthread_attr_t small;
    pthread_t id;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&id, &small, wait, NULL))
            fail("pthread_create");
    /* Enough to be worth a walk. */
    touch(map(size), size);
    ready("threads=%d", threads);
    return 0;
}
