/* Looks like HotSpot to a debugger, in its name and in its vmStructs, and lies as
 * its argument says. Without one it tells of a heap of 4 MiB with 1 MiB in use. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target.h"

struct entry {
    const char *type, *field;
    int32_t is_static;
    uint64_t offset;
    void *address;
};

struct type {
    const char *name, *super;
    uint64_t size;
};

struct flag {
    const char *name;
    void *address;
};

struct space {
    uintptr_t bottom, top, end;
};

struct generation {
    uintptr_t low, high;
    struct space *spaces[4];
};

struct heap {
    struct generation *young, *old;
};

static struct space eden, from, to, old_space;
static struct generation young = { .spaces = { &eden, &from, &to } };
static struct generation old = { .spaces = { [3] = &old_space } };
static struct heap the_heap = { &young, &old };
static struct heap *collected_heap = &the_heap;
static uint8_t use_serial = 1;
static uint64_t max_heap = 4 << 20;
static struct flag the_flags[] = { { "UseSerialGC", &use_serial }, { "MaxHeapSize", &max_heap } };
static struct flag *flags = the_flags;
static uint64_t flag_count = 2;

#define SPACE(type, name, n) \
    { type, name, 0, offsetof(struct generation, spaces) + (n) * sizeof(void *), NULL }

static struct entry structs[32768] = {
    { "Universe", "_collectedHeap", 1, 0, &collected_heap },
    { "SerialHeap", "_young_gen", 0, offsetof(struct heap, young), NULL },
    { "SerialHeap", "_old_gen", 0, offsetof(struct heap, old), NULL },
    { "Generation", "_virtual_space", 0, 0, NULL },
    { "VirtualSpace", "_low", 0, offsetof(struct generation, low), NULL },
    { "VirtualSpace", "_high", 0, offsetof(struct generation, high), NULL },
    SPACE("DefNewGeneration", "_eden_space", 0),
    SPACE("DefNewGeneration", "_from_space", 1),
    SPACE("DefNewGeneration", "_to_space", 2),
    SPACE("TenuredGeneration", "_the_space", 3),
    { "Space", "_bottom", 0, offsetof(struct space, bottom), NULL },
    { "Space", "_end", 0, offsetof(struct space, end), NULL },
    { "ContiguousSpace", "_top", 0, offsetof(struct space, top), NULL },
    { "JVMFlag", "flags", 1, 0, &flags },
    { "JVMFlag", "numFlags", 1, 0, &flag_count },
    { "JVMFlag", "_name", 0, offsetof(struct flag, name), NULL },
    { "JVMFlag", "_addr", 0, offsetof(struct flag, address), NULL },
};

static struct type types[] = {
    { "JVMFlag", NULL, sizeof(struct flag) },
    { "ContiguousSpace", "Space", sizeof(struct space) },
    { "Space", NULL, 0 },
    { NULL, NULL, 0 },
};

struct entry *gHotSpotVMStructs = structs;
uint64_t gHotSpotVMStructEntryArrayStride = sizeof(struct entry);
uint64_t gHotSpotVMStructEntryTypeNameOffset = offsetof(struct entry, type);
uint64_t gHotSpotVMStructEntryFieldNameOffset = offsetof(struct entry, field);
uint64_t gHotSpotVMStructEntryIsStaticOffset = offsetof(struct entry, is_static);
uint64_t gHotSpotVMStructEntryOffsetOffset = offsetof(struct entry, offset);
uint64_t gHotSpotVMStructEntryAddressOffset = offsetof(struct entry, address);
struct type *gHotSpotVMTypes = types;
uint64_t gHotSpotVMTypeEntryArrayStride = sizeof(struct type);
uint64_t gHotSpotVMTypeEntryTypeNameOffset = offsetof(struct type, name);
uint64_t gHotSpotVMTypeEntrySuperclassNameOffset = offsetof(struct type, super);
uint64_t gHotSpotVMTypeEntrySizeOffset = offsetof(struct type, size);

/* Never stands still: each variable is true in one moment and absurd in the next. */
static void *change(void *unused)
{
    static const uintptr_t absurd[] = { 0, 1, UINTPTR_MAX, UINTPTR_MAX - 4095, 1ul << 47 };
    uintptr_t *words[] = { &eden.top, &eden.bottom, &old_space.end, &young.high,
        (uintptr_t *)&collected_heap, (uintptr_t *)&the_heap.old, &max_heap };

    for (unsigned i = 0;; i++) {
        volatile uintptr_t *word = words[i % 7];
        uintptr_t kept = *word;
        *word = absurd[i % 5];
        *word = kept;
    }
    return unused;
}

int main(int argc, char **argv)
{
    const char *lie = argc > 1 ? argv[1] : "";
    uintptr_t base = (uintptr_t)map(4 << 20);

    eden = (struct space){ base, base + (1 << 20), base + (1 << 20) };
    from = to = (struct space){ base + (1 << 20), base + (1 << 20), base + (1 << 20) };
    old_space = (struct space){ base + (2 << 20), base + (2 << 20), base + (4 << 20) };
    young.low = base, young.high = base + (2 << 20);
    old.low = base + (2 << 20), old.high = base + (4 << 20);

    if (!strcmp(lie, "endless"))
        for (size_t i = 0; i < sizeof(structs) / sizeof(structs[0]); i++)
            structs[i] = structs[0];
    if (!strcmp(lie, "no-stride"))
        gHotSpotVMStructEntryArrayStride = 0;
    if (!strcmp(lie, "stride"))
        gHotSpotVMStructEntryArrayStride = UINT64_MAX;
    if (!strcmp(lie, "offset"))
        gHotSpotVMStructEntryFieldNameOffset = UINT64_MAX - 3;
    if (!strcmp(lie, "elsewhere"))
        gHotSpotVMStructs = (struct entry *)(UINTPTR_MAX - 4095);
    if (!strcmp(lie, "circle"))
        types[1].super = "ContiguousSpace";
    if (!strcmp(lie, "flags"))
        flag_count = UINT64_MAX / sizeof(struct flag);
    if (!strcmp(lie, "flag-size"))
        types[0].size = UINT64_MAX;
    if (!strcmp(lie, "used"))
        old_space.top = UINTPTR_MAX;
    if (!strcmp(lie, "limit"))
        max_heap = 1 << 20;
    if (!strcmp(lie, "null"))
        collected_heap = NULL;
    pthread_t thread;
    if (!strcmp(lie, "changing"))
        pthread_create(&thread, NULL, change, NULL);
    ready("used=%d", 1 << 20);
    return 0;
}
