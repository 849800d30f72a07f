//! All streams of a guest: who they are, whose turn it is, and what the guest's packets mean to them.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::greeting::{read_greeting, Greeting};
use crate::packet::{operation, Header, HOST_CID, TYPE_STREAM};
use crate::slots::{Id, Slots};
use crate::stream::{Key, Stage, Stream, Turn};
use crate::sys::{self, Epoll, Event, Part, Trigger};

/// How many streams either side may have begun. Neither can keep the other from beginning one.
pub const MAX_STREAMS: usize = 512;
/// How many resets may wait for room at the guest; more than its ring of packets to us holds, so that a guest which first
/// sends everything and then looks at the answers does not block itself.
const MAX_RESETS: usize = 4096;
/// Ports that the host's ends get; below are those that programs choose.
const FIRST_HOST_PORT: u32 = 1 << 30;
/// How long a full queue of a host program is tried.
const DIAL_TIME: Duration = Duration::from_secs(5);
#[derive(Debug)]
pub struct Streams {
    epoll: Rc<Epoll>,
    guest_cid: u64,
    /// As which the host appears in streams that it begins.
    host_cid: u64,
    /// What a guest's port is appended to.
    path: PathBuf,
    slots: Slots,
    by_key: HashMap<Key, Id>,
    /// Those that may have something to tell the guest, in turns.
    ready: VecDeque<Id>,
    /// Answers to packets of no stream.
    resets: VecDeque<Header>,
    dialling: Vec<Id>,
    next_port: u32,
    from_host: usize,
    from_guest: usize,
}

impl Streams {
    #[must_use]
    pub fn new(epoll: Rc<Epoll>, guest_cid: u64, host_cid: u64, path: &Path) -> Self {
        Self {
            epoll,
            guest_cid,
            host_cid,
            path: path.to_owned(),
            slots: Slots::default(),
            by_key: HashMap::new(),
            ready: VecDeque::new(),
            resets: VecDeque::new(),
            dialling: Vec::new(),
            next_port: FIRST_HOST_PORT,
            from_host: 0,
            from_guest: 0,
        }
    }

    /// Whether another host program may connect.
    #[must_use]
    pub fn has_room(&mut self) -> bool {
        self.from_host < MAX_STREAMS || self.drop_closing(true)
    }

    /// Whether the guest may send another packet, whatever it is.
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.resets.len() < MAX_RESETS
    }

    /// Whether there may be something to tell the guest.
    #[must_use]
    pub fn has_packets(&self) -> bool {
        !self.resets.is_empty() || !self.ready.is_empty()
    }

    /// Whether a host program's queue is full, so that `dial_again` is wanted soon.
    #[must_use]
    pub fn is_dialling(&self) -> bool {
        !self.dialling.is_empty()
    }

    /// Whether something waits for host programs.
    #[must_use]
    pub fn is_delivering(&self) -> bool {
        self.slots.any(|stream| !stream.is_delivered())
    }

    fn get(&mut self, id: Id) -> Option<&mut Stream> {
        self.slots.get(id)
    }

    fn add(&mut self, stream: Stream) -> Id {
        *self.count_of(&stream) += 1;
        let key = (stream.stage != Stage::Greeting).then_some(stream.key);
        let id = self.slots.add(stream);
        if let Some(key) = key {
            self.by_key.insert(key, id);
        }
        id
    }

    fn count_of(&mut self, stream: &Stream) -> &mut usize {
        if stream.from_host {
            &mut self.from_host
        } else {
            &mut self.from_guest
        }
    }

    fn remove(&mut self, id: Id) {
        if let Some(stream) = self.slots.remove(id) {
            if self.by_key.get(&stream.key) == Some(&id) {
                self.by_key.remove(&stream.key);
            }
            *self.count_of(&stream) -= 1;
        }
    }

    /// The guest is another one now: what the last one had is over. What it sent is still delivered.
    pub fn forget_guest(&mut self) {
        for id in self.slots.ids() {
            self.guest_gone(id);
        }
        self.ready.clear();
        self.resets.clear();
        self.dialling.clear();
    }

    /// Gives a stream a turn.
    fn queue(&mut self, id: Id) {
        if let Some(stream) = self.get(id) {
            if !std::mem::replace(&mut stream.queued, true) {
                self.ready.push_back(id);
            }
        }
    }

    /// A host program has connected to the main socket.
    ///
    /// # Errors
    /// When its socket cannot be watched.
    pub fn accept(&mut self, socket: UnixStream) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let key = Key {
            host_cid: self.host_cid,
            host_port: 0,
            guest_port: 0,
        };
        let stream = Stream::new(key, self.guest_cid, Stage::Greeting, Some(socket));
        let id = self.add(stream);
        self.watch(id)
    }

    fn watch(&mut self, id: Id) -> io::Result<()> {
        let epoll = Rc::clone(&self.epoll);
        let Some(socket) = self.get(id).and_then(|stream| stream.socket.as_ref()) else {
            return Ok(());
        };
        let result = epoll.add(socket.as_fd(), id.0, Trigger::Edge);
        if result.is_err() {
            self.remove(id);
        }
        result
    }

    /// Something happened to a socket.
    ///
    /// @param guest_listens Whether there is a guest that could be asked.
    pub fn on_event(&mut self, event: Event, guest_listens: bool) {
        let id = Id(event.token);
        let Some(stream) = self.get(id) else {
            return;
        };
        stream.readable |= event.readable;
        if stream.stage == Stage::Greeting {
            self.greet(id, event.hung_up, guest_listens);
            return;
        }
        if event.hung_up {
            stream.hang_up();
        }
        match stream.stage {
            Stage::Requested if event.hung_up => {
                stream.socket = None;
                stream.owed.reset = true;
            }
            Stage::Open | Stage::Delivering => stream.flush(),
            _ => {}
        }
        if stream.stage == Stage::Delivering && stream.is_delivered() {
            self.remove(id);
        } else {
            self.queue(id);
        }
    }

    /// Reads which port a host program wants, as soon as it has said so whole.
    fn greet(&mut self, id: Id, hung_up: bool, guest_listens: bool) {
        let Some(stream) = self.get(id) else { return };
        let greeting = match stream.socket.as_mut() {
            Some(socket) if !hung_up => read_greeting(socket),
            _ => Greeting::Wrong,
        };
        match greeting {
            Greeting::Unfinished => {}
            Greeting::Port(port) if guest_listens => {
                let key = self.free_key(port);
                self.by_key.insert(key, id);
                if let Some(stream) = self.get(id) {
                    stream.key = key;
                    stream.stage = Stage::Requested;
                    stream.owed.request = true;
                    // There may be more behind the line, of which no event tells.
                    stream.readable = true;
                    self.queue(id);
                }
            }
            _ => self.remove(id),
        }
    }

    fn free_key(&mut self, guest_port: u32) -> Key {
        loop {
            let key = Key {
                host_cid: self.host_cid,
                host_port: self.next_port,
                guest_port,
            };
            // The last port number means "any".
            self.next_port = match self.next_port + 1 {
                u32::MAX => FIRST_HOST_PORT,
                next => next,
            };
            if !self.by_key.contains_key(&key) {
                return key;
            }
        }
    }

    /// A packet of the guest, whose data is in `parts`.
    pub fn receive(&mut self, header: &Header, parts: &[Part<'_>]) {
        // A guest cannot speak for another; there is nobody to answer.
        if header.source_cid != self.guest_cid {
            return;
        }
        let key = Key {
            host_cid: header.destination_cid,
            host_port: header.destination_port,
            guest_port: header.source_port,
        };
        let known = self.by_key.get(&key).copied();
        let Some(id) = known.filter(|_| header.kind == TYPE_STREAM) else {
            match header.operation {
                operation::RST => {}
                operation::REQUEST if self.is_ours(header) => self.dial(key, header),
                _ => self.reset(header),
            }
            return;
        };
        let Some(stream) = self.get(id) else { return };
        stream.take_credit(header);
        let size = parts.iter().map(Part::size).sum::<usize>();
        let fine = match (header.operation, stream.stage) {
            (operation::RST, _) => {
                self.guest_gone(id);
                return;
            }
            // It is told so already.
            _ if stream.owed.reset => return,
            (operation::RESPONSE, Stage::Requested) => stream.open(),
            (operation::RW, Stage::Open | Stage::Closing) => {
                size >= header.length as usize && stream.deliver(parts, header.length)
            }
            (operation::SHUTDOWN, Stage::Open | Stage::Closing) => {
                stream.guest_closes(header.flags);
                true
            }
            (operation::CREDIT_UPDATE, Stage::Open | Stage::Closing) => true,
            (operation::CREDIT_REQUEST, Stage::Open | Stage::Closing) => {
                stream.owed.credit = true;
                true
            }
            _ => false,
        };
        if !fine {
            stream.socket = None;
            stream.owed.reset = true;
        }
        self.queue(id);
    }

    fn is_ours(&self, header: &Header) -> bool {
        header.kind == TYPE_STREAM
            && (header.destination_cid == HOST_CID || header.destination_cid == self.host_cid)
    }

    /// Answers a packet that belongs to no stream.
    fn reset(&mut self, header: &Header) {
        self.resets.push_back(header.refusal());
    }

    /// The guest has closed. What it sent before is still delivered; nobody is told anything about it.
    fn guest_gone(&mut self, id: Id) {
        let Some(stream) = self.get(id) else { return };
        if stream.stage == Stage::Greeting {
            return;
        }
        let key = stream.key;
        if stream.is_delivered() || stream.socket.is_none() {
            self.remove(id);
        } else {
            stream.stage = Stage::Delivering;
            self.by_key.remove(&key);
        }
    }

    /// The guest wants to connect to a host program.
    fn dial(&mut self, key: Key, header: &Header) {
        if self.from_guest >= MAX_STREAMS && !self.drop_closing(false) {
            self.reset(header);
            return;
        }
        let until = Stage::Dialling(Instant::now() + DIAL_TIME);
        let mut stream = Stream::new(key, self.guest_cid, until, None);
        stream.credit.update(header);
        let id = self.add(stream);
        self.try_dial(id);
    }

    /// Makes room for a new stream in place of one which only waits for a word of the guest.
    fn drop_closing(&mut self, from_host: bool) -> bool {
        let found = self
            .slots
            .find(|stream| stream.from_host == from_host && stream.stage == Stage::Closing);
        if let Some(id) = found {
            self.remove(id);
        }
        found.is_some()
    }

    /// Tries again to reach host programs whose queues were full.
    pub fn dial_again(&mut self) {
        for id in std::mem::take(&mut self.dialling) {
            self.try_dial(id);
        }
    }

    fn try_dial(&mut self, id: Id) {
        let Some(stream) = self.get(id) else { return };
        let Stage::Dialling(until) = stream.stage else {
            return;
        };
        let mut path = OsString::from("_");
        path.push(stream.key.host_port.to_string());
        let path = [self.path.as_os_str(), &path]
            .into_iter()
            .collect::<OsString>();
        let result = sys::connect(&path);
        let Some(stream) = self.get(id) else { return };
        match result {
            Ok(socket) => {
                stream.socket = Some(socket);
                stream.stage = Stage::Open;
                stream.owed.response = true;
                if self.watch(id).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                self.dialling.push(id);
                return;
            }
            Err(_) => stream.owed.reset = true,
        }
        self.queue(id);
    }

    /// The next packet for the guest, whose data is put into `parts`. None when there is none after all.
    pub fn next_packet(&mut self, parts: &[Part<'_>]) -> Option<Header> {
        if let Some(header) = self.resets.pop_front() {
            return Some(header);
        }
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.get(id) else {
                continue;
            };
            stream.queued = false;
            match stream.turn(parts) {
                Turn::Rest => {}
                Turn::Packet(header) => {
                    self.queue(id);
                    return Some(header);
                }
                Turn::Last(header) => {
                    self.guest_gone(id);
                    return Some(header);
                }
            }
        }
        None
    }
}
