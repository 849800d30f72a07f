//! A split virtqueue, from the device's side: Virtual I/O Device 1.2, 2.7. The guest may write anything
//! into it at any time: what is read is read once, checked, and never read again.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{fence, Ordering};

use crate::memory::Memory;
use crate::sys::Part;

/// `VHOST_USER` names no maximum; QEMU's is this.
pub const MAX_SIZE: u16 = 1024;
/// What is looked at of one chain: a packet of 64 KiB with its header, and room for a guest that sends more.
const MAX_CHAIN_BYTES: u64 = 256 << 10;

const DESCRIPTOR_SIZE: u64 = 16;
const DESC_F_NEXT: u16 = 1;
const DESC_F_WRITE: u16 = 2;
const AVAIL_F_NO_INTERRUPT: u16 = 1;
const USED_F_NO_NOTIFY: u16 = 1;

/// Where the three parts of a ring are, as guest addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
}

/// Who writes into the buffers of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The guest, for us to read.
    FromGuest,
    /// We, for the guest to read.
    ToGuest,
}

/// Buffers that the guest handed over together.
#[derive(Debug)]
pub struct Chain<'m> {
    /// By which it is given back.
    pub head: u16,
    pub parts: Vec<Part<'m>>,
}

/// The guest broke the rules of the ring, in these words. The ring is served no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// A ring as far as QEMU has told us of it.
#[derive(Debug, Default)]
pub struct Ring {
    pub size: u16,
    pub addresses: Addresses,
    /// The available entry that is looked at next, modulo 2^16.
    pub next_available: u16,
    next_used: u16,
    pub enabled: bool,
    pub kick: Option<File>,
    pub call: Option<File>,
    broken: bool,
    /// Something was given back that the guest has not been told of.
    unannounced: bool,
}

impl Ring {
    /// Whether buffers may be taken.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.enabled && self.kick.is_some() && self.size != 0 && !self.broken
    }

    /// Takes up where the used ring stands; QEMU has set everything else. None when the ring is no memory, or not
    /// aligned: from here on its addresses can be computed with.
    #[must_use]
    pub fn start(&mut self, memory: &Memory) -> Option<()> {
        let size = u64::from(self.size);
        let Addresses {
            descriptors,
            available,
            used,
        } = self.addresses;
        // Behind both index rings is one more word, whether it is used or not.
        let parts = [
            (descriptors, 16, DESCRIPTOR_SIZE * size),
            (available, 2, 6 + 2 * size),
            (used, 4, 6 + 8 * size),
        ];
        for (address, alignment, size) in parts {
            memory.part(address, size)?;
            if address % alignment != 0 {
                return None;
            }
        }
        self.broken = false;
        self.unannounced = false;
        self.next_used = memory.load_u16(used + 2)?;
        Some(())
    }

    /// Stops serving a guest that broke the rules. False when that was so before.
    pub fn give_up(&mut self) -> bool {
        !std::mem::replace(&mut self.broken, true)
    }

    /// How many chains wait.
    fn waiting(&self, memory: &Memory) -> Result<u16, Broken> {
        let index = memory
            .load_u16(self.addresses.available + 2)
            .ok_or(Broken("the available ring is no memory"))?;
        let waiting = index.wrapping_sub(self.next_available);
        if waiting > self.size {
            return Err(Broken("more is available than the ring holds"));
        }
        Ok(waiting)
    }

    /// Takes the next chain. None when there is none.
    ///
    /// # Errors
    /// When an index is out of range, a chain does not end, or has buffers that are no memory or go the wrong way.
    pub fn pop<'m>(
        &mut self,
        memory: &'m Memory,
        direction: Direction,
    ) -> Result<Option<Chain<'m>>, Broken> {
        if self.waiting(memory)? == 0 {
            return Ok(None);
        }
        let slot = u64::from(self.next_available % self.size);
        let head = memory
            .load_u16(self.addresses.available + 4 + 2 * slot)
            .ok_or(Broken("the available ring is no memory"))?;
        let mut parts = Vec::with_capacity(4);
        let (mut index, mut bytes) = (head, 0);
        for _ in 0..self.size {
            let (address, size, flags, next) = self.descriptor(memory, index)?;
            if flags & !(DESC_F_NEXT | DESC_F_WRITE) != 0 {
                return Err(Broken("a descriptor has unknown flags"));
            }
            if (flags & DESC_F_WRITE != 0) != (direction == Direction::ToGuest) {
                return Err(Broken("a buffer goes the wrong way"));
            }
            let wanted = u64::from(size).min(MAX_CHAIN_BYTES - bytes);
            memory
                .parts(address, wanted, &mut parts)
                .ok_or(Broken("a buffer is no memory"))?;
            bytes += wanted;
            if flags & DESC_F_NEXT == 0 {
                self.next_available = self.next_available.wrapping_add(1);
                return Ok(Some(Chain { head, parts }));
            }
            index = next;
        }
        Err(Broken("a chain does not end"))
    }

    fn descriptor(&self, memory: &Memory, index: u16) -> Result<(u64, u32, u16, u16), Broken> {
        if index >= self.size {
            return Err(Broken("a descriptor is outside of the table"));
        }
        let at = self.addresses.descriptors + DESCRIPTOR_SIZE * u64::from(index);
        let bytes: [u8; 16] = memory
            .read(at)
            .ok_or(Broken("the descriptor table is no memory"))?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Ok((
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u32::from_le_bytes([i, j, k, l]),
            u16::from_le_bytes([m, n]),
            u16::from_le_bytes([o, p]),
        ))
    }

    /// Puts the chain that was taken last back to where it was.
    pub fn undo_pop(&mut self) {
        self.next_available = self.next_available.wrapping_sub(1);
    }

    /// Gives a chain back, into which `written` bytes were written.
    ///
    /// # Errors
    /// When the used ring is no memory.
    pub fn push(&mut self, memory: &Memory, head: u16, written: u32) -> Result<(), Broken> {
        let used = self.addresses.used;
        let slot = u64::from(self.next_used % self.size);
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        entry[4..].copy_from_slice(&written.to_le_bytes());
        self.next_used = self.next_used.wrapping_add(1);
        self.unannounced = true;
        memory
            .write(used + 4 + 8 * slot, &entry)
            .and_then(|()| memory.store_u16(used + 2, self.next_used))
            .ok_or(Broken("the used ring is no memory"))
    }

    /// Tells the guest of what was given back, if it wants to know.
    pub fn announce(&mut self, memory: &Memory) {
        if !std::mem::take(&mut self.unannounced) {
            return;
        }
        // What was given back must be visible before it is asked whether to tell.
        fence(Ordering::SeqCst);
        let flags = memory.load_u16(self.addresses.available).unwrap_or(0);
        if flags & AVAIL_F_NO_INTERRUPT == 0 {
            if let Some(call) = &mut self.call {
                // An event descriptor whose counter is full tells what it has to anyway.
                let _ = call.write(&1u64.to_ne_bytes());
            }
        }
    }

    /// Asks the guest not to kick, while the ring is looked at anyway, or to kick again.
    ///
    /// @returns whether something became available meanwhile.
    pub fn want_kicks(&mut self, memory: &Memory, wanted: bool) -> Result<bool, Broken> {
        let flags = if wanted { 0 } else { USED_F_NO_NOTIFY };
        memory
            .store_u16(self.addresses.used, flags)
            .ok_or(Broken("the used ring is no memory"))?;
        // The guest must see the flag before we look for the last time.
        fence(Ordering::SeqCst);
        Ok(self.waiting(memory)? != 0)
    }
}
