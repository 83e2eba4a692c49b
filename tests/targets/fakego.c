/* Looks like a Go program of 1.25 or later to a debugger, in its sections and in its
 * variables, and lies as its argument says. Without one it tells of a heap of 4 MiB
 * with 2 MiB in use. After its first word it moves memory to and fro without end. */
#include <pthread.h>
#include <stdint.h>

#include "target.h"

#define KIB 1024UL
#define CHUNK (4UL * MIB)
#define DELTA (1168 / 8)
#define IN_USE (272 / 8)
#define OWN (65824 / 8)
#define CHUNKS ((8 + 120) / 8)
#define RANGES ((8 + 65680) / 8)
#define AFTER (3 * DELTA + 2)

/* Without contents in the file, as Go's. */
#define NOPTRBSS __attribute__((section(".noptrbss,\"aw\",@nobits#"), aligned(16)))

static volatile uint64_t controller[80] NOPTRBSS;
static volatile uint64_t memstats[1200] NOPTRBSS;
static volatile uint64_t mheap[OWN + 2] NOPTRBSS;
static volatile uint64_t lookalikes[5 * 4096] NOPTRBSS;
static uint64_t ranges[2];
static uint64_t bitmaps[8192][16];

static volatile uint64_t *const in_use = &controller[IN_USE];
static volatile uint64_t *const released = &controller[IN_USE + 1];
static volatile uint64_t *const free_ = &controller[IN_USE + 2];

static void signature(volatile uint64_t *at)
{
    at[0] = 100;            /* gcPercent */
    at[1] = INT64_MAX;      /* memoryLimit */
    at[2] = 4UL * MIB;      /* heapMinimum */
}

static void be_go(void)
{
    const uint64_t stacks = 448 * KIB, work_bufs = 64 * KIB;
    char *area = map(2 * CHUNK);
    uint64_t heap = ((uintptr_t)area + CHUNK - 1) / CHUNK * CHUNK;
    uint64_t number = (heap - 0xffff800000000000UL) / CHUNK;

    for (unsigned at = 0; at < sizeof memstats / 8; at++)
        memstats[at] = 0;
    for (unsigned at = 0; at < sizeof mheap / 8; at++)
        mheap[at] = 0;
    signature(controller);
    *in_use = 2048 * KIB;
    *free_ = 1024 * KIB;
    *released = 512 * KIB;
    memstats[0] = *in_use + *free_ + stacks + work_bufs;
    memstats[1] = *released;
    memstats[2] = *in_use;
    memstats[3] = stacks;
    memstats[4] = work_bufs;
    mheap[OWN] = (uintptr_t)mheap;
    mheap[OWN + 1] = (uintptr_t)&memstats[AFTER + 4];
    ranges[0] = heap;
    ranges[1] = heap + CHUNK;
    mheap[RANGES] = (uintptr_t)ranges;
    mheap[RANGES + 1] = mheap[RANGES + 2] = 1;
    mheap[CHUNKS + number / 8192] = (uintptr_t)bitmaps;
    memset(bitmaps[number % 8192], 0xff, 32);
}

static void lie(const char *lie)
{
    if (!strcmp(lie, "huge")) {
        *in_use = memstats[2] = 1UL << 60;
        memstats[0] += *in_use - 2048 * KIB;
    } else if (!strcmp(lie, "beyond")) {
        ranges[1] = 1UL << 60;
    } else if (!strcmp(lie, "endless")) {
        mheap[RANGES + 1] = mheap[RANGES + 2] = UINT64_MAX / 16;
    } else if (!strcmp(lie, "elsewhere")) {
        mheap[RANGES] = 0xdead000;
    } else if (!strcmp(lie, "bitmaps")) {
        for (int at = 0; at < 8192; at++)
            mheap[CHUNKS + at] = 0xdead000;
    } else if (!strcmp(lie, "many")) {
        for (volatile uint64_t *at = lookalikes; at < lookalikes + 5 * 4096; at += 5) {
            signature(at);
            at[3] = (uintptr_t)(at + 3 - OWN);
            at[4] = (uintptr_t)(memstats + AFTER + 4);
        }
        *in_use = 0;
    } else if (*lie) {
        fail(lie);
    }
}

/* A word at a time, as processors do: every sum is wrong in between. */
static void *restless(void *unused)
{
    for (uint64_t used = 0;; used = !used) {
        *in_use = (1 + used) * 1024 * KIB;
        memstats[2] = *in_use;
        *free_ = (2 - used) * 1024 * KIB;
    }
    return unused;
}

int main(int count, char **args)
{
    pthread_t thread;
    be_go();
    lie(count > 1 ? args[1] : "");
    ready("in_use=%lu", *in_use);
    if (pthread_create(&thread, NULL, restless, NULL))
        fail("pthread_create");
    ready("in_use=0");
    return 0;
}
