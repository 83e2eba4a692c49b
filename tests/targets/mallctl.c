/* 64 MiB in small and large pieces on whatever malloc it is given, which must be a
 * jemalloc that can be asked by mallctl: all of them; every second one; lazily given
 * back what is free; half of that taken again. */
#include "target.h"

#define PIECES (32768 + 2048 + 32 + 4)

int mallctl(const char *, void *, size_t *, void *, size_t) __attribute__((weak));

static char *pieces[PIECES];
static long sizes[PIECES];
static int count;

static size_t statistic(const char *name)
{
    size_t value = 0, size = sizeof value;
    if (mallctl(name, &value, &size, NULL, 0))
        fail(name);
    return value;
}

static void say(void)
{
    unsigned long long epoch = 1;
    if (mallctl("epoch", NULL, NULL, &epoch, sizeof epoch))
        fail("epoch");
    ready("allocated=%zu active=%zu metadata=%zu resident=%zu retained=%zu dirty=%zu muzzy=%zu",
          statistic("stats.allocated"), statistic("stats.active"), statistic("stats.metadata"),
          statistic("stats.resident"), statistic("stats.retained"),
          statistic("stats.arenas.4096.pdirty") * 4096,
          statistic("stats.arenas.4096.pmuzzy") * 4096);
}

static void take(long size, long sum)
{
    for (; sum > 0; sum -= size) {
        pieces[count] = malloc(size);
        if (!pieces[count])
            fail("malloc");
        touch(pieces[count], size);
        sizes[count++] = size;
    }
}

static void take_all(void)
{
    count = 0;
    take(512, 16 * MIB);
    take(8 << 10, 16 * MIB);
    take(512 << 10, 16 * MIB);
    take(4 * MIB, 16 * MIB);
}

int main(void)
{
    static char out[4096], in[4096];
    ssize_t at_once = 0;

    if (!mallctl) {
        fprintf(stderr, "no jemalloc\n");
        return 2;
    }
    /* The library's buffers would be memory in use. */
    setvbuf(stdout, out, _IOFBF, sizeof out);
    setvbuf(stdin, in, _IOFBF, sizeof in);
    take_all();
    say();
    for (int i = 0; i < count; i += 2)
        free(pieces[i]);
    say();
    /* What was dirty until now becomes muzzy, where the options keep it there. */
    for (int i = 1; i < count; i += 2)
        free(pieces[i]);
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    if (mallctl("arena.0.dirty_decay_ms", NULL, NULL, &at_once, sizeof at_once))
        fail("arena.0.dirty_decay_ms");
    say();
    count = 0;
    take(4 * MIB, 24 * MIB);
    say();
    return 0;
}
