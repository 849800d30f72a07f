//! Long messages, hashed side by side as their bytes come in.

use super::{Engine, State, CHUNK, DIGEST_SIZE, INITIAL};

const LANES: usize = Engine::MAX_LANES;

/// Several of one length: at most as many as the engine has lanes.
pub struct LongMessages {
    engine: Engine,
    states: [State; LANES],
    count: usize,
    /// Of each message so far, in bytes.
    size: u64,
}

impl LongMessages {
    pub fn new(engine: Engine, count: usize) -> Self {
        Self {
            engine,
            states: [INITIAL; LANES],
            count: count.min(engine.lanes()),
            size: 0,
        }
    }

    /// The next bytes of each message: equally many, in whole chunks of 64.
    pub fn update(&mut self, parts: &[&[u8]]) {
        let size = parts.first().map_or(0, |part| part.len());
        debug_assert!(parts.len() == self.count && size.is_multiple_of(CHUNK));
        debug_assert!(parts.iter().all(|part| part.len() == size));
        self.engine.compress(&mut self.states[..self.count], parts);
        self.size += size as u64;
    }

    /// The digest of each message, behind its last bytes: equally many, fewer than 64.
    pub fn finish(mut self, rests: &[&[u8]], out: &mut [[u8; DIGEST_SIZE]]) {
        let rest_size = rests.first().map_or(0, |rest| rest.len());
        let end_size = if rest_size + 9 > CHUNK {
            2 * CHUNK
        } else {
            CHUNK
        };
        let bits = (self.size + rest_size as u64) * 8;
        let mut ends = [[0; 2 * CHUNK]; LANES];
        for (end, rest) in ends.iter_mut().zip(rests) {
            end[..rest_size].copy_from_slice(&rest[..rest_size]);
            end[rest_size] = 0x80;
            end[end_size - 8..end_size].copy_from_slice(&bits.to_be_bytes());
        }
        let ends = ends.each_ref().map(|end| &end[..end_size]);
        let states = &mut self.states[..self.count];
        self.engine.compress(states, &ends[..self.count]);
        for (state, digest) in states.iter().zip(out) {
            for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
                *bytes = word.to_be_bytes();
            }
        }
    }
}

/// One of several that begin and end where they like, and have bytes in common.
pub struct LongMessage {
    state: State,
    /// So far, in bytes.
    size: u64,
}

impl LongMessage {
    pub fn begin() -> Self {
        Self {
            state: INITIAL,
            size: 0,
        }
    }

    /// The next bytes of all these messages, in whole chunks of 64.
    pub fn update(messages: &mut [&mut Self], bytes: &[u8], engine: Engine) {
        debug_assert!(bytes.len().is_multiple_of(CHUNK));
        for messages in messages.chunks_mut(engine.lanes().min(LANES)) {
            let mut states = [INITIAL; LANES];
            for (state, message) in states.iter_mut().zip(&*messages) {
                *state = message.state;
            }
            let count = messages.len();
            engine.compress(&mut states[..count], &[bytes; LANES][..count]);
            for (state, message) in states.into_iter().zip(messages) {
                message.state = state;
                message.size += bytes.len() as u64;
            }
        }
    }

    /// The digest, behind its last bytes: fewer than 64.
    pub fn finish(self, rest: &[u8], engine: Engine) -> [u8; DIGEST_SIZE] {
        let mut digest = [[0; DIGEST_SIZE]];
        let alone = LongMessages {
            engine,
            states: [self.state; LANES],
            count: 1,
            size: self.size,
        };
        alone.finish(&[rest], &mut digest);
        digest[0]
    }
}
