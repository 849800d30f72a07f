//! The objects that both sides of a session know, and how often they told each other of them.

use super::Object;
use crate::error::Error;
use crate::status::StatusCode;
use crate::wire::{Address, Transaction};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

/// Objects of a session. Each that a peer makes known costs memory here.
const MAX_NODES: usize = 1 << 16;
/// One-way calls to an object that wait for an earlier one: Android's limit, and one on their bytes.
const MAX_QUEUED_CALLS: usize = 10_000;
const MAX_QUEUED_BYTES: usize = 4 << 20;

struct Node<O> {
    object: Weak<O>,
    /// Holds the object while the peer has references to it, or while what was sent to it is not acknowledged.
    held: Option<Arc<O>>,
    /// Times its address was sent and not given back.
    sent: u32,
    /// Times its address was received, not yet given back.
    received: u32,
    /// Values of `Remote` with this address: one, and for a moment two when the last one goes while the next one comes.
    remotes: u32,
    /// The number of the next one-way call that is sent to it.
    next_sent: u64,
    /// The number of the next one-way call that it executes, and those that came too early.
    next_executed: u64,
    queue: BTreeMap<u64, Transaction>,
    queued_bytes: usize,
}

impl<O> Node<O> {
    fn new(object: Weak<O>) -> Self {
        Self {
            object,
            held: None,
            sent: 0,
            received: 0,
            remotes: 0,
            next_sent: 0,
            next_executed: 0,
            queue: BTreeMap::new(),
            queued_bytes: 0,
        }
    }
}

pub(super) struct Nodes<O> {
    /// Whether this side is the server, whose addresses say so.
    server: bool,
    next_address: u32,
    nodes: BTreeMap<Address, Node<O>>,
    /// Objects of this process by where they are. A node keeps the place taken, if not the object.
    addresses: BTreeMap<usize, Address>,
}

/// What a one-way call may do now.
pub(super) enum Turn {
    Now(Transaction),
    /// An earlier one has not arrived yet; whoever executes that one goes on with this.
    Later,
}

/// What changed when references were given back, to be dropped outside of the lock.
pub(super) struct Given<O> {
    pub dropped: Option<Arc<O>>,
    /// Nothing is left that either side knows.
    pub over: bool,
}

fn place<O>(object: &Arc<O>) -> usize {
    Arc::as_ptr(object) as usize
}

impl<O: Object> Nodes<O> {
    pub fn new(server: bool) -> Self {
        Self {
            server,
            next_address: 0,
            nodes: BTreeMap::new(),
            addresses: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn is_own(&self, address: Address) -> bool {
        address.is_for_server() == self.server
    }

    /// Counts an object that is about to be sent, and gives its address.
    pub fn leave(&mut self, object: &Arc<O>) -> Result<Address, StatusCode> {
        let address = match object.remote() {
            Some(remote) => remote.address(),
            None => match self.addresses.get(&place(object)) {
                Some(address) => *address,
                None => self.add_own(object)?,
            },
        };
        let node = self
            .nodes
            .get_mut(&address)
            .ok_or(StatusCode::DEAD_OBJECT)?;
        node.sent = node.sent.saturating_add(1);
        node.held = Some(Arc::clone(object));
        Ok(address)
    }

    fn add_own(&mut self, object: &Arc<O>) -> Result<Address, StatusCode> {
        if self.nodes.len() >= MAX_NODES {
            return Err(StatusCode::NO_MEMORY);
        }
        let address = loop {
            let address = Address::own(self.next_address, self.server);
            self.next_address = self.next_address.wrapping_add(1);
            if !self.nodes.contains_key(&address) {
                break address;
            }
        };
        self.nodes
            .insert(address, Node::new(Arc::downgrade(object)));
        self.addresses.insert(place(object), address);
        Ok(address)
    }

    /// Counts a call that is about to be sent to an object of the peer; gives its number if it is one-way.
    pub fn call(&mut self, address: Address, oneway: bool) -> Result<u64, StatusCode> {
        let node = self
            .nodes
            .get_mut(&address)
            .ok_or(StatusCode::DEAD_OBJECT)?;
        node.sent = node.sent.saturating_add(1);
        if node.held.is_none() {
            node.held = node.object.upgrade();
        }
        if !oneway {
            return Ok(0);
        }
        let number = node.next_sent;
        node.next_sent = number.wrapping_add(1);
        Ok(number)
    }

    /// Counts an object whose address was read from a parcel. `make` makes what stands for one of the peer's.
    pub fn enter(
        &mut self,
        address: Address,
        make: impl FnOnce() -> Arc<O>,
    ) -> Result<Arc<O>, StatusCode> {
        let own = self.is_own(address);
        if !self.nodes.contains_key(&address) {
            if own || !address.is_valid() || address == Address::NULL {
                return Err(StatusCode::BAD_VALUE);
            }
            if self.nodes.len() >= MAX_NODES {
                return Err(StatusCode::NO_MEMORY);
            }
            self.nodes.insert(address, Node::new(Weak::new()));
        }
        let node = self
            .nodes
            .get_mut(&address)
            .ok_or(StatusCode::DEAD_OBJECT)?;
        let object = match (node.object.upgrade(), own) {
            (Some(object), _) => object,
            (None, true) => return Err(StatusCode::BAD_VALUE),
            (None, false) => {
                let object = make();
                node.object = Arc::downgrade(&object);
                node.remotes += 1;
                object
            }
        };
        node.received = node.received.saturating_add(1);
        Ok(object)
    }

    /// Counts a call that was received for an object of this process.
    pub fn called(&mut self, address: Address) -> Result<Arc<O>, Error> {
        let unknown = Error::Protocol("the peer called an object that it does not have");
        if !self.is_own(address) {
            return Err(unknown);
        }
        let node = self.nodes.get_mut(&address).ok_or(unknown.clone())?;
        let object = node.object.upgrade().ok_or(unknown)?;
        node.received = node.received.saturating_add(1);
        Ok(object)
    }

    /// The references to an object of this process that are to be given back now.
    pub fn take_received(&mut self, address: Address) -> u32 {
        match self.nodes.get_mut(&address) {
            Some(node) if self.server == address.is_for_server() => {
                let amount = core::mem::take(&mut node.received);
                self.forget_if_unknown(address);
                amount
            }
            _ => 0,
        }
    }

    /// A `Remote` has gone. The references to give back, if it was the last one.
    pub fn released(&mut self, address: Address) -> (u32, Given<O>) {
        let mut amount = 0;
        let mut dropped = None;
        if let Some(node) = self.nodes.get_mut(&address) {
            node.remotes = node.remotes.saturating_sub(1);
            if node.remotes == 0 {
                amount = core::mem::take(&mut node.received);
                dropped = node.held.take();
                self.nodes.remove(&address);
            }
        }
        let over = self.nodes.is_empty();
        (amount, Given { dropped, over })
    }

    /// The peer gave back references. More than it had is not believed.
    pub fn given_back(&mut self, address: Address, amount: u32) -> Given<O> {
        let mut dropped = None;
        if let Some(node) = self.nodes.get_mut(&address) {
            if let Some(sent) = node.sent.checked_sub(amount) {
                node.sent = sent;
            }
            if node.sent == 0 {
                dropped = node.held.take();
                self.forget_if_unknown(address);
            }
        }
        let over = self.nodes.is_empty();
        Given { dropped, over }
    }

    fn forget_if_unknown(&mut self, address: Address) {
        if let Some(node) = self.nodes.get(&address) {
            let counts = [node.sent, node.received, node.remotes];
            if counts == [0; 3] && node.queue.is_empty() {
                self.addresses.remove(&(node.object.as_ptr() as usize));
                self.nodes.remove(&address);
            }
        }
    }

    /// Puts a received one-way call in line.
    pub fn order(&mut self, transaction: Transaction) -> Result<Turn, Error> {
        let unknown = Error::Protocol("the peer called an object that it does not have");
        let node = self.nodes.get_mut(&transaction.address).ok_or(unknown)?;
        let number = transaction.async_number;
        if number == node.next_executed {
            return Ok(Turn::Now(transaction));
        }
        let bytes = node
            .queued_bytes
            .saturating_add(transaction.parcel.data().len());
        if number < node.next_executed || node.queue.contains_key(&number) {
            return Err(Error::Protocol(
                "a one-way call has the number of an earlier one",
            ));
        }
        if node.queue.len() + 1 >= MAX_QUEUED_CALLS || bytes > MAX_QUEUED_BYTES {
            return Err(Error::Protocol(
                "too many one-way calls wait for an earlier one",
            ));
        }
        node.queued_bytes = bytes;
        node.queue.insert(number, transaction);
        Ok(Turn::Later)
    }

    /// The next one-way call to an object that is due, after one was executed.
    pub fn next_in_order(&mut self, address: Address) -> Option<Transaction> {
        let node = self.nodes.get_mut(&address)?;
        node.next_executed = node.next_executed.wrapping_add(1);
        let next = node.queue.remove(&node.next_executed)?;
        node.queued_bytes = node.queued_bytes.saturating_sub(next.parcel.data().len());
        Some(next)
    }

    /// Forgets all, at the session's end: what was held, and what stands for the peer's objects.
    pub fn clear(&mut self) -> (Vec<Arc<O>>, Vec<Arc<O>>) {
        self.addresses.clear();
        let server = self.server;
        let mut held = Vec::new();
        let mut orphans = Vec::new();
        for (address, node) in core::mem::take(&mut self.nodes) {
            if address.is_for_server() != server {
                orphans.extend(node.object.upgrade());
            }
            held.extend(node.held);
        }
        (held, orphans)
    }
}
