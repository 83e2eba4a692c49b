/* A FUSE server that stops to answer, and processes that wait for it: one that holds its
 * memory map meanwhile, and programs whose file it serves, on a mount that no table shows
 * any more. All of it ends with this process: its connection is closed, and so aborted.
 *
 * With HOLDERS in its environment it is six processes of nobody's that hold theirs, and no program. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "target.h"

#define MOUNT "/tmp/hung"
#define DATA MOUNT "/hung-data"
#define PROGRAM MOUNT "/hung-program"

enum { NODE_PROGRAM = 2, NODE_DATA = 3, PROGRAMS = 2, REQUEST = 1 << 17, HEAP = 32 };
enum { HOLDERS = 6, NOBODY = 65534 };

static char program[1 << 20], request[REQUEST];
static ssize_t program_size;
static int fuse;
static atomic_int answers = 1;
static sem_t written;

/* Says that it has memory which is worth a walk. */
static void settle(int settled)
{
    touch(map(HEAP * MIB), HEAP * MIB);
    if (write(settled, "x", 1) != 1)
        fail("pipe");
}

/* A new mapping in the place of one that was written to: the kernel holds the memory map
 * while it writes that back, and waits for an answer (fuse_vma_close). */
static void hold(int settled, int leave)
{
    long page = sysconf(_SC_PAGESIZE);
    char word;
    int data = open(DATA, O_RDWR);
    char *start = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0);

    if (data < 0 || start == MAP_FAILED)
        fail(DATA);
    close(data);
    touch(start, page);
    settle(settled);
    if (read(leave, &word, 1) != 1)
        exit(0);
    mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    exit(0);
}

/* Forks a process that ends with this one; it begins when there is something mounted. */
static pid_t child(const char *name, const int begin[2], int settled, int leave)
{
    char word, number[16];
    pid_t pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid)
        return pid;
    if (strcmp(name, "nobodys-map") == 0 && (setgid(NOBODY) || setuid(NOBODY)))
        fail("setuid");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, name);
    if (read(begin[0], &word, 1) != 1)
        exit(0);
    if (strcmp(name, "hung-program"))
        hold(settled, leave);
    snprintf(number, sizeof number, "%d", settled);
    execl(PROGRAM, "hung-program", number, NULL);
    fail(PROGRAM);
    return 0;
}

static void answer(const struct fuse_in_header *to, int error, const void *what, size_t size)
{
    struct fuse_out_header head = {
        .len = sizeof head + size, .error = error, .unique = to->unique
    };
    struct iovec parts[] = { { &head, sizeof head }, { (void *)what, size } };

    /* ENOENT: who asked is gone. */
    if (writev(fuse, parts, size ? 2 : 1) < 0 && errno != ENOENT)
        fail("answer");
}

static struct fuse_attr attributes(uint64_t node)
{
    struct fuse_attr attr = { .ino = node, .mode = S_IFDIR | 0755, .nlink = 1, .blksize = 4096 };

    if (node == NODE_PROGRAM) {
        attr.mode = S_IFREG | 0755;
        attr.size = program_size;
    } else if (node == NODE_DATA) {
        attr.mode = S_IFREG | 0666;
        attr.size = 4096;
    }
    return attr;
}

static void lookup(const struct fuse_in_header *to)
{
    const char *name = (const char *)(to + 1);
    struct fuse_entry_out entry = { .entry_valid = 3600 };

    if (!strcmp(name, "hung-program"))
        entry.nodeid = NODE_PROGRAM;
    else if (!strcmp(name, "hung-data"))
        entry.nodeid = NODE_DATA;
    entry.attr = attributes(entry.nodeid);
    answer(to, entry.nodeid ? 0 : -ENOENT, &entry, entry.nodeid ? sizeof entry : 0);
}

static void contents(const struct fuse_in_header *to)
{
    static const char zeros[4096];
    const struct fuse_read_in *wanted = (const void *)(to + 1);
    int is_program = to->nodeid == NODE_PROGRAM;
    size_t whole = is_program ? (size_t)program_size : sizeof zeros;
    size_t at = wanted->offset < whole ? wanted->offset : whole;
    size_t size = wanted->size < whole - at ? wanted->size : whole - at;

    answer(to, 0, (is_program ? program : zeros) + at, size);
}

static void serve(const struct fuse_in_header *to)
{
    struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
    struct fuse_attr_out attr = { .attr = attributes(to->nodeid) };
    struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };

    switch (to->opcode) {
    case FUSE_INIT:
        answer(to, 0, &init, sizeof init);
        break;
    case FUSE_LOOKUP:
        lookup(to);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        answer(to, 0, &attr, sizeof attr);
        break;
    case FUSE_OPEN:
        answer(to, 0, &open, sizeof open);
        break;
    case FUSE_READ:
        contents(to);
        break;
    case FUSE_RELEASE:
        answer(to, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break;
    default:
        answer(to, -ENOSYS, NULL, 0);
    }
}

/* Takes requests: first it answers them, and then none, but says that one is a write. */
static void *take(void *unused)
{
    struct fuse_in_header *to = (void *)request;

    for (;;) {
        /* ENOENT, EINTR: the request was taken back. */
        if (read(fuse, request, sizeof request) < (ssize_t)sizeof *to) {
            if (errno == ENODEV)
                fail("the connection was aborted");
        } else if (answers) {
            serve(to);
        } else if (to->opcode == FUSE_WRITE) {
            sem_post(&written);
        }
    }
    return unused;
}

int main(int count, char **arguments)
{
    int begin[2], settled[2], leave[2], self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    pthread_t server;
    char options[128], words[HOLDERS] = { 0 };
    int are_nobodys = getenv("HOLDERS") != NULL;
    int holders = are_nobodys ? HOLDERS : 1, programs = are_nobodys ? 0 : PROGRAMS;
    pid_t pids[HOLDERS];

    if (count == 2) {
        settle(atoi(arguments[1]));
        pause();
        return 0;
    }
    program_size = read(self, program, sizeof program);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", "/tmp", "tmpfs", 0, NULL) || mkdir(MOUNT, 0755))
        fail("mount");
    if (pipe(begin) || pipe(settled) || pipe(leave))
        fail("pipe");
    /* They must not have the connection open: it ends with this process. */
    for (int i = 0; i < holders + programs; i++) {
        const char *name = are_nobodys ? "nobodys-map" : i ? "hung-program" : "hung-map";
        pids[i] = child(name, begin, settled[1], leave[0]);
    }
    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
    if (fuse < 0 || mount("hung", MOUNT, "fuse", MS_NOSUID | MS_NODEV, options))
        fail("/dev/fuse");
    if (sem_init(&written, 0, 0) || pthread_create(&server, NULL, take, NULL))
        fail("pthread_create");
    if (write(begin[1], words, holders + programs) != holders + programs)
        fail("pipe");
    for (int i = 0; i < holders + programs; i++)
        if (read(settled[0], words, 1) != 1)
            fail("pipe");
    if (umount2(MOUNT, MNT_DETACH))
        fail("umount");
    if (are_nobodys)
        ready("first=%d second=%d third=%d fourth=%d fifth=%d sixth=%d", pids[0], pids[1], pids[2],
              pids[3], pids[4], pids[5]);
    else
        ready("map=%d first=%d second=%d", pids[0], pids[1], pids[2]);

    /* From here on nothing is answered. */
    answers = 0;
    if (write(leave[1], words, holders) != holders)
        fail("pipe");
    while (sem_wait(&written))
        ;
    ready("hung=1");
    return 0;
}
