//! Many inputs compressed at once, each on its own: bytes that are at hand, or parts of files that are read here. The twin is
//! `src/compression/cluster-batch.ts`.

use crate::clusters::{cut_into_clusters, Extent};
use crate::deflate::DeflateEncoder;
use crate::lz4::Lz4Encoder;
use crate::threads;
use crate::zstd::ZstdEncoder;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Words of an extent in the caller's memory: bytes of input, bytes stored, whether it is plain.
pub const EXTENT_WORDS: usize = 3;

/// Places of inputs are a multiple of this apart, and at least a byte, which shows whether a file goes on.
const PLACE: usize = 64;

/// How much room an input takes in the memory for inputs, and its output in that for outputs.
pub fn room_of(length: usize) -> Option<usize> {
    length.checked_add(1)?.checked_next_multiple_of(PLACE)
}

/// How many words the extents of an input take at most: all but the last stand for a block at least.
pub fn extent_words_of(length: usize, block_size: usize) -> usize {
    length.div_ceil(block_size) * EXTENT_WORDS
}

/// Part of a file.
#[derive(Clone, Copy, Debug)]
pub struct FilePart<'a> {
    pub path: &'a Path,
    pub from: u64,
    /// Of the whole file: any other is an error. More than any file has for a slice, behind which the file goes on.
    pub size: u64,
}

/// What is compressed, and where to.
pub struct Input<'a> {
    /// Where the bytes come from, unless they are in `data` already.
    pub file: Option<FilePart<'a>>,
    pub length: usize,
    /// Whether it is compressed; else it is read only.
    pub is_compressed: bool,
    /// Each has `room_of` the length.
    pub data: &'a mut [u8],
    pub out: &'a mut [u8],
    /// `extent_words_of` the length; left alone, with their count, of what is read only.
    pub extents: &'a mut [u32],
    pub extent_count: &'a mut u32,
}

/// Why an input could not be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such algorithm or level.
    Refused,
    /// What the system said on opening or reading: an `errno`.
    System(i32),
    /// The file has another size: at least so many bytes if that is more than expected, else exactly so many.
    Size(u64),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(0))
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Algorithm {
    Deflate,
    Zstd,
    /// Level 0 is plain LZ4, others are of LZ4 HC.
    Lz4,
}

/// The sizes of what is made.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub block: usize,
    pub cluster: usize,
}

/// Compresses one input after the other: most are smaller than the tables of LZ4.
pub struct Compressor {
    algorithm: Algorithm,
    level: u32,
    lz4: Option<Lz4Encoder>,
}

impl Compressor {
    pub fn new(algorithm: Algorithm, level: u32) -> Self {
        let lz4 = match algorithm {
            Algorithm::Lz4 => Lz4Encoder::new(level),
            Algorithm::Deflate | Algorithm::Zstd => None,
        };
        Self {
            algorithm,
            level,
            lz4,
        }
    }

    /// As `cut_into_clusters`; `None` if there is no such level.
    pub fn compress(
        &mut self,
        input: &[u8],
        Sizes { block, cluster }: Sizes,
        extents: &mut Vec<Extent>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        match self.algorithm {
            Algorithm::Deflate => {
                let mut encoder = DeflateEncoder::new(input, self.level)?;
                cut_into_clusters(input, block, cluster, &mut encoder, extents, out);
            }
            Algorithm::Zstd => {
                let mut encoder = ZstdEncoder::new(input, self.level)?;
                cut_into_clusters(input, block, cluster, &mut encoder, extents, out);
            }
            Algorithm::Lz4 => {
                let encoder = self.lz4.as_mut()?;
                encoder.begin(input);
                cut_into_clusters(input, block, cluster, encoder, extents, out);
            }
        }
        Some(())
    }
}

/// What a thread works with, for one input after the other.
struct Scratch {
    compressor: Compressor,
    extents: Vec<Extent>,
    bytes: Vec<u8>,
}

/// Reads and compresses all inputs, on several threads. Of several failures the one of the first input is told, with its number.
pub fn compress(
    inputs: Vec<Input>,
    algorithm: Algorithm,
    level: u32,
    sizes: Sizes,
    thread_count: usize,
) -> Result<(), (usize, Failure)> {
    threads::for_each(
        inputs.into_iter(),
        thread_count,
        || Scratch {
            compressor: Compressor::new(algorithm, level),
            extents: Vec::new(),
            bytes: Vec::new(),
        },
        |scratch, index, input| {
            compress_one(input, sizes, scratch).map_err(|failure| (index, failure))
        },
    )
}

fn compress_one(input: Input, sizes: Sizes, scratch: &mut Scratch) -> Result<(), Failure> {
    let Input { length, data, .. } = input;
    if let Some(part) = input.file {
        read(part, length, data)?;
    }
    if !input.is_compressed {
        return Ok(());
    }
    let bytes = data.get(..length).ok_or(Failure::Refused)?;
    let Scratch {
        compressor,
        extents,
        bytes: stored,
    } = scratch;
    extents.clear();
    stored.clear();
    compressor
        .compress(bytes, sizes, extents, stored)
        .ok_or(Failure::Refused)?;
    let out = input.out.get_mut(..stored.len()).ok_or(Failure::Refused)?;
    out.copy_from_slice(stored);
    let words = input
        .extents
        .get_mut(..extents.len() * EXTENT_WORDS)
        .ok_or(Failure::Refused)?;
    for (extent, words) in extents.iter().zip(words.chunks_exact_mut(EXTENT_WORDS)) {
        // Lengths of clusters are far below 2^32.
        words.copy_from_slice(&[
            extent.length as u32,
            extent.stored_length as u32,
            u32::from(extent.is_plain),
        ]);
    }
    *input.extent_count = extents.len() as u32;
    Ok(())
}

/// Fills `target[..length]` from the file. With its last part makes sure that it ends there, for which the next byte is used.
pub fn read(part: FilePart, length: usize, target: &mut [u8]) -> Result<(), Failure> {
    let FilePart { path, from, size } = part;
    let file = File::open(path)?;
    let is_last = from + length as u64 == size;
    let target = target
        .get_mut(..length + usize::from(is_last))
        .ok_or(Failure::Refused)?;
    let mut done = 0;
    while let Some(rest) = target.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        // Nothing but the end of the file makes the last read of a regular file short.
        if is_last && done == length {
            break;
        }
    }
    if done == length {
        return Ok(());
    }
    Err(Failure::Size(from + done as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress_file(path: &Path, from: u64, length: usize, size: u64) -> Result<Vec<u8>, Failure> {
        let mut data = vec![0; room_of(length).unwrap_or(0)];
        let mut out = data.clone();
        let mut extents = vec![0; extent_words_of(length, 4096)];
        let input = Input {
            file: Some(FilePart { path, from, size }),
            length,
            is_compressed: true,
            data: &mut data,
            out: &mut out,
            extents: &mut extents,
            extent_count: &mut 0,
        };
        let sizes = Sizes {
            block: 4096,
            cluster: 4096,
        };
        compress(vec![input], Algorithm::Lz4, 9, sizes, 2).map_err(|(_, failure)| failure)?;
        data.truncate(length);
        Ok(data)
    }

    #[test]
    fn a_file_has_the_planned_size_or_is_an_error() {
        let path = std::env::temp_dir().join(format!("mb-cluster-batch-{}", std::process::id()));
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| (i / 7) as u8).collect();
        assert!(std::fs::write(&path, &bytes).is_ok());
        assert_eq!(compress_file(&path, 0, 10_000, 10_000), Ok(bytes.clone()));
        assert_eq!(
            compress_file(&path, 5000, 5000, 10_000),
            Ok(bytes[5000..].to_vec())
        );
        assert_eq!(
            compress_file(&path, 0, 5000, 10_000),
            Ok(bytes[..5000].to_vec())
        );
        assert_eq!(
            compress_file(&path, 0, 9999, 9999),
            Err(Failure::Size(10_000))
        );
        assert_eq!(
            compress_file(&path, 0, 10_001, 10_001),
            Err(Failure::Size(10_000))
        );
        assert_eq!(
            compress_file(&path, 4096, 8192, 20_000),
            Err(Failure::Size(10_000))
        );
        assert!(std::fs::remove_file(&path).is_ok());
        let missing = compress_file(&path, 0, 1, 1);
        assert_eq!(missing, Err(Failure::System(2)));
    }
}
