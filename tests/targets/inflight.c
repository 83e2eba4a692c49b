/* A memory file that was sent over a socket and is not received: nobody has it open. */
#include "memory_file.h"
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int main(void)
{
    long size = 32 * MIB;
    char *start;
    int ends[2], fd = memory_file("sent", size, &start);
    char control[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec byte = { "x", 1 };
    struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1,
                              .msg_control = control, .msg_controllen = sizeof control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        fail("socketpair");
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
