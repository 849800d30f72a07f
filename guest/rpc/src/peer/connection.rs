//! The connections of a session, and which thread uses which.

use super::Environment;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A connection, and who uses it.
struct Slot<E: Environment> {
    stream: Arc<E::Stream>,
    /// This side sends commands on it on its own account; else the peer does, and this side only while it executes one.
    calling: bool,
    /// The thread that uses it, and how often over.
    thread: Option<u64>,
    uses: u32,
    /// The thread executes a two-way call that came by it: the peer waits for the reply, and meanwhile takes commands.
    nests: bool,
}

pub(super) struct Connections<E: Environment> {
    slots: Vec<Slot<E>>,
    /// Where the search for a free connection starts.
    turn: usize,
}

/// A connection in use by the calling thread.
pub(super) struct Lease<E: Environment> {
    pub stream: Arc<E::Stream>,
    /// Whether acknowledgements of one-way calls may wait on it.
    pub calling: bool,
}

pub(super) enum Found<E: Environment> {
    Lease(Lease<E>),
    Busy,
    /// There is no connection to call by, and none will become free.
    None,
}

impl<E: Environment> Connections<E> {
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            turn: 0,
        }
    }

    pub fn add(&mut self, stream: &Arc<E::Stream>, calling: bool) {
        self.slots.push(Slot {
            stream: Arc::clone(stream),
            calling,
            thread: None,
            uses: 0,
            nests: false,
        });
    }

    pub fn count(&self, calling: bool) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.calling == calling)
            .count()
    }

    pub fn streams(&self) -> impl Iterator<Item = &Arc<E::Stream>> {
        self.slots.iter().map(|slot| &slot.stream)
    }

    fn take(slot: &mut Slot<E>, thread: u64) -> Found<E> {
        slot.thread = Some(thread);
        slot.uses += 1;
        Found::Lease(Lease {
            stream: Arc::clone(&slot.stream),
            calling: slot.calling,
        })
    }

    /// A connection to send a command by: the one whose call this thread executes, or a free one. One-way calls take a
    /// free one first: the peer's thread behind the other is busy waiting.
    pub fn find(&mut self, thread: u64, oneway: bool) -> Found<E> {
        let held = self
            .slots
            .iter()
            .rposition(|slot| slot.thread == Some(thread) && slot.nests);
        let count = self.slots.len();
        let free = (0..count)
            .map(|step| self.turn.wrapping_add(step) % count)
            .find(|at| {
                self.slots
                    .get(*at)
                    .is_some_and(|slot| slot.calling && slot.thread.is_none())
            });
        let chosen = match oneway {
            true => free.or(held),
            false => held.or(free),
        };
        if let Some((at, slot)) = chosen.and_then(|at| Some((at, self.slots.get_mut(at)?))) {
            self.turn = at + 1;
            return Self::take(slot, thread);
        }
        // To wait for oneself would be to wait forever.
        let others = |slot: &Slot<E>| slot.calling && slot.thread != Some(thread);
        match self.slots.iter().any(others) {
            true => Found::Busy,
            false => Found::None,
        }
    }

    /// A connection to send word by that nobody waits for, if there is one at once.
    pub fn find_idle(&mut self, thread: u64) -> Option<Lease<E>> {
        let own = |slot: &Slot<E>| slot.thread == Some(thread);
        // Where the peer waits for a reply it reads for certain. After a one-way call nobody may read for long: writing there
        // would in the end block, with further calls unread behind it.
        let chosen = self
            .slots
            .iter()
            .position(|slot| own(slot) && slot.nests)
            .or_else(|| {
                self.slots
                    .iter()
                    .position(|slot| slot.calling && slot.thread.is_none())
            });
        let slot = self.slots.get_mut(chosen?)?;
        match Self::take(slot, thread) {
            Found::Lease(lease) => Some(lease),
            Found::Busy | Found::None => None,
        }
    }

    fn slot(&mut self, stream: &Arc<E::Stream>) -> Option<&mut Slot<E>> {
        self.slots
            .iter_mut()
            .find(|slot| Arc::ptr_eq(&slot.stream, stream))
    }

    /// Ends a use.
    pub fn give_back(&mut self, stream: &Arc<E::Stream>) {
        if let Some(slot) = self.slot(stream) {
            slot.uses = slot.uses.saturating_sub(1);
            if slot.uses == 0 {
                slot.thread = None;
            }
        }
    }

    /// Notes that a thread executes a call that came by a connection. Returns what to restore afterwards.
    pub fn begin_execution(
        &mut self,
        stream: &Arc<E::Stream>,
        thread: u64,
        nests: bool,
    ) -> Option<bool> {
        let slot = self.slot(stream)?;
        slot.thread = Some(thread);
        slot.uses += 1;
        Some(core::mem::replace(&mut slot.nests, nests))
    }

    pub fn end_execution(&mut self, stream: &Arc<E::Stream>, before: Option<bool>) {
        if let (Some(slot), Some(nests)) = (self.slot(stream), before) {
            slot.nests = nests;
        }
        self.give_back(stream);
    }

    pub fn clear(&mut self) {
        self.slots.clear();
    }
}
