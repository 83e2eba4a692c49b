/* Holds known memory for tests/bench/{compare,cost}, until its standard input ends.
 *
 * usage: load PROCESSES MIB AREAS [BUSY]
 *
 * Forks PROCESSES children named load-N. Each holds MIB of resident anonymous
 * memory in small pages, cut into AREAS mappings (0: as the kernel joins them).
 * The first BUSY of them allocate, write and free some memory twenty times a second, the
 * others sleep. Prints the pid of each child, one a line, and "ready" once all hold it. */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul

static void hold(size_t bytes, size_t areas)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE) != 0)
        err(1, "failed to map %zu bytes", bytes);
    for (size_t at = 0; at < bytes; at += PAGE)
        memory[at] = 1;
    /* Neighbours with different rights are not joined. */
    size_t part = areas > 0 ? bytes / areas / PAGE * PAGE : 0;
    for (size_t nth = 1; nth < areas; nth += 2)
        if (mprotect(memory + nth * part, part, PROT_READ) != 0)
            err(1, "failed to cut %zu bytes into %zu mappings", bytes, areas);
}

static void work(void)
{
    enum { BLOCKS = 16 };
    char *blocks[BLOCKS] = {0};
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    for (size_t turn = 0;; turn++) {
        size_t bytes = 16 << 10 << turn % 3;
        free(blocks[turn % BLOCKS]);
        blocks[turn % BLOCKS] = malloc(bytes);
        if (blocks[turn % BLOCKS] == NULL)
            err(1, "failed to allocate %zu bytes", bytes);
        memset(blocks[turn % BLOCKS], 1, bytes);
        nanosleep(&pause, NULL);
    }
}

static size_t number(const char *word)
{
    char *end;
    unsigned long value = strtoul(word, &end, 10);
    if (*word == '\0' || *end != '\0')
        errx(2, "%s is not a number; usage: load PROCESSES MIB AREAS [BUSY]", word);
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5)
        errx(2, "usage: load PROCESSES MIB AREAS [BUSY]");
    size_t busy = argc == 5 ? number(argv[4]) : 0;
    size_t processes = number(argv[1]), bytes = number(argv[2]) << 20, areas = number(argv[3]);
    pid_t parent = getpid();
    int filled[2];
    if (pipe(filled) != 0)
        err(1, "failed to make a pipe");
    for (size_t nth = 0; nth < processes; nth++) {
        pid_t pid = fork();
        if (pid < 0)
            err(1, "failed to start process %zu", nth);
        if (pid == 0) {
            char name[32];
            snprintf(name, sizeof name, "load-%zu", nth);
            prctl(PR_SET_NAME, name);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1);
            hold(bytes, areas);
            if (write(filled[1], "x", 1) != 1)
                _exit(1);
            if (nth < busy)
                work();
            for (;;)
                pause();
        }
        printf("%d\n", pid);
        fflush(stdout);
    }
    close(filled[1]);
    char byte;
    for (size_t nth = 0; nth < processes; nth++)
        if (read(filled[0], &byte, 1) != 1)
            errx(1, "a process ended before it held its memory");
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return 0;
}
