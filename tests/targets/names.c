/* Names that parsers stumble over: in comm, and of mappings. */
#include "target.h"
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>

/* The end that the kernel gives removed files, brackets, bytes that are no
 * UTF-8, a line that looks like the next key. */
static const char *const names[] = {
    "a b", "end (deleted)", "[heap]", "\xff\xfe", "new\nRss: 9999999 kB", "tab\t\\012",
};

int main(void)
{
    long size = MIB, resident = 0;
    int id;
    char *start;

    if (prctl(PR_SET_NAME, ") R 1\n\xff("))
        fail("prctl");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char name[128];
        snprintf(name, sizeof name, "memgap-target-%d %s", getpid(), names[i]);
        start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file(name, size), 0);
        if (start == MAP_FAILED)
            fail("mmap");
        touch(start, size);
        resident += size;
    }
    /* System V: "/SYSV" and a key, shorter than some parsers want it. */
    id = shmget(IPC_PRIVATE, size, 0600);
    start = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
    if (id < 0 || shmctl(id, IPC_RMID, NULL) || start == (char *)-1)
        fail("shmat");
    touch(start, size);
    ready("file=%ld shmem=%ld", resident, size);
    return 0;
}
