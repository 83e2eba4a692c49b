/* Looks like jemalloc 5.3.0 in what its file says and in its variables, and lies as its
 * argument says. Without one it tells of an arena with 9 pages in use of 11 active
 * ones. After its first word it rewrites them without end. */
#include <pthread.h>

#include "target.h"

#define PAGE 4096UL
#define SMALL 36
#define ARENAS 4095
#define ARENA_SIZE (160UL << 10)
#define BLOCK_SIZE (64UL << 10)

/* Words of arena_t, base_t and a block. */
#define LARGE (976 / 8)
#define ACTIVE (10656 / 8)
#define PAGES(state) ((20480 + 19440 * ((state) - 1)) / 8)
#define GUARDED (9656 / 8)
#define BASE (78936 / 8)
#define BIN ((78952 + 112) / 8)
#define BLOCKS (160 / 8)
#define ALLOCATED (3880 / 8)
#define EXTENTS (4096 / 8)

typedef volatile uint64_t word;

static const char *volatile messages[] = { "<jemalloc>: ", "5.3.0-0-g54eaed1d8b568fce690549f6f5bd77c0e83" };
static volatile char tree[3 << 20];
static word *volatile arenas[ARENAS] __attribute__((aligned(64)));
static word bin_infos[SMALL][5];
static uint64_t heap;

static void sizes(void)
{
    uint64_t size[SMALL] = { 8, 16, 32, 48, 64 };
    int count = 5;

    for (int group = 0; count < SMALL; group++)
        for (int step = 5; step <= 8 && count < SMALL; step++)
            size[count++] = (step * 16UL) << group;
    for (int i = 0; i < SMALL; i++) {
        uint64_t regions = 1;
        while (size[i] * regions % PAGE)
            regions++;
        bin_infos[i][0] = size[i];
        bin_infos[i][1] = size[i] * regions;
        bin_infos[i][2] = regions | 1UL << 32;
    }
}

static void extent(word *block, int number, uint64_t bits, uint64_t page, uint64_t pages)
{
    word *at = block + EXTENTS + 16 * number;

    at[0] = bits;
    at[1] = heap + page * PAGE;
    at[2] = pages * PAGE;
}

/* A full slab of 8 byte pieces, two pieces of 16 KiB; 4 pages dirty, 8 muzzy. */
static word *arena(uint32_t number)
{
    word *at = (word *)map(ARENA_SIZE + BLOCK_SIZE), *base = at + 0x22000 / 8;
    word *block = at + ARENA_SIZE / 8;

    for (int state = 1; state <= 3; state++) {
        at[PAGES(state)] = 2UL << state;
        at[PAGES(state) + 1] = at[PAGES(state) + GUARDED + 1] = state;
    }
    at[ACTIVE] = 11;
    at[LARGE] = 3, at[LARGE + 1] = 1;
    at[BIN] = 600, at[BIN + 1] = 88, at[BIN + 3] = 512;
    at[BASE] = (uintptr_t)base;
    base[0] = number;
    base[BLOCKS] = (uintptr_t)block;
    base[ALLOCATED] = 7777;
    block[0] = BLOCK_SIZE;
    return at;
}

static void extents(word *arena)
{
    word *block = arena + ARENA_SIZE / 8;

    extent(block, 0, 1UL << 12, 0, 1);
    extent(block, 1, 36UL << 20, 1, 5);
    extent(block, 2, 36UL << 20, 6, 5);
    extent(block, 3, 1UL << 17, 11, 4);
    extent(block, 4, 2UL << 17, 15, 8);
}

static void quiet(word *at)
{
    at[LARGE] = at[LARGE + 1] = at[BIN] = at[BIN + 1] = at[BIN + 3] = 0;
}

static void lie(const char *lie)
{
    word *at = arenas[0], *base = (word *)at[BASE], *block = (word *)base[BLOCKS];

    if (!strcmp(lie, "quiet")) {
        quiet(at);
    } else if (!strcmp(lie, "overlap")) {
        quiet(at);
        block[EXTENTS + 16 + 1] = heap;
    } else if (!strcmp(lie, "elsewhere")) {
        quiet(at);
        block[EXTENTS + 16 + 1] = 0xdead000;
    } else if (!strcmp(lie, "huge")) {
        at[ACTIVE] = 1UL << 63;
    } else if (!strcmp(lie, "large")) {
        at[ACTIVE] = 1UL << 34;
        at[LARGE] = 1UL << 32;
    } else if (!strcmp(lie, "muzzy")) {
        at[PAGES(2)] = 1UL << 34;
    } else if (!strcmp(lie, "circle")) {
        block[1] = (uintptr_t)block;
    } else if (!strcmp(lie, "nowhere")) {
        at[BASE] = 0xdead000;
    } else if (!strcmp(lie, "one")) {
        for (int i = 0; i < ARENAS; i++)
            arenas[i] = at;
    } else if (!strcmp(lie, "many")) {
        for (int i = 1; i < ARENAS / 2; i++)
            arenas[i] = arena(i);
    } else if (*lie) {
        fail(lie);
    }
}

static void *restless(void *unused)
{
    word *at = arenas[0], *base = (word *)at[BASE], *block = (word *)base[BLOCKS];
    word *words[] = { &at[ACTIVE], &at[PAGES(1)], &at[PAGES(2) + 1], &at[BIN + 3], &at[BASE],
        &base[BLOCKS], &block[0], &block[1], (word *)&arenas[1], &bin_infos[0][1] };
    rewrite(words, sizeof words / sizeof words[0]);
    return unused;
}

int main(int count, char **args)
{
    pthread_t thread;

    if (!messages[0] || !messages[1] || tree[0])
        fail("what tells a jemalloc");
    heap = (uintptr_t)map(64 * PAGE);
    touch((char *)heap, 21 * PAGE);
    sizes();
    arenas[0] = arena(0);
    extents(arenas[0]);
    lie(count > 1 ? args[1] : "");
    ready("in_use=%lu", 9 * PAGE);
    if (pthread_create(&thread, NULL, restless, NULL))
        fail("pthread_create");
    ready("in_use=%lu", 9 * PAGE);
    return 0;
}
