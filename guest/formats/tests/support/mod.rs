//! Shared by the tests of this crate: the corpus, and numbers that look random.

#![allow(dead_code)] // each test file uses its own part

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of outside test data, `None` (with a message) where it is absent.
pub fn corpus(name: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let root = std::env::var_os("MICROBUILD_CORPUS").map_or_else(default, PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no corpus at {}", path.display());
    None
}

pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON")
}

/// The files of a folder with this extension, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("entry").path());
    let mut found: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|known| known == extension))
        .collect();
    found.sort();
    found
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

    pub fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.next() as u8).collect()
    }

    /// `good` with one to four bytes or a length field changed, or cut short.
    pub fn damage(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        for _ in 0..=self.below(4) {
            if bad.is_empty() {
                break;
            }
            let at = self.below(bad.len());
            match self.below(4) {
                0 => bad[at] ^= 1 << self.below(8),
                1 => bad[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                2 => bad[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
                _ => bad.truncate(at),
            }
        }
        bad
    }
}

/// Two files of one size, of which the source shows now one and now the other: what a host could do below a reader that
/// asks twice. Read number `n` is answered by the second file where bit `n` (from 0) of the plan is set, the last bit for ever.
pub struct Changing<'a> {
    files: [&'a [u8]; 2],
    plan: u64,
    reads: std::cell::Cell<u32>,
}

impl<'a> Changing<'a> {
    pub fn new(files: [&'a [u8]; 2], plan: u64) -> Self {
        assert_eq!(files[0].len(), files[1].len());
        let reads = std::cell::Cell::new(0);
        Self { files, plan, reads }
    }

    pub fn reads(&self) -> u32 {
        self.reads.get()
    }

    /// Plans that change once, at each of the first reads, in both directions; and some that change at random.
    pub fn plans(random: usize) -> Vec<u64> {
        let mut numbers = Numbers(21);
        let once = (0..64).flat_map(|at| [!0 << at, !(!0 << at)]);
        once.chain((0..random).map(|_| numbers.next())).collect()
    }
}

impl microbuild_formats::ReadAt for Changing<'_> {
    fn size(&self) -> u64 {
        self.files[0].len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let number = self.reads.get();
        self.reads.set(number + 1);
        let file = self.files[usize::from(self.plan >> number.min(63) & 1 == 1)];
        file.read_exact_at(buffer, offset)
    }
}
