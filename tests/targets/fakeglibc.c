/* Rewrites the variables of its own C library (2.35 to 2.42) as its argument says, so
 * that they lie. After its first word it does so without end. */
#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <pthread.h>

#include "target.h"

/* Words of struct malloc_state. */
#define TOP 12
#define BINS 14
#define PAIRS 127
#define NEXT (BINS + 2 * PAIRS + 2)
#define SYSTEM_MEM (NEXT + 3)
#define WORDS (SYSTEM_MEM + 2)
/* Of struct heap_info, which stands before an arena in its first heap. */
#define BEFORE 6
/* Words of mp_, from mmapped_mem on; four half words and a gap stand before it. */
#define SBRK_BASE 2
#define N_MMAPS -5
#define N_MMAPS_MAX -4
#define MAX_N_MMAPS -3
#define LIMIT 65536

typedef volatile uint64_t word;

static word *data, *data_end, *arena, *mp;
static volatile uint32_t *mp_halves;
static void *volatile blocks[2];
static pthread_barrier_t barrier;
static char input[64], output[64];

static int find_data(struct dl_phdr_info *info, size_t size, void *name)
{
    (void)size;
    if (!strstr(info->dlpi_name, name))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_W) {
            data = (word *)((info->dlpi_addr + part->p_vaddr + 7) & ~7UL);
            data_end = (word *)((info->dlpi_addr + part->p_vaddr + part->p_memsz) & ~7UL);
        }
    }
    return 1;
}

static uint64_t head(word *of, int bin)
{
    return (uintptr_t)(of + BINS + 2 * bin - 2);
}

static void find_variables(void)
{
    if (!dl_iterate_phdr(find_data, "libc.so.6"))
        fail("libc");
    for (word *at = data; !arena && at + WORDS <= data_end; at++)
        if (at[NEXT] == (uintptr_t)at && at[BINS + 2 * PAIRS - 2] == head(at, PAIRS - 1))
            arena = at;
    if (!arena)
        fail("main_arena");
    uint64_t base = (uintptr_t)sbrk(0) - arena[SYSTEM_MEM];
    for (word *at = data; !mp && at + SBRK_BASE < data_end; at++)
        if (at[SBRK_BASE] == base && ((uint32_t *)at)[N_MMAPS_MAX] == LIMIT)
            mp = at;
    if (!mp)
        fail("mp_");
    mp_halves = (uint32_t *)mp;
}

static void empty(word *of)
{
    for (int bin = 0; bin < PAIRS; bin++)
        of[BINS + 2 * bin] = of[BINS + 2 * bin + 1] = head(of, bin);
}

/* Another arena in what the library leaves empty, and none where it should be. */
static void decoy(void)
{
    word *at = arena + WORDS, *end = at;
    while (end < data_end && end - at < WORDS)
        at = *end++ ? end : at;
    if (end - at < WORDS)
        fail("decoy");
    for (int i = 0; i < WORDS; i++)
        at[i] = arena[i];
    empty(at);
    at[NEXT] = (uintptr_t)at;
    arena[BINS + 2 * PAIRS - 2] = 0;
}

/* An arena in a heap of its own, of which it says that all is in use. */
static void arena_in(word *heap, uint64_t size, uint64_t next)
{
    word *at = heap + BEFORE, *top = heap + size / 8 - 4;

    heap[0] = (uintptr_t)at;
    heap[2] = size;
    empty(at);
    at[TOP] = (uintptr_t)top;
    at[NEXT] = next;
    at[NEXT + 2] = 1;
    at[SYSTEM_MEM] = at[SYSTEM_MEM + 1] = size;
    top[1] = 33;
}

/* Such arenas, one behind the other. */
static void arenas(unsigned long count)
{
    const uint64_t size = 64 * MIB, own = 8 * BEFORE;
    uint64_t heap = ((uintptr_t)map((count + 1) * size) + size - 1) / size * size;

    arena[NEXT] = heap + own;
    for (unsigned long i = 1; i <= count; i++, heap += size)
        arena_in((word *)heap, size, i < count ? heap + size + own : (uintptr_t)arena);
}

/* Code of so many files. */
static void files(int count)
{
    for (int i = 0; i < count; i++) {
        int fd = memfd_create("code", 0);
        if (fd < 0 || ftruncate(fd, 4096)
            || mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
            fail("memfd");
        close(fd);
    }
}

static void lie(const char *lie)
{
    word *chunk = (word *)arena[BINS];

    if (!strcmp(lie, "decoy")) {
        decoy();
    } else if (!strcmp(lie, "circle")) {
        chunk[2] = (uintptr_t)chunk;
    } else if (!strcmp(lie, "bins")) {
        static const uint64_t places[] = { 0xdead0000, 16, 1UL << 55, UINT64_MAX - 15 };
        for (int bin = 0; bin < PAIRS - 1; bin++)
            arena[BINS + 2 * bin] = places[bin % 4];
    } else if (!strcmp(lie, "size")) {
        chunk[1] = (1UL << 40) + 1;
    } else if (!strcmp(lie, "huge")) {
        arena[SYSTEM_MEM] = arena[SYSTEM_MEM + 1] = 1UL << 63;
    } else if (!strcmp(lie, "large")) {
        arena[SYSTEM_MEM] = arena[SYSTEM_MEM + 1] = 1UL << 46;
    } else if (!strcmp(lie, "mapped")) {
        mp_halves[N_MMAPS] = mp_halves[MAX_N_MMAPS] = 1;
        mp[0] = mp[1] = 1UL << 46;
    } else if (!strcmp(lie, "endless")) {
        arenas(2);
        word *last = (word *)arena[NEXT] + 64 * MIB / 8;
        last[NEXT] = (uintptr_t)last;
    } else if (!strcmp(lie, "nested")) {
        arenas(1);
        word *first = (word *)arena[NEXT], *inner = first - BEFORE + MIB;
        arena_in(inner, 8 * MIB, (uintptr_t)arena);
        first[NEXT] = (uintptr_t)(inner + BEFORE);
    } else if (!strcmp(lie, "files")) {
        files(3000);
    } else if (!strcmp(lie, "many")) {
        arenas(4200);
    } else if (!strcmp(lie, "nowhere")) {
        /* Heaps of which nothing but the ends are there. */
        arenas(100);
        for (uint64_t i = 0, at = arena[NEXT] - 8 * BEFORE; i < 100; i++, at += 64 * MIB)
            munmap((void *)(at + MIB), 62 * MIB);
    } else if (*lie) {
        fail(lie);
    }
}

static void *restless(void *unused)
{
    pthread_barrier_wait(&barrier);
    word *words[] = { &arena[TOP], &arena[SYSTEM_MEM], &arena[SYSTEM_MEM + 1], &arena[NEXT],
        &arena[BINS], &arena[BINS + 1], mp, &mp[SBRK_BASE] };
    rewrite(words, sizeof words / sizeof words[0]);
    return unused;
}

int main(int count, char **args)
{
    pthread_t thread;

    /* From its first word on nothing is allocated any more. */
    setvbuf(stdin, input, _IOLBF, sizeof input);
    setvbuf(stdout, output, _IOFBF, sizeof output);
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&thread, NULL, restless, NULL))
        fail("pthread_create");
    blocks[0] = malloc(100000);
    blocks[1] = malloc(1000);
    free(blocks[0]);
    find_variables();
    size_t in_use = mallinfo2().uordblks;
    lie(count > 1 ? args[1] : "");
    ready("in_use=%zu", in_use);
    pthread_barrier_wait(&barrier);
    ready("in_use=%zu", in_use);
    _exit(0);
}
