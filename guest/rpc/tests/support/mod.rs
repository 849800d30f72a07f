//! Shared by the tests of this crate: the corpus, an in-memory stream, a service, and numbers that look random.

#![allow(dead_code)] // each test file uses its own part

use microbuild_rpc::{
    Exception, Parcel, ParcelReader, Service, Status, StatusCode, Transport, TransportError,
};
use std::path::PathBuf;
use std::sync::Mutex;

/// The folder of outside test data, `None` (with a message) where it is absent.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MICROBUILD_CORPUS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/corpus"
            ))
        },
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {}", path.display());
    None
}

/// What a peer said, to be played back, and what we answered.
pub struct Recorded {
    pub input: std::io::Cursor<Vec<u8>>,
    pub output: Vec<u8>,
}

impl Recorded {
    pub fn new(input: impl Into<Vec<u8>>) -> Self {
        Self {
            input: std::io::Cursor::new(input.into()),
            output: Vec::new(),
        }
    }
}

impl Transport for Recorded {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        std::io::Read::read_exact(&mut self.input, buffer).map_err(|_| TransportError::Closed)
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.output.extend_from_slice(bytes);
        Ok(())
    }
}

pub const DESCRIPTOR: &str = "microbuild.test.IPeer";

/// The service of the interoperability peers: echo, throw, record.
#[derive(Default)]
pub struct Peer {
    pub recorded: Mutex<Vec<i32>>,
}

impl Service for Peer {
    fn descriptor(&self) -> &str {
        DESCRIPTOR
    }

    fn on_transact(&self, code: u32, data: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        let mut reply = Parcel::reply();
        match code {
            1 => reply.write_optional_str(data.read_optional_string()?.as_deref()),
            3 => {
                let error = data.read_i32()?;
                return Err(Exception::service_specific(error, data.read_string()?).into());
            }
            4 => {
                let code = data.read_i32()?;
                return Err(Exception::new(code, data.read_string()?).into());
            }
            5 => self.recorded.lock().unwrap().push(data.read_i32()?),
            6 => reply.write_i32_array(&self.recorded.lock().unwrap()),
            14 => reply.write_bytes(&vec![0x5a; data.read_i32()? as usize]),
            15 => reply.write_null_binder(),
            21 => return Err(StatusCode(data.read_i32()?).into()),
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION.into()),
        }
        Ok(reply)
    }
}

/// xorshift64*: the same numbers in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
