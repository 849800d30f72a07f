//! A guest: its memory, its rings, and its streams.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use microbuild_vsock::packet::{operation, Header, TYPE_STREAM};
use microbuild_vsock::sys::{Mapping, Part};
use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags};
use rustix::fs::{memfd_create, MemfdFlags};

use super::{connect_when_there, read_line, words, Backend, Folder, Frontend, GUEST_CID, PATIENCE};

/// Long enough for an answer to come that should not.
const SILENCE: Duration = Duration::from_millis(100);

/// Guest memory is two files, one behind the other in the guest and far apart in QEMU.
pub const REGION: u64 = 1 << 20;
const USER: [u64; 2] = [0x7f00_0000_0000, 0x7e00_0000_0000];
/// What stands before the second region in its file.
const OFFSET: u64 = 4096;

pub const RING_SIZE: u16 = 128;
/// The guest's buffers for packets: a header and a page, as Linux has them.
const SLOT: u64 = 44 + 4096;
/// Where each ring is, and its buffers behind it.
const RINGS: [u64; 2] = [0x1000, 0x3000];
const BUFFERS: [u64; 2] = [0x8000, REGION];
pub const TO_GUEST: usize = 0;
pub const FROM_GUEST: usize = 1;

struct RingState {
    kick: OwnedFd,
    call: OwnedFd,
    /// How many chains were made available, and how many of the used ones were looked at.
    available: u16,
    used: u16,
}

pub struct Guest {
    pub frontend: Frontend,
    pub folder: Folder,
    pub backend: Backend,
    memory: [OwnedFd; 2],
    maps: [Mapping; 2],
    rings: [RingState; 2],
    /// Whether buffers are given back to the ring once their packet was read.
    pub recycles: bool,
}

impl Guest {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A guest that is up, with room for packets.
    pub fn with(options: &[&str]) -> Self {
        let mut guest = Self::without_rings(options);
        for ring in [TO_GUEST, FROM_GUEST] {
            guest.start_ring(ring, 0);
        }
        guest.give_buffers();
        guest
    }

    /// Everything is agreed upon but the rings.
    pub fn without_rings(options: &[&str]) -> Self {
        let folder = Folder::new();
        let backend = Backend::start(&folder, options);
        let mut frontend = Frontend::connect(&folder);
        let features = u64::from_le_bytes(frontend.get(1, &[]).try_into().unwrap());
        assert_eq!(features, 1 << 32 | 1 << 30);
        let protocol = u64::from_le_bytes(frontend.get(15, &[]).try_into().unwrap());
        assert_eq!(protocol, 1 << 9 | 1 << 3 | 1);
        frontend.send(&Frontend::message(16, 0, &protocol.to_le_bytes()), &[]);
        frontend.set(2, &features.to_le_bytes(), &[]);
        frontend.set(3, &[], &[]);
        let memory = [REGION, REGION + OFFSET].map(|size| {
            let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
            rustix::fs::ftruncate(&file, size).unwrap();
            file
        });
        let sizes = [REGION, REGION + OFFSET];
        let map = |index: usize| Mapping::new(&memory[index], sizes[index] as usize).unwrap();
        let maps = [map(0), map(1)];
        let event = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let rings = [0, 1].map(|_| RingState {
            kick: event(),
            call: event(),
            available: 0,
            used: 0,
        });
        let mut guest = Self {
            frontend,
            folder,
            backend,
            memory,
            maps,
            rings,
            recycles: true,
        };
        guest.send_memory_table();
        guest
    }

    pub fn memory_table() -> Vec<u8> {
        let mut table = words(&[2, 0]);
        for value in [0, REGION, USER[0], 0, REGION, REGION, USER[1], OFFSET] {
            table.extend(value.to_le_bytes());
        }
        table
    }

    fn send_memory_table(&mut self) {
        let [first, second] = &self.memory;
        self.frontend
            .set(5, &Self::memory_table(), &[first, second]);
    }

    pub fn ring_addresses(ring: usize) -> Vec<u8> {
        let base = USER[0] + RINGS[ring];
        let table = u64::from(RING_SIZE) * 16;
        let mut payload = words(&[ring as u32, 0]);
        // Descriptors, used, available, log.
        for value in [base, base + table + 0x400, base + table, 0] {
            payload.extend(value.to_le_bytes());
        }
        payload
    }

    pub fn start_ring(&mut self, ring: usize, base: u16) {
        let index = ring as u32;
        let state = &self.rings[ring];
        let frontend = &mut self.frontend;
        frontend.set(8, &words(&[index, u32::from(RING_SIZE)]), &[]);
        frontend.set(10, &words(&[index, u32::from(base)]), &[]);
        frontend.set(9, &Self::ring_addresses(ring), &[]);
        frontend.set(13, &words(&[index, 0]), &[&state.call]);
        frontend.set(12, &words(&[index, 0]), &[&state.kick]);
        frontend.set(18, &words(&[index, 1]), &[]);
    }

    /// Returns where the ring stood.
    pub fn stop_ring(&mut self, ring: usize) -> u16 {
        let state = self.frontend.get(11, &words(&[ring as u32, 0]));
        u16::from_le_bytes([state[4], state[5]])
    }

    /// What a driver does that begins anew.
    pub fn restart(&mut self) {
        for ring in [TO_GUEST, FROM_GUEST] {
            self.stop_ring(ring);
            self.write(RINGS[ring], &[0; 0x1800]);
            (self.rings[ring].available, self.rings[ring].used) = (0, 0);
        }
        for ring in [TO_GUEST, FROM_GUEST] {
            self.start_ring(ring, 0);
        }
        self.give_buffers();
    }

    /// Writes guest memory, also over the border of its regions.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let (first, second) = self.pieces(address, bytes.len());
        first.write(bytes);
        if let Some(second) = second {
            second.write(&bytes[first.size()..]);
        }
    }

    fn read(&self, address: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        let (first, second) = self.pieces(address, size);
        first.read(&mut bytes);
        if let Some(second) = second {
            second.read(&mut bytes[first.size()..]);
        }
        bytes
    }

    fn pieces(&self, address: u64, size: usize) -> (Part<'_>, Option<Part<'_>>) {
        let piece = |address: u64, size: usize| {
            let (index, offset) = if address < REGION {
                (0, address)
            } else {
                (1, address - REGION + OFFSET)
            };
            self.maps[index].part(offset as usize, size).unwrap()
        };
        let inside = usize::try_from(REGION.saturating_sub(address)).unwrap();
        if inside == 0 || inside >= size {
            return (piece(address, size), None);
        }
        (piece(address, inside), Some(piece(REGION, size - inside)))
    }

    /// The indices of rings change at once, not byte by byte.
    fn store_index(&self, address: u64, value: u16) {
        self.pieces(address, 2).0.store_u16(value).unwrap();
    }

    fn load_index(&self, address: u64) -> u16 {
        self.pieces(address, 2).0.load_u16().unwrap()
    }

    pub fn write_descriptor(
        &self,
        ring: usize,
        index: u16,
        (address, size, flags, next): (u64, u32, u16, u16),
    ) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(size.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.write(RINGS[ring] + 16 * u64::from(index), &bytes);
    }

    fn available_ring(ring: usize) -> u64 {
        RINGS[ring] + 16 * u64::from(RING_SIZE)
    }

    /// Makes the chain that begins with a descriptor available, and kicks.
    pub fn offer(&mut self, ring: usize, head: u16) {
        let state = &mut self.rings[ring];
        let slot = u64::from(state.available % RING_SIZE);
        state.available = state.available.wrapping_add(1);
        let available = state.available;
        self.write(
            Self::available_ring(ring) + 4 + 2 * slot,
            &head.to_le_bytes(),
        );
        self.write_available(ring, available);
    }

    pub fn write_available(&mut self, ring: usize, index: u16) {
        self.store_index(Self::available_ring(ring) + 2, index);
        rustix::io::write(&self.rings[ring].kick, &1u64.to_ne_bytes()).unwrap();
    }

    fn used_ring(ring: usize) -> u64 {
        Self::available_ring(ring) + 0x400
    }

    /// Waits for a chain to be given back. Returns its head and how much was written into it.
    fn take_used(&mut self, ring: usize, patience: Duration) -> Option<(u16, u32)> {
        let until = Instant::now() + patience;
        loop {
            let index = self.load_index(Self::used_ring(ring) + 2);
            let state = &mut self.rings[ring];
            if index != state.used {
                let slot = u64::from(state.used % RING_SIZE);
                state.used = state.used.wrapping_add(1);
                let entry = self.read(Self::used_ring(ring) + 4 + 8 * slot, 8);
                let head = u16::from_le_bytes([entry[0], entry[1]]);
                let written = u32::from_le_bytes(entry[4..].try_into().unwrap());
                return Some((head, written));
            }
            let left = until.checked_duration_since(Instant::now())?;
            let mut fds = [PollFd::new(&state.call, PollFlags::IN)];
            let timeout = rustix::event::Timespec::try_from(left).unwrap();
            if poll(&mut fds, Some(&timeout)).unwrap() == 0 {
                return None;
            }
            rustix::io::read(&state.call, &mut [0u8; 8]).unwrap();
        }
    }

    /// Fills the ring of packets to the guest with buffers: header and page, as Linux does.
    pub fn give_buffers(&mut self) {
        for pair in 0..RING_SIZE / 2 {
            let at = BUFFERS[TO_GUEST] + SLOT * u64::from(pair);
            self.write_descriptor(TO_GUEST, 2 * pair, (at, 44, 1 | 2, 2 * pair + 1));
            self.write_descriptor(TO_GUEST, 2 * pair + 1, (at + 44, 4096, 2, 0));
            self.offer(TO_GUEST, 2 * pair);
        }
    }

    pub fn packet_within(&mut self, patience: Duration) -> Option<(Header, Vec<u8>)> {
        let (head, written) = self.take_used(TO_GUEST, patience)?;
        let at = BUFFERS[TO_GUEST] + SLOT * u64::from(head / 2);
        let bytes = self.read(at, written as usize);
        let header = Header::decode(bytes[..44].try_into().unwrap());
        assert_eq!(header.length as usize, bytes.len() - 44);
        assert_eq!(header.destination_cid, GUEST_CID);
        if self.recycles {
            self.offer(TO_GUEST, head);
        }
        Some((header, bytes[44..].to_vec()))
    }

    /// The next packet to the guest.
    pub fn packet(&mut self) -> (Header, Vec<u8>) {
        self.packet_within(PATIENCE).expect("a packet to the guest")
    }

    /// The next packet, which must be this.
    pub fn expect(&mut self, operation: u16) -> Header {
        let (header, _) = self.packet();
        assert_eq!(header.operation, operation, "{header:?}");
        header
    }

    pub fn expect_silence(&mut self) {
        let packet = self.packet_within(SILENCE);
        assert!(packet.is_none(), "{packet:?}");
    }

    /// Gives a packet away without waiting until it is taken.
    pub fn post(&mut self, header: &Header, data: &[u8]) {
        let slot = self.rings[FROM_GUEST].available % (RING_SIZE / 2);
        let at = BUFFERS[FROM_GUEST] + (SLOT + (64 << 10)) * u64::from(slot % 8);
        let mut bytes = header.encode().to_vec();
        bytes.extend(data);
        self.write(at, &bytes);
        self.write_descriptor(FROM_GUEST, slot, (at, bytes.len() as u32, 0, 0));
        self.offer(FROM_GUEST, slot);
    }

    /// Sends a packet, which the backend must take.
    pub fn send(&mut self, header: &Header, data: &[u8]) {
        self.post(header, data);
        self.expect_taken();
    }

    /// Waits until a packet was taken.
    pub fn take_back(&mut self, patience: Duration) -> Option<(u16, u32)> {
        self.take_used(FROM_GUEST, patience)
    }

    /// As if the guest had looked at everything that was given back.
    pub fn forget_used(&mut self, ring: usize) {
        while self.take_used(ring, Duration::from_millis(1)).is_some() {}
    }

    /// The file of the first region.
    pub fn memory_file(&self) -> OwnedFd {
        self.memory[0].try_clone().unwrap()
    }

    pub fn expect_taken(&mut self) {
        let (_, written) = self
            .take_used(FROM_GUEST, PATIENCE)
            .expect("a taken packet");
        assert_eq!(written, 0);
    }

    /// A packet of a port of the guest to one of the host.
    pub fn header(&self, operation: u16, ports: (u32, u32)) -> Header {
        Header {
            source_cid: GUEST_CID,
            destination_cid: 2,
            source_port: ports.0,
            destination_port: ports.1,
            kind: TYPE_STREAM,
            operation,
            buffer_size: 1 << 20,
            ..Header::default()
        }
    }

    pub fn say(&mut self, operation: u16, ports: (u32, u32)) {
        self.send(&self.header(operation, ports), &[]);
    }

    pub fn send_data(&mut self, ports: (u32, u32), data: &[u8]) {
        let header = Header {
            length: data.len() as u32,
            ..self.header(operation::RW, ports)
        };
        self.send(&header, data);
    }

    pub fn shut_down(&mut self, ports: (u32, u32), flags: u32) {
        let header = Header {
            flags,
            ..self.header(operation::SHUTDOWN, ports)
        };
        self.send(&header, &[]);
    }

    /// A program of the host asks for a port of the guest.
    pub fn dial(&self, line: &str) -> UnixStream {
        let mut socket = connect_when_there(&self.folder.host());
        socket.write_all(line.as_bytes()).unwrap();
        socket
    }

    /// A stream that a program of the host began. Returns the guest's and the host's port with it.
    pub fn stream_from_host(&mut self, port: u32) -> (UnixStream, (u32, u32)) {
        let mut socket = self.dial(&format!("CONNECT {port}\n"));
        let request = self.expect(operation::REQUEST);
        assert_eq!(request.destination_port, port);
        let ports = (port, request.source_port);
        self.say(operation::RESPONSE, ports);
        assert_eq!(read_line(&mut socket), format!("OK {}", ports.1));
        (socket, ports)
    }

    pub fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.folder.0.join(format!("vm.vsock_{port}"))).unwrap()
    }

    /// A stream that the guest began.
    pub fn stream_from_guest(&mut self, port: u32) -> (UnixStream, (u32, u32)) {
        let listener = self.listen(port);
        let ports = (1024, port);
        self.say(operation::REQUEST, ports);
        self.expect(operation::RESPONSE);
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (socket, ports)
    }
}
