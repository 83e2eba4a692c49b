/* A mount table that is long to read, and many small programs that are mapped: both
 * in namespaces of its own, which any user may have, and which end with it. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "target.h"

static void line(const char *name, const char *format, unsigned id)
{
    FILE *to = fopen(name, "w");
    if (!to || fprintf(to, format, id) < 0 || fclose(to))
        fail(name);
}

/* A small program's file of its own, with code mapped. */
static void program(int number)
{
    char name[32], part[16384];
    int from = open("/proc/self/exe", O_RDONLY);
    ssize_t size = pread(from, part, sizeof part, 0);

    snprintf(name, sizeof name, "program-%d", number);
    int to = open(name, O_RDWR | O_CREAT | O_EXCL, 0700);
    if (from < 0 || to < 0 || size <= 0 || write(to, part, size) != size)
        fail(name);
    if (mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, to, 0) == MAP_FAILED)
        fail("mmap");
    close(from);
    close(to);
}

int main(int count, char **arguments)
{
    enum { PROGRAMS = 1000 };
    int mounts = count > 1 ? atoi(arguments[1]) : 6000;
    unsigned user = getuid(), group = getgid();
    char name[256];

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
        fail("unshare");
    line("/proc/self/setgroups", "deny", 0);
    line("/proc/self/uid_map", "0 %u 1", user);
    line("/proc/self/gid_map", "0 %u 1", group);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", "/tmp", "tmpfs", 0, NULL) || chdir("/tmp"))
        fail("mount");
    for (int i = 0; i < mounts; i++) {
        snprintf(name, sizeof name, "mount-%0200d", i);
        if (mkdir(name, 0700) || mount(name, name, NULL, MS_BIND, NULL))
            fail("bind mount");
    }
    for (int i = 0; i < PROGRAMS; i++)
        program(i);
    ready("mounts=%d programs=%d", mounts, PROGRAMS);
    return 0;
}
