//! Archives for the tests of this crate: entries and their data, as the strict profile would have found them.

#![allow(dead_code)] // each test file uses its own part

use microbuild_formats::zip::{Archive, Directory, Entry, Method};

#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    archive: Archive,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn stored(&mut self, name: &str, mode: Option<u32>, content: &[u8]) {
        self.add(name, mode, Method::Stored, content, content);
    }

    pub fn deflated(&mut self, name: &str, mode: Option<u32>, content: &[u8]) {
        let data = miniz_oxide::deflate::compress_to_vec(content, 3);
        self.add(name, mode, Method::Deflated, content, &data);
    }

    pub fn directory(&mut self, name: &str, mode: Option<u32>) {
        let name = name.to_owned();
        self.archive.directories.push(Directory { name, mode });
    }

    pub fn spoil_last_checksum(&mut self) {
        if let Some(entry) = self.archive.files.last_mut() {
            entry.crc32 ^= 1;
        }
    }

    fn add(&mut self, name: &str, mode: Option<u32>, method: Method, content: &[u8], data: &[u8]) {
        // Something between the entries, where local headers would be.
        self.bytes.extend([0xee; 31]);
        self.archive.files.push(Entry {
            name: name.to_owned(),
            mode,
            method,
            crc32: crc32(content),
            compressed_size: data.len() as u64,
            size: content.len() as u64,
            data_offset: self.bytes.len() as u64,
        });
        self.bytes.extend_from_slice(data);
    }

    pub fn finish(self) -> (Vec<u8>, Archive) {
        (self.bytes, self.archive)
    }
}

/// Text that compresses, but not to nothing.
pub fn content(size: usize) -> Vec<u8> {
    let mut state = size as u32;
    (0..size)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (state >> 28) as u8
        })
        .collect()
}

fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ 0xedb8_8320
            }
        })
    })
}
