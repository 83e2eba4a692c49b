/* Data that waits in sockets: sent over loopback and not received. First UDP, then TCP,
 * then pairs of unix sockets. */
#include "target.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define PAYLOAD 1400
#define SOCKETS 4

static char data[1 << 16];

static struct sockaddr_in at_loopback(int fd)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, length) ||
        getsockname(fd, (struct sockaddr *)&address, &length))
        fail("bind");
    return address;
}

static void room(int fd, int option, int size)
{
    if (setsockopt(fd, SOL_SOCKET, option, &size, sizeof size))
        fail("setsockopt: needs root");
}

/* More datagrams than the queues take. */
static void udp(void)
{
    for (int i = 0; i < SOCKETS; i++) {
        int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0);
        room(to, SO_RCVBUFFORCE, 16 * MIB);
        struct sockaddr_in address = at_loopback(to);
        for (int sent = 0; sent < 7000; sent++)
            sendto(from, data, PAYLOAD, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof address);
        close(from);
    }
}

/* Streams until they take no more; what was sent. */
static long tcp(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    long sent = 0;

    room(listener, SO_RCVBUFFORCE, 4 * MIB);
    struct sockaddr_in address = at_loopback(listener);
    if (listen(listener, SOCKETS))
        fail("listen");
    for (int i = 0; i < SOCKETS; i++) {
        int from = socket(AF_INET, SOCK_STREAM, 0);
        ssize_t part;
        room(from, SO_SNDBUFFORCE, 4 * MIB);
        if (connect(from, (struct sockaddr *)&address, sizeof address) ||
            accept(listener, NULL, NULL) < 0 || fcntl(from, F_SETFL, O_NONBLOCK))
            fail("connect");
        while ((part = write(from, data, sizeof data)) > 0)
            sent += part;
    }
    return sent;
}

static long local(void)
{
    long sent = 0;

    for (int i = 0; i < SOCKETS; i++) {
        int pair[2];
        ssize_t part;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
            fail("socketpair");
        room(pair[0], SO_SNDBUFFORCE, 2 * MIB);
        while ((part = write(pair[0], data, sizeof data)) > 0)
            sent += part;
    }
    return sent;
}

int main(void)
{
    ready("udp=0 tcp=0 unix=0");
    udp();
    ready("tcp=0 unix=0");
    long streams = tcp();
    ready("tcp=%ld unix=0", streams);
    ready("tcp=%ld unix=%ld", streams, local());
    return 0;
}
