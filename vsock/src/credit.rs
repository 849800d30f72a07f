//! Flow control: Virtual I/O Device 1.2, 5.10.6.3.

use crate::packet::Header;

/// Room for what a host program has not taken yet. Twice the largest packet, so that a guest can fill
/// one half while the other is taken; with every stream full it is 128 MiB.
pub const BUFFER_SIZE: u32 = 128 << 10;
/// How much either side may still send. All counts are modulo 2^32.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit {
    guest_buffer: u32,
    guest_forwarded: u32,
    sent: u32,
    received: u32,
    forwarded: u32,
    announced: u32,
}

impl Credit {
    /// Takes what every packet of the guest says.
    pub fn update(&mut self, header: &Header) {
        self.guest_buffer = header.buffer_size;
        self.guest_forwarded = header.forwarded;
    }

    /// How much the guest has room for. A guest that claims to have taken what was never sent has none.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.guest_buffer
            .saturating_sub(self.sent.wrapping_sub(self.guest_forwarded))
    }

    /// Notes what was sent.
    pub fn send(&mut self, size: u32) {
        self.sent = self.sent.wrapping_add(size);
    }

    /// False when the guest sends more than it was told that there is room for.
    #[must_use]
    pub fn receive(&mut self, size: u32) -> bool {
        let stored = self.received.wrapping_sub(self.forwarded);
        if size > BUFFER_SIZE - stored {
            return false;
        }
        self.received = self.received.wrapping_add(size);
        true
    }

    /// The host program took something.
    ///
    /// @returns whether the guest should be told: half of the room as it knows it is used up.
    pub fn forward(&mut self, size: u32) -> bool {
        self.forwarded = self.forwarded.wrapping_add(size);
        self.forwarded.wrapping_sub(self.announced) >= BUFFER_SIZE / 2
    }

    /// What the next packet says that was forwarded.
    pub fn announce(&mut self) -> u32 {
        self.announced = self.forwarded;
        self.forwarded
    }
}
