//! From blocks to the chunks that an engine takes: salt before, padding behind, and a shortcut for blocks of zeros.

use super::{Engine, State, CHUNK, DIGEST_SIZE, INITIAL};

const LANES: usize = Engine::MAX_LANES;

/// Hashes blocks of one size behind one salt.
///
/// All its messages are of one length, so the block falls in the same way into the 64-byte chunks behind the salt; what is
/// the same in all of them is prepared once.
pub struct BlockHasher {
    engine: Engine,
    block_size: usize,
    /// After the whole chunks of the salt.
    start: State,
    /// The rest of the salt and the beginning of the block, for each lane.
    heads: [[u8; CHUNK]; LANES],
    /// Where the block begins in there; no such chunk if that is 0.
    head_at: usize,
    /// Bytes of the block in that chunk.
    head: usize,
    /// Whole chunks of the block behind it, in bytes.
    body: usize,
    /// The end of the message, its mark, and its length in bits, in one or two chunks for each lane.
    ends: [[u8; 2 * CHUNK]; LANES],
    /// Where the rest of the block begins in there: behind a salt that has no chunk with the block's beginning.
    end_at: usize,
    end_size: usize,
    zero_digest: Option<[u8; DIGEST_SIZE]>,
}

impl BlockHasher {
    pub fn new(engine: Engine, block_size: usize, salt: &[u8]) -> Self {
        let (whole, salt_rest) = salt.split_at(salt.len() / CHUNK * CHUNK);
        let mut start = [INITIAL];
        engine.compress(&mut start, &[whole]);
        let room = CHUNK - salt_rest.len();
        let has_head = !salt_rest.is_empty() && block_size >= room;
        let head = if has_head { room } else { 0 };
        let body = (block_size - head) / CHUNK * CHUNK;

        let mut heads = [[0; CHUNK]; LANES];
        let mut ends = [[0; 2 * CHUNK]; LANES];
        let end_at = if has_head { 0 } else { salt_rest.len() };
        let end = end_at + block_size - head - body;
        let end_size = if end + 9 > CHUNK { 2 * CHUNK } else { CHUNK };
        let bits = (salt.len() as u64 + block_size as u64) * 8;
        for (head, tail) in heads.iter_mut().zip(&mut ends) {
            head[..salt_rest.len()].copy_from_slice(salt_rest);
            tail[..end_at].copy_from_slice(&salt_rest[..end_at]);
            tail[end] = 0x80;
            tail[end_size - 8..end_size].copy_from_slice(&bits.to_be_bytes());
        }
        Self {
            engine,
            block_size,
            start: start[0],
            heads,
            head_at: if has_head { salt_rest.len() } else { 0 },
            head,
            body,
            ends,
            end_at,
            end_size,
            zero_digest: None,
        }
    }

    /// Writes the digest of each whole block of `data` to `out`.
    pub fn hash(&mut self, data: &[u8], out: &mut [u8]) {
        let lanes = self.engine.lanes();
        let out = out.as_chunks_mut::<DIGEST_SIZE>().0;
        let mut group: [&[u8]; LANES] = [&[]; LANES];
        let mut places = [0; LANES];
        let mut count = 0;
        for (place, block) in data
            .chunks_exact(self.block_size)
            .take(out.len())
            .enumerate()
        {
            if is_zero(block) {
                out[place] = self.zero_digest();
                continue;
            }
            (group[count], places[count]) = (block, place);
            count += 1;
            if count == lanes {
                self.hash_group(&group[..count], &places, out);
                count = 0;
            }
        }
        self.hash_group(&group[..count], &places, out);
    }

    /// Fills `out` with the digest of a block of zeros.
    pub fn hash_zeros(&mut self, out: &mut [u8]) {
        let digest = self.zero_digest();
        out.as_chunks_mut().0.fill(digest);
    }

    fn zero_digest(&mut self) -> [u8; DIGEST_SIZE] {
        if let Some(digest) = self.zero_digest {
            return digest;
        }
        let mut digest = [[0; DIGEST_SIZE]];
        self.hash_group(&[&vec![0; self.block_size]], &[0; LANES], &mut digest);
        self.zero_digest = Some(digest[0]);
        digest[0]
    }

    /// Hashes at most as many blocks as there are lanes; the digest of each goes to its place.
    fn hash_group(
        &mut self,
        blocks: &[&[u8]],
        places: &[usize; LANES],
        out: &mut [[u8; DIGEST_SIZE]],
    ) {
        let count = blocks.len();
        let mut states = [self.start; LANES];
        let states = &mut states[..count];
        let mut messages: [&[u8]; LANES] = [&[]; LANES];
        if self.head > 0 {
            for (head, block) in self.heads.iter_mut().zip(blocks) {
                head[self.head_at..].copy_from_slice(&block[..self.head]);
            }
            for (message, head) in messages.iter_mut().zip(&self.heads) {
                *message = head;
            }
            self.engine.compress(states, &messages[..count]);
        }
        for (message, block) in messages.iter_mut().zip(blocks) {
            *message = &block[self.head..self.head + self.body];
        }
        self.engine.compress(states, &messages[..count]);

        for (end, block) in self.ends.iter_mut().zip(blocks) {
            let rest = &block[self.head + self.body..];
            end[self.end_at..self.end_at + rest.len()].copy_from_slice(rest);
        }
        for (message, end) in messages.iter_mut().zip(&self.ends) {
            *message = &end[..self.end_size];
        }
        self.engine.compress(states, &messages[..count]);

        for (state, place) in states.iter().zip(places) {
            for (bytes, word) in out[*place].as_chunks_mut().0.iter_mut().zip(state) {
                *bytes = word.to_be_bytes();
            }
        }
    }
}

/// A block that is not zero mostly says so in its first bytes. Only instructions that every processor has: AVX would leave
/// registers behind that make each SHA instruction wait for hundreds of cycles.
fn is_zero(block: &[u8]) -> bool {
    let (chunks, rest) = block.as_chunks::<128>();
    let is_zero = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all | byte) == 0;
    chunks.iter().all(|chunk| is_zero(chunk)) && is_zero(rest)
}
