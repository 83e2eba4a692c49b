/* Special mappings, one sort a step. What this machine does not offer holds 0. */
#include "target.h"
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <arpa/inet.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const long size = 16 * MIB;

/* Maps a file of the kernel's and reads each page of it; 0 where it can not be. */
static long read_all(int fd, long bytes, int protection, long offset)
{
    char *start;

    if (fd < 0)
        return 0;
    start = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (start == MAP_FAILED)
        return 0;
    for (long at = 0; at < bytes; at += 4096)
        (void)*(volatile char *)(start + at);
    return bytes;
}

static long packet_ring(void)
{
    int version = TPACKET_V3, fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct tpacket_req3 ring = {
        .tp_block_size = MIB, .tp_block_nr = size / MIB,
        .tp_frame_size = 2048, .tp_frame_nr = size / 2048,
    };

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version)
        || setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring))
        return 0;
    return read_all(fd, size, PROT_READ | PROT_WRITE, 0);
}

/* Eight rings; the first keeps a buffer pinned that is no longer mapped. */
static long rings(long *pinned)
{
    long held = 0;

    for (int i = 0; i < 8; i++) {
        struct io_uring_params setup = { 0 };
        int fd = syscall(SYS_io_uring_setup, 32768, &setup);
        if (fd < 0)
            return held;
        held += read_all(fd, setup.sq_entries * sizeof(struct io_uring_sqe),
                         PROT_READ | PROT_WRITE, IORING_OFF_SQES);
        if (i == 0) {
            char *buffer = map(size);
            struct iovec all = { buffer, size };
            touch(buffer, size);
            if (!syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, &all, 1))
                *pinned = size;
            munmap(buffer, size);
        }
    }
    return held;
}

static long bpf_array(void)
{
    union bpf_attr array = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4096,
        .max_entries = size / 4096, .map_flags = BPF_F_MMAPABLE,
    };

    return read_all(syscall(SYS_bpf, BPF_MAP_CREATE, &array, sizeof array), size,
                    PROT_READ | PROT_WRITE, 0);
}

static long kvm_page(void)
{
    int kvm = open("/dev/kvm", O_RDWR), machine, processor;

    if (kvm < 0 || (machine = ioctl(kvm, KVM_CREATE_VM, 0)) < 0)
        return 0;
    processor = ioctl(machine, KVM_CREATE_VCPU, 0);
    return read_all(processor, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, 0);
}

int main(void)
{
    long pinned = 0, held;

    ready("nothing=0");
    ready("socket_ring=%ld", packet_ring());
    held = rings(&pinned);
    ready("io_uring=%ld pinned=%ld", held, pinned);
    ready("bpf_map=%ld", bpf_array());
    ready("kvm_vcpu=%ld", kvm_page());
    return 0;
}
