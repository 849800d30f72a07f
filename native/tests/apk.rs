//! The pass over a section of an APK: every engine against messages that are put together plainly, and the C interface.

use microbuild_native::abi::{mb_apk_section, ERROR_ARGUMENT, ERROR_TRUNCATED};
use microbuild_native::apk::{pass, Digests, Piece, Pieces, Section, CHUNK_SIZE};
use microbuild_native::sha256::Engine;
use sha2::{Digest, Sha256, Sha512};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::ptr;

/// Bytes that look random, the same in every run.
fn bytes(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length)
        .map(|_| {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .collect()
}

/// A file that is gone when the test is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path =
            std::env::temp_dir().join(format!("microbuild-apk-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn open(&self) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What is wanted of a section: digests of chunks (SHA-256, SHA-512) and blocks (plain, salted).
fn plainly(section: &[u8]) -> [Vec<u8>; 4] {
    let mut out: [Vec<u8>; 4] = Default::default();
    for chunk in section.chunks(CHUNK_SIZE as usize) {
        let mut prefix = vec![0xa5];
        prefix.extend((chunk.len() as u32).to_le_bytes());
        out[0].extend(
            Sha256::new_with_prefix(&prefix)
                .chain_update(chunk)
                .finalize(),
        );
        out[1].extend(
            Sha512::new_with_prefix(&prefix)
                .chain_update(chunk)
                .finalize(),
        );
    }
    for block in section.chunks(4096) {
        let mut padded = block.to_vec();
        padded.resize(4096, 0);
        out[2].extend(Sha256::digest(&padded));
        out[3].extend(
            Sha256::new_with_prefix([0; 8])
                .chain_update(&padded)
                .finalize(),
        );
    }
    out
}

fn engines() -> Vec<Engine> {
    (1..=5).filter_map(Engine::new).collect()
}

#[test]
fn every_engine_makes_the_digests_and_the_copy_of_any_section() {
    let input = bytes(9 << 20, 5);
    let own = bytes(3000, 6);
    let (from, to) = (Scratch::new("in", &input), Scratch::new("out", &[]));
    for engine in engines() {
        // Sizes around what a slice, a chunk and a group of lanes take, and lengths that shift all that follows.
        for (case, size) in [
            0_u64,
            1,
            58,
            59,
            60,
            4095,
            65_535,
            65_536,
            65_537,
            1 << 20,
            (1 << 20) + 1,
            3 << 20,
            (7 << 20) + 4097,
            (8 << 20) + 63,
        ]
        .into_iter()
        .enumerate()
        {
            let first = size / 3;
            let pieces = [
                Piece::File {
                    offset: 17,
                    size: first,
                },
                Piece::Own {
                    offset: 5,
                    size: (size - first).min(777) as usize,
                },
                Piece::File {
                    offset: 3,
                    size: (size - first).saturating_sub(777) / 2,
                },
            ];
            let mut expected = Vec::new();
            for piece in &pieces {
                match *piece {
                    Piece::File { offset, size } => {
                        expected.extend(&input[offset as usize..(offset + size) as usize]);
                    }
                    Piece::Own { offset, size } => expected.extend(&own[offset..offset + size]),
                }
            }
            expected.resize(size as usize, 0);

            let (input_file, output_file) = (from.open(), to.open());
            let [mut sha256, mut sha512, mut leaves, mut salted] =
                plainly(&expected).map(|digests| vec![0xee; digests.len()]);
            let digests = Digests {
                sha256: Some(&mut sha256),
                sha512: (case % 2 == 0).then_some(&mut sha512[..]),
                leaves: Some(&mut leaves),
                salted_leaves: (case % 3 == 0).then_some(&mut salted[..]),
            };
            assert!(digests.fit(size));
            let section = Section {
                pieces: Pieces::new(&input_file, &own, &pieces).unwrap(),
                size,
                output: Some((&output_file, 100)),
                engine,
                threads: 1 + case % 3,
            };
            pass(&section, digests).unwrap();

            let label = format!("engine {}, {size} bytes", engine.number());
            let [plain256, plain512, plain_leaves, plain_salted] = plainly(&expected);
            assert!(sha256 == plain256, "{label}: sha256");
            assert!(leaves == plain_leaves, "{label}: leaves");
            if case % 2 == 0 {
                assert!(sha512 == plain512, "{label}: sha512");
            }
            if case % 3 == 0 {
                assert!(salted == plain_salted, "{label}: salted leaves");
            }
            let written = fs::read(&to.0).unwrap();
            assert!(
                size == 0 || written[100..100 + size as usize] == expected,
                "{label}: copy"
            );
        }
    }
}

/// Calls the C interface for SHA-256 of the chunks only.
fn section(input: &File, pieces: &[u64], own: &[u8], size: u64, out: &mut [u8]) -> i32 {
    // SAFETY: every length is that of its buffer.
    unsafe {
        mb_apk_section(
            0,
            2,
            input.as_raw_fd(),
            pieces.as_ptr(),
            pieces.len() / 3,
            own.as_ptr(),
            own.len(),
            size,
            -1,
            0,
            out.as_mut_ptr(),
            out.len(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            0,
        )
    }
}

#[test]
fn the_interface_refuses_what_does_not_fit_and_tells_a_short_file() {
    let input = bytes(5000, 9);
    let from = Scratch::new("abi", &input);
    let file = from.open();
    let mut out = [0; 32];
    assert_eq!(section(&file, &[0, 0, 5000], &[], 5000, &mut out), 0);
    assert_eq!(out[..], plainly(&input)[0][..]);
    assert_eq!(
        section(&file, &[0, 1, 5000], &[], 5000, &mut out),
        ERROR_TRUNCATED
    );
    for (pieces, size) in [
        (&[0, 0, 5001][..], 5000), // larger than the section
        (&[2, 0, 1][..], 5000),    // no such kind
        (&[1, 0, 1][..], 5000),    // no such bytes of our own
        (&[1, u64::MAX, 2][..], 5000),
        (&[0, u64::MAX, 2][..], 5000),
        (&[0, 1 << 63, 1][..], 5000),
        (&[0, 0, 1 << 62, 0, 0, 1 << 63][..], u64::MAX),
        (&[][..], (1 << 20) + 1), // two digests
        (&[][..], u64::MAX),
    ] {
        assert_eq!(
            section(&file, pieces, &[], size, &mut out),
            ERROR_ARGUMENT,
            "{pieces:?}"
        );
    }
}
