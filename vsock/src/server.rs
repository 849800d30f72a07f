//! One guest: waits for QEMU, the rings and all sockets, and lets each do a little at a time.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::frontend::{
    configuration, Frontend, Message, Request, F_PROTOCOL_FEATURES, F_VERSION_1, PROTOCOL_FEATURES,
};
use crate::memory::Memory;
use crate::packet::Header;
use crate::parts::split;
use crate::ring::{Broken, Direction, Ring};
use crate::streams::Streams;
use crate::sys::{Epoll, Event, Trigger};

/// The ring of packets to the guest, and the one of packets from it. The third, of events, QEMU keeps.
const TO_GUEST: usize = 0;
const FROM_GUEST: usize = 1;
const RINGS: usize = 2;

/// How many packets go one way before everything else is looked after.
const BATCH: usize = 64;
/// How often a full queue of a host program is tried, and whether there is room for another one.
const RETRY_MILLISECONDS: i32 = 10;
/// How long host programs have to take what a guest sent before it ended.
const DELIVERY_TIME: Duration = Duration::from_secs(2);

const QEMU: u64 = 0;
const SIGNAL: u64 = 1;
const LISTENER: u64 = 2;
/// The kick of the first ring; those of the others follow.
const KICK: u64 = 3;
const LAST_KICK: u64 = KICK + RINGS as u64 - 1;

/// What the server works with.
#[derive(Debug)]
pub struct Doors {
    pub frontend: Frontend,
    /// Where host programs connect.
    pub listener: UnixListener,
    /// Readable once it is time to end.
    pub signals: OwnedFd,
    pub epoll: Rc<Epoll>,
}

#[derive(Debug)]
pub struct Server {
    doors: Doors,
    guest_cid: u64,
    features: u64,
    memory: Memory,
    rings: [Ring; RINGS],
    streams: Streams,
    listening: bool,
}

impl Server {
    /// # Errors
    /// When the doors cannot be watched.
    pub fn new(doors: Doors, guest_cid: u64, host_cid: u64, path: &Path) -> io::Result<Self> {
        doors.listener.set_nonblocking(true)?;
        let watched = [
            (doors.frontend.socket().as_fd(), QEMU),
            (doors.signals.as_fd(), SIGNAL),
            (doors.listener.as_fd(), LISTENER),
        ];
        for (fd, token) in watched {
            doors.epoll.add(fd, token, Trigger::Level)?;
        }
        let streams = Streams::new(Rc::clone(&doors.epoll), guest_cid, host_cid, path);
        Ok(Self {
            doors,
            guest_cid,
            features: 0,
            memory: Memory::default(),
            rings: Default::default(),
            streams,
            listening: true,
        })
    }

    /// Serves until QEMU or a signal ends it.
    ///
    /// # Errors
    /// When QEMU says what cannot be understood, or the kernel refuses what it always does.
    pub fn run(&mut self) -> io::Result<()> {
        let mut busy = false;
        loop {
            let soon = self.streams.is_dialling() || !self.listening;
            let wait = match (busy, soon) {
                (true, _) => 0,
                (_, true) => RETRY_MILLISECONDS,
                _ => -1,
            };
            for event in self.doors.epoll.wait(wait)? {
                match event.token {
                    QEMU => {
                        if !self.attend()? {
                            self.deliver_rest();
                            return Ok(());
                        }
                    }
                    SIGNAL => return Ok(()),
                    LISTENER => self.accept(),
                    KICK..=LAST_KICK => self.take_kick(event.token),
                    _ => self.on_stream(event),
                }
            }
            if soon {
                self.streams.dial_again();
                self.listen_again();
            }
            busy = self.work();
        }
    }

    fn on_stream(&mut self, event: Event) {
        let guest_listens = self.rings.iter().all(Ring::is_running);
        self.streams.on_event(event, guest_listens);
    }

    fn accept(&mut self) {
        let accepted = self.doors.listener.accept();
        let refused = match accepted {
            Ok((socket, _)) => self.streams.accept(socket).is_err(),
            Err(error) => !matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
            ),
        };
        // Out of room or of descriptors: others wait in the queue of the socket.
        if refused || !self.streams.has_room() {
            self.doors.epoll.remove(self.doors.listener.as_fd());
            self.listening = false;
        }
    }

    fn listen_again(&mut self) {
        if self.listening || !self.streams.has_room() {
            return;
        }
        let fd = self.doors.listener.as_fd();
        self.listening = self.doors.epoll.add(fd, LISTENER, Trigger::Level).is_ok();
    }

    fn take_kick(&mut self, token: u64) {
        let ring = usize::try_from(token - KICK)
            .ok()
            .and_then(|ring| self.rings.get_mut(ring));
        if let Some(kick) = ring.and_then(|ring| ring.kick.as_mut()) {
            // How often it was kicked does not matter: the rings are looked at anyway.
            let _ = kick.read(&mut [0; 8]);
        }
    }

    /// Moves packets both ways. True when there is more to do at once.
    fn work(&mut self) -> bool {
        if !self.rings.iter().all(Ring::is_running) {
            return false;
        }
        match self.move_packets() {
            Ok(more) => more,
            Err(Broken(why)) => {
                for ring in &mut self.rings {
                    if ring.give_up() {
                        eprintln!("microbuild-vsock: the guest is served no more: {why}");
                    }
                }
                self.streams.forget_guest();
                false
            }
        }
    }

    fn move_packets(&mut self) -> Result<bool, Broken> {
        for ring in &mut self.rings {
            ring.want_kicks(&self.memory, false)?;
        }
        let mut more = self.receive_packets()?;
        more |= self.send_packets()?;
        for ring in &mut self.rings {
            ring.announce(&self.memory);
        }
        if more {
            return Ok(true);
        }
        let arrived = self.rings[FROM_GUEST].want_kicks(&self.memory, true)?;
        let room = self.rings[TO_GUEST].want_kicks(&self.memory, self.streams.has_packets())?;
        Ok(arrived && self.streams.can_receive() || room && self.streams.has_packets())
    }

    /// Takes packets of the guest. True when there may be more.
    fn receive_packets(&mut self) -> Result<bool, Broken> {
        for _ in 0..BATCH {
            if !self.streams.can_receive() {
                return Ok(false);
            }
            let ring = &mut self.rings[FROM_GUEST];
            let Some(chain) = ring.pop(&self.memory, Direction::FromGuest)? else {
                return Ok(false);
            };
            if let Some((head, data)) = split(&chain.parts, Header::SIZE) {
                let mut bytes = [0; Header::SIZE];
                let mut at = 0;
                for part in head {
                    part.read(&mut bytes[at..]);
                    at += part.size();
                }
                self.streams.receive(&Header::decode(&bytes), &data);
            }
            ring.push(&self.memory, chain.head, 0)?;
        }
        Ok(true)
    }

    /// Fills buffers of the guest. True when there may be more to fill them with.
    fn send_packets(&mut self) -> Result<bool, Broken> {
        for _ in 0..BATCH {
            if !self.streams.has_packets() {
                return Ok(false);
            }
            let ring = &mut self.rings[TO_GUEST];
            let Some(chain) = ring.pop(&self.memory, Direction::ToGuest)? else {
                return Ok(false);
            };
            let Some((head, data)) = split(&chain.parts, Header::SIZE) else {
                return Err(Broken("a buffer is too small for a packet"));
            };
            let Some(header) = self.streams.next_packet(&data) else {
                ring.undo_pop();
                return Ok(false);
            };
            let bytes = header.encode();
            let mut at = 0;
            for part in head {
                part.write(&bytes[at..]);
                at += part.size();
            }
            let written = u32::try_from(Header::SIZE).unwrap_or(0) + header.length;
            ring.push(&self.memory, chain.head, written)?;
        }
        Ok(true)
    }

    /// Serves one message of QEMU. False when it has closed.
    fn attend(&mut self) -> io::Result<bool> {
        let message = match self.doors.frontend.receive() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        };
        self.serve(message)?;
        Ok(true)
    }

    fn serve(&mut self, mut message: Message) -> io::Result<()> {
        let request = std::mem::replace(&mut message.request, Request::SetOwner);
        let answer = match request {
            Request::GetFeatures => Some(u64_bytes(F_VERSION_1 | F_PROTOCOL_FEATURES)),
            Request::GetProtocolFeatures => Some(u64_bytes(PROTOCOL_FEATURES)),
            Request::GetQueueCount => Some(u64_bytes(RINGS as u64)),
            Request::GetRingBase(ring) => Some(self.stop(ring)?),
            Request::GetConfiguration {
                offset,
                size,
                flags,
            } => Some(configuration(self.guest_cid, offset, size, flags)),
            other => {
                let done = self.set(other)?;
                return self.doors.frontend.acknowledge(&message, done);
            }
        };
        let answer = answer.unwrap_or_default();
        self.doors.frontend.reply(&message, &answer)
    }

    /// Takes a setting. False when it cannot be had.
    fn set(&mut self, request: Request) -> io::Result<bool> {
        match request {
            Request::SetFeatures(features) => {
                self.features = features;
                return Ok(features & !(F_VERSION_1 | F_PROTOCOL_FEATURES) == 0);
            }
            Request::SetProtocolFeatures(features) => {
                return Ok(features & !PROTOCOL_FEATURES == 0);
            }
            Request::SetMemoryTable(table, files) => {
                self.memory = Memory::new(&table, &files).map_err(io::Error::other)?;
            }
            Request::SetRingSize(ring, size) => self.ring(ring)?.size = size,
            Request::SetRingAddresses(ring, theirs) => {
                let ours = [theirs.descriptors, theirs.available, theirs.used]
                    .map(|address| self.memory.guest_address(address));
                let [Some(descriptors), Some(available), Some(used)] = ours else {
                    return Err(io::Error::other("a ring that is no memory"));
                };
                let addresses = &mut self.ring(ring)?.addresses;
                (addresses.descriptors, addresses.available, addresses.used) =
                    (descriptors, available, used);
            }
            Request::SetRingBase(ring, base) => {
                let ring = self.ring(ring)?;
                // A driver that begins anew knows nothing of the streams of the one before.
                let anew = base == 0 && ring.next_available != 0;
                ring.next_available = base;
                if anew {
                    self.streams.forget_guest();
                }
            }
            Request::SetRingKick(ring, kick) => self.start(ring, kick)?,
            Request::SetRingCall(ring, call) => self.ring(ring)?.call = call,
            Request::SetRingEnabled(ring, enabled) => self.ring(ring)?.enabled = enabled,
            Request::ResetOwner => {
                self.rings = Default::default();
                self.streams.forget_guest();
            }
            Request::Other(_) => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    fn ring(&mut self, index: usize) -> io::Result<&mut Ring> {
        self.rings
            .get_mut(index)
            .ok_or_else(|| io::Error::other("a ring that vsock has not"))
    }

    fn start(&mut self, index: usize, kick: File) -> io::Result<()> {
        self.drop_kick(index)?;
        let token = KICK + index as u64;
        self.doors.epoll.add(kick.as_fd(), token, Trigger::Level)?;
        // Without protocol features rings are enabled by being there.
        self.rings[index].enabled |= self.features & F_PROTOCOL_FEATURES == 0;
        self.rings[index].kick = Some(kick);
        self.rings[index]
            .start(&self.memory)
            .ok_or_else(|| io::Error::other("a ring that is no memory"))
    }

    /// QEMU has the descriptor, too, so that closing ours would not end the watch.
    fn drop_kick(&mut self, index: usize) -> io::Result<()> {
        if let Some(kick) = self.ring(index)?.kick.take() {
            self.doors.epoll.remove(kick.as_fd());
        }
        Ok(())
    }

    /// Stops a ring, once what the guest put into it before is done, and says where it stands.
    fn stop(&mut self, index: usize) -> io::Result<Vec<u8>> {
        if index == FROM_GUEST {
            self.take_rest();
        }
        self.drop_kick(index)?;
        let base = self.rings[index].next_available;
        let state = [u32::try_from(index).unwrap_or(0), u32::from(base)];
        Ok(state.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Takes what the guest sent last.
    fn take_rest(&mut self) {
        for _ in 0..self.rings[FROM_GUEST].size {
            if !self.rings[FROM_GUEST].is_running() || !matches!(self.receive_packets(), Ok(true)) {
                return;
            }
        }
    }

    /// The guest is gone: lets host programs take what it sent before.
    fn deliver_rest(&mut self) {
        self.take_rest();
        self.streams.forget_guest();
        let until = Instant::now() + DELIVERY_TIME;
        while self.streams.is_delivering() && Instant::now() < until {
            let Ok(events) = self.doors.epoll.wait(RETRY_MILLISECONDS) else {
                return;
            };
            for event in events {
                match event.token {
                    SIGNAL => return,
                    QEMU => self
                        .doors
                        .epoll
                        .remove(self.doors.frontend.socket().as_fd()),
                    LISTENER => self.doors.epoll.remove(self.doors.listener.as_fd()),
                    KICK..=LAST_KICK => self.take_kick(event.token),
                    _ => self.streams.on_event(event, false),
                }
            }
        }
    }
}

fn u64_bytes(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}
