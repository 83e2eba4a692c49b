/* What reading a file costs at least: reads it whole and looks at nothing. Prints
 * the CPU microseconds that it took.
 *
 * usage: bare FILE BYTES, the most that one call reads */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double cpu_microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
    static char buffer[64 << 10];
    size_t most = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    if (most == 0 || most > sizeof buffer)
        errx(2, "usage: bare FILE BYTES, at most %zu", sizeof buffer);
    double start = cpu_microseconds();
    int file = open(argv[1], O_RDONLY);
    if (file < 0)
        err(1, "failed to open %s", argv[1]);
    ssize_t length;
    while ((length = read(file, buffer, most)) > 0)
        ;
    if (length < 0)
        err(1, "failed to read %s", argv[1]);
    close(file);
    printf("%.0f\n", cpu_microseconds() - start);
    return 0;
}
