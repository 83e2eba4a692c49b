//! What waits in the sockets of processes: kernel memory that no figure of theirs holds.

/// Data in the queues of sockets, in bytes. Of TCP that is what was sent, to which the
/// kernel's buffers add; of UDP it is what the buffers cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketQueues {
    /// Sockets that processes hold open, each counted once, whatever their kind.
    pub count: u64,
    /// TCP: received, and not read by the program.
    pub tcp_received: u64,
    /// TCP: written by the program, and not acknowledged by the other side.
    pub tcp_sent: u64,
    /// UDP: received, and not read by the program.
    pub udp_received: u64,
    /// UDP: written by the program, and not sent by the device.
    pub udp_sent: u64,
    /// Whether every open file of every process was looked at.
    pub is_whole: bool,
}

impl SocketQueues {
    /// All of TCP's.
    pub fn tcp(&self) -> u64 {
        self.tcp_received.saturating_add(self.tcp_sent)
    }

    /// All of UDP's.
    pub fn udp(&self) -> u64 {
        self.udp_received.saturating_add(self.udp_sent)
    }

    /// Everything that waits: the least that the buffers cost.
    pub fn sum(&self) -> u64 {
        self.tcp().saturating_add(self.udp())
    }
}
