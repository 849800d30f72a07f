//! The chunked content digest of APK signature schemes v2 and v3.
//!
//! source.android.com "APK Signature Scheme v2", integrity-protected contents: three sections, cut in chunks of 1 MiB.

use microbuild_formats::apk::Sections;
use microbuild_formats::{ErrorCode, FormatError, ReadAt};
use sha2::{Digest, Sha256, Sha512};

use super::algorithm::Hash;

const CHUNK_SIZE: u64 = 1024 * 1024;
const CHUNK_PREFIX: u8 = 0xa5;
const TOP_PREFIX: u8 = 0x5a;
/// Of the central directory's offset in the end record.
const EOCD_OFFSET_FIELD: std::ops::Range<usize> = 16..20;

pub fn compute(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
    hash: Hash,
) -> Result<Vec<u8>, FormatError> {
    match hash {
        Hash::Sha256 => compute_with::<Sha256>(source, sections),
        Hash::Sha512 => compute_with::<Sha512>(source, sections),
    }
}

fn compute_with<D: Digest>(
    source: &(impl ReadAt + ?Sized),
    sections: &Sections,
) -> Result<Vec<u8>, FormatError> {
    let mut chunks = Chunks::<D> {
        count: 0,
        digests: Vec::new(),
        hash: std::marker::PhantomData,
    };
    let mut buffer = vec![0; CHUNK_SIZE as usize];
    let central_directory = sections.central_directory_offset..sections.eocd_offset;
    for range in [0..sections.signing_block_offset, central_directory] {
        let mut offset = range.start;
        while offset < range.end {
            let size = (range.end - offset).min(CHUNK_SIZE);
            let chunk = &mut buffer[..size as usize];
            let unreadable = |_| FormatError::new("apk", ErrorCode::Io, "contents", offset);
            source.read_exact_at(chunk, offset).map_err(unreadable)?;
            chunks.add(chunk);
            offset += size;
        }
    }
    chunks.add(&signed_eocd(sections)?);
    let count = chunks.count.to_le_bytes();
    Ok(D::new()
        .chain_update([TOP_PREFIX])
        .chain_update(count)
        .chain_update(&chunks.digests)
        .finalize()
        .to_vec())
}

/// The end record as it was before the signing block was put in.
fn signed_eocd(sections: &Sections) -> Result<Vec<u8>, FormatError> {
    let fail = || {
        FormatError::new(
            "apk",
            ErrorCode::BadValue,
            "end of central directory",
            sections.eocd_offset,
        )
    };
    let offset = u32::try_from(sections.signing_block_offset).map_err(|_| fail())?;
    let mut eocd = sections.eocd.clone();
    eocd.get_mut(EOCD_OFFSET_FIELD)
        .ok_or_else(fail)?
        .copy_from_slice(&offset.to_le_bytes());
    Ok(eocd)
}

struct Chunks<D> {
    count: u32,
    digests: Vec<u8>,
    hash: std::marker::PhantomData<D>,
}

impl<D: Digest> Chunks<D> {
    fn add(&mut self, chunk: &[u8]) {
        // A ZIP without ZIP64 is below 4 GiB, so it has at most 4098 chunks of at most 1 MiB.
        let size = (chunk.len() as u32).to_le_bytes();
        let digest = D::new()
            .chain_update([CHUNK_PREFIX])
            .chain_update(size)
            .chain_update(chunk)
            .finalize();
        self.digests.extend_from_slice(&digest);
        self.count += 1;
    }
}
