//! A host that answers differently the second time: what is decided must be decided on one reading.
//!
//! The APK is read through dm-verity, where no byte can change; what is read before, from the bare device, is read once.

mod support;

use std::cell::RefCell;
use std::fs;
use std::io;

use microbuild_formats::apk::find_sections;
use microbuild_formats::idsig::decode_idsig;
use microbuild_formats::zip::read_archive;
use microbuild_formats::ReadAt;
use microbuild_manager::verify::{verify_v3, VerifyError, PLATFORM_SDK};

/// A device that inverts a bit of each byte that was read before.
struct Forgetful<'a> {
    bytes: &'a [u8],
    seen: RefCell<Vec<bool>>,
}

impl<'a> Forgetful<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            seen: RefCell::new(vec![false; bytes.len()]),
        }
    }
}

impl ReadAt for Forgetful<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buffer, offset)?;
        let mut seen = self.seen.borrow_mut();
        for (byte, seen) in buffer.iter_mut().zip(&mut seen[offset as usize..]) {
            *byte ^= u8::from(*seen);
            *seen = true;
        }
        Ok(())
    }
}

/// A device whose file is swapped for another before one of the reads.
struct Swapped<'a> {
    before: &'a [u8],
    after: &'a [u8],
    reads_left: RefCell<usize>,
}

impl ReadAt for Swapped<'_> {
    fn size(&self) -> u64 {
        self.before.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut left = self.reads_left.borrow_mut();
        if *left == 0 {
            return self.after.read_exact_at(buffer, offset);
        }
        *left -= 1;
        self.before.read_exact_at(buffer, offset)
    }
}

/// An idsig without a signature.
fn idsig(tree_size: u32) -> Vec<u8> {
    let mut hashing = vec![1, 0, 0, 0, 12, 0, 0, 0, 0, 32, 0, 0, 0];
    hashing.extend([0xab; 32]);
    let mut signing = vec![4, 0, 0, 0, 1, 2, 3, 4];
    signing.extend([0; 3 * 4 + 4 + 4]);
    let mut file = vec![2, 0, 0, 0];
    for part in [&hashing, &signing] {
        file.extend((part.len() as u32).to_le_bytes());
        file.extend(part);
    }
    file.extend(tree_size.to_le_bytes());
    file.extend(vec![0xcd; tree_size as usize]);
    file.resize(file.len().next_multiple_of(4096), 0);
    file
}

#[test]
fn idsig_is_what_the_first_reading_of_it_says() {
    let bytes = idsig(20 * 4096);
    let expected = decode_idsig(&bytes[..]).expect("valid");
    assert_eq!(expected.root_hash, [0xab; 32]);
    let device = Forgetful::new(&bytes);
    assert_eq!(decode_idsig(&device), Ok(expected));
    assert!(decode_idsig(&device).is_err(), "the device does forget");
    // Of a small file, what follows the tree is looked at again: it only can be refused for it.
    let bytes = idsig(4096);
    assert!(decode_idsig(&bytes[..]).is_ok());
    assert!(decode_idsig(&Forgetful::new(&bytes)).is_err());
}

/// Whatever the host does between two reads: what is said to be verified is what a signature is over, all of it.
#[test]
fn apk_that_is_swapped_while_it_is_verified_is_refused_or_is_the_one_that_was_signed() {
    let Some(folder) = support::corpus("apkverify") else {
        return;
    };
    let truth = |bytes: &[u8]| {
        let sections = find_sections(bytes).ok()?;
        let apk = verify_v3(bytes, &sections, PLATFORM_SDK).ok()?;
        read_archive(bytes, &sections).ok().map(|_| apk)
    };
    let signed = fs::read_dir(folder)
        .expect("readable")
        .filter_map(|entry| fs::read(entry.ok()?.path()).ok())
        .filter(|bytes| truth(bytes).is_some())
        .min_by_key(Vec::len);
    let before = signed.expect("an APK that verifies");
    let expected = truth(&before);
    let (mut refused, mut verified) = (0, 0);
    for place in (0..before.len()).step_by(before.len() / 24) {
        let mut after = before.clone();
        after[place] ^= 0x10;
        for reads in 0..60 {
            let device = Swapped {
                before: &before,
                after: &after,
                reads_left: RefCell::new(reads),
            };
            let result = find_sections(&device)
                .map_err(VerifyError::from)
                .and_then(|sections| {
                    let apk = verify_v3(&device, &sections, PLATFORM_SDK)?;
                    read_archive(&device, &sections)?;
                    Ok(apk)
                });
            match result {
                Err(_) => refused += 1,
                Ok(apk) => {
                    assert_eq!(Some(apk), expected, "byte {place}, after {reads} reads");
                    verified += 1;
                }
            }
        }
    }
    assert!(
        refused > 0 && verified > 0,
        "{refused} refused, {verified} verified"
    );
}
