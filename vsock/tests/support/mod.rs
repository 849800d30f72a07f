//! A fake QEMU with a fake guest: speaks vhost-user with the program under test, keeps guest memory in
//! files, and works the guest's end of the rings, as it should or as it should not.

#![allow(dead_code)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use microbuild_vsock::packet::{operation, Header, TYPE_STREAM};
use rustix::event::{eventfd, poll, EventfdFlags, PollFd, PollFlags};
use rustix::fs::{memfd_create, MemfdFlags};
use rustix::net::{sendmsg, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

pub const GUEST_CID: u64 = 42;
pub const PATIENCE: Duration = Duration::from_secs(5);
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

/// A folder that is removed with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mbv-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn vhost(&self) -> PathBuf {
        self.0.join("vhost.sock")
    }

    pub fn host(&self) -> PathBuf {
        self.0.join("vm.vsock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program under test.
pub struct Backend {
    pub child: Child,
}

impl Backend {
    pub fn command(folder: &Folder, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microbuild-vsock"));
        command.arg("--cid").arg(GUEST_CID.to_string());
        command.arg("--socket").arg(folder.vhost());
        command.arg("--uds").arg(folder.host()).args(more);
        command.stderr(Stdio::piped());
        command
    }

    pub fn start(folder: &Folder, more: &[&str]) -> Self {
        let child = Self::command(folder, more).spawn().unwrap();
        Self { child }
    }

    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            sleep(Duration::from_millis(1));
        }
        panic!("the backend does not end");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it said until its end.
    pub fn said(&mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn connect_when_there(path: &Path) -> UnixStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_write_timeout(Some(PATIENCE)).unwrap();
                return socket;
            }
            Err(error) => assert!(Instant::now() < until, "{}: {error}", path.display()),
        }
        sleep(Duration::from_millis(1));
    }
}

/// QEMU's end of vhost-user.
pub struct Frontend {
    pub socket: UnixStream,
}

const NEED_REPLY: u32 = 8;

impl Frontend {
    pub fn connect(folder: &Folder) -> Self {
        Self {
            socket: connect_when_there(&folder.vhost()),
        }
    }

    pub fn message(code: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [code, 1 | flags, payload.len() as u32] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(payload);
        bytes
    }

    pub fn send(&self, bytes: &[u8], files: &[&OwnedFd]) {
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let parts = [std::io::IoSlice::new(bytes)];
        // A backend that has ended is told by what it should have said.
        let _ = sendmsg(&self.socket, &parts, &mut control, SendFlags::NOSIGNAL);
    }

    /// A request that only has to be understood.
    pub fn set(&mut self, code: u32, payload: &[u8], files: &[&OwnedFd]) {
        self.send(&Self::message(code, NEED_REPLY, payload), files);
        assert_eq!(self.reply(code), 0u64.to_le_bytes(), "request {code}");
    }

    pub fn get(&mut self, code: u32, payload: &[u8]) -> Vec<u8> {
        self.send(&Self::message(code, 0, payload), &[]);
        self.reply(code)
    }

    fn reply(&mut self, code: u32) -> Vec<u8> {
        let mut header = [0; 12];
        self.socket.read_exact(&mut header).unwrap();
        assert_eq!(header[..4], code.to_le_bytes());
        assert_eq!(header[4..8], 5u32.to_le_bytes());
        let mut payload = vec![0; u32::from_le_bytes(header[8..].try_into().unwrap()) as usize];
        self.socket.read_exact(&mut payload).unwrap();
        payload
    }
}

/// `u32` words, little-endian.
pub fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

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
        for (at, byte) in (address..).zip(bytes) {
            let (file, offset) = self.place(at);
            file.write_all_at(&[*byte], offset).unwrap();
        }
    }

    fn read(&self, address: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        let inside = usize::try_from(REGION.saturating_sub(address)).unwrap();
        let (first, second) = bytes.split_at_mut(inside.min(size));
        for (part, at) in [(first, address), (second, address.max(REGION))] {
            if !part.is_empty() {
                let (file, offset) = self.place(at);
                file.read_exact_at(part, offset).unwrap();
            }
        }
        bytes
    }

    fn place(&self, address: u64) -> (File, u64) {
        let (index, offset) = if address < REGION {
            (0, address)
        } else {
            (1, address - REGION + OFFSET)
        };
        (File::from(self.memory[index].try_clone().unwrap()), offset)
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
        self.write(Self::available_ring(ring) + 2, &index.to_le_bytes());
        rustix::io::write(&self.rings[ring].kick, &1u64.to_ne_bytes()).unwrap();
    }

    fn used_ring(ring: usize) -> u64 {
        Self::available_ring(ring) + 0x400
    }

    /// Waits for a chain to be given back. Returns its head and how much was written into it.
    fn take_used(&mut self, ring: usize, patience: Duration) -> Option<(u16, u32)> {
        let until = Instant::now() + patience;
        loop {
            let index = self.read(Self::used_ring(ring) + 2, 2);
            let state = &mut self.rings[ring];
            if u16::from_le_bytes([index[0], index[1]]) != state.used {
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
        let (file, offset) = self.place(at);
        file.write_all_at(&bytes, offset).unwrap();
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

/// A line without its end, and nothing behind it.
pub fn read_line(socket: &mut UnixStream) -> String {
    let mut line = String::new();
    // One byte at a time: what follows is somebody else's.
    BufReader::with_capacity(1, socket)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.pop(), Some('\n'), "{line}");
    line
}

pub fn read_exactly(mut socket: &UnixStream, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes that are the same for the same seed: xorshift64*.
pub struct Junk(pub u64);

impl Junk {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A socket in whose queue there is room for one.
pub fn small_listener(path: &Path) -> UnixListener {
    use rustix::net::{bind, listen, socket, AddressFamily, SocketAddrUnix, SocketType};
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    UnixListener::from(listener)
}
