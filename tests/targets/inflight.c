/* A memory file that was sent over a socket and is not received: nobody has it open. */
#include "target.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int main(void)
{
    long size = 32 * MIB;
    int ends[2], fd = memfd_create("sent", MFD_CLOEXEC);
    char control[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec byte = { "x", 1 };
    struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    char *start;

    if (fd < 0 || ftruncate(fd, size) || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        fail("memfd_create");
    start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED)
        fail("mmap");
    touch(start, size);
    munmap(start, size);
    ready("held=%ld", size);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    if (sendmsg(ends[0], &message, 0) < 0)
        fail("sendmsg");
    close(fd);
    ready("sent=%ld", size);
    return 0;
}
