//! Bytes from the middle of a file: read where they lie, or inflated from the nearest remembered place before them.

use std::io;
use std::sync::{Mutex, PoisonError};

use microbuild_formats::zip::{Entry, EntryStream, Method};

use crate::Source;

/// Places to remember, of all files together: some 2 MiB.
const PLACE_COUNT_MAX: usize = 48;
/// Remembered places of one file are no nearer to each other than this, except the one where the last reader stopped.
const PLACE_DISTANCE_MIN: u64 = 1024 * 1024;
/// Of one file, at most this many places; the rest is for others.
const PLACES_PER_FILE: u64 = 16;

const SKIP_SIZE: usize = 64 * 1024;

/// A place in the stream of the file `id`.
struct Place {
    id: usize,
    stream: EntryStream,
    /// When it was last of use.
    used: u64,
    /// Where the last reader stopped; each file has one of these.
    is_last: bool,
}

#[derive(Default)]
struct Places {
    list: Vec<Place>,
    clock: u64,
}

pub struct Reader<S> {
    source: S,
    /// One inflates at a time: of two that read one file, the second would only repeat the work of the first.
    places: Mutex<Places>,
}

impl<S: Source> Reader<S> {
    pub fn new(source: S) -> Self {
        Self {
            source,
            places: Mutex::default(),
        }
    }

    /// Reads at `offset` of the file `id` and says how many bytes there were; the same id always means the same entry.
    pub fn read(
        &self,
        id: usize,
        entry: &Entry,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let left = entry.size.saturating_sub(offset);
        let size = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..size).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        match entry.method {
            Method::Stored => self.read_stored(entry, offset, buffer)?,
            Method::Deflated => self.read_deflated(id, entry, offset, buffer)?,
        }
        Ok(size)
    }

    /// The profile has seen that a stored entry's data is inside the archive and as long as the file.
    fn read_stored(&self, entry: &Entry, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = entry.data_offset.saturating_add(offset);
        self.source.read_exact_at(buffer, at)?;
        self.source.forget(at, buffer.len() as u64);
        Ok(())
    }

    fn read_deflated(
        &self,
        id: usize,
        entry: &Entry,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let distance = PLACE_DISTANCE_MIN.max(entry.size / PLACES_PER_FILE);
        let nearest = places.find_before(id, offset);
        let mut stream = nearest.unwrap_or_else(|| EntryStream::new(entry));
        let data_start = stream.data_position();
        let mut skipped = vec![0; SKIP_SIZE];
        while stream.position() < offset {
            let gap = offset - stream.position();
            let size = usize::try_from(gap).unwrap_or(usize::MAX).min(SKIP_SIZE);
            let read = stream.read(
                &self.source,
                entry,
                skipped.get_mut(..size).unwrap_or(&mut []),
            );
            if read.map_err(io::Error::other)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if places.is_apart(id, stream.position(), distance) {
                places.put(id, stream.clone(), distance);
            }
        }
        let read = stream
            .read(&self.source, entry, buffer)
            .map_err(io::Error::other)?;
        if read != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let data_end = stream.data_position();
        self.source.forget(
            entry.data_offset.saturating_add(data_start),
            data_end - data_start,
        );
        // At the end nothing comes that could go on from here.
        if stream.position() < entry.size {
            places.put(id, stream, distance);
        }
        Ok(())
    }
}

impl Places {
    /// The nearest place at or before `offset`.
    fn find_before(&mut self, id: usize, offset: u64) -> Option<EntryStream> {
        self.clock += 1;
        let place = self
            .list
            .iter_mut()
            .filter(|place| place.id == id && place.stream.position() <= offset)
            .max_by_key(|place| place.stream.position())?;
        place.used = self.clock;
        Some(place.stream.clone())
    }

    /// Whether a place there would be one of its own, and not only where the last reader stopped.
    fn is_apart(&self, id: usize, position: u64, distance: u64) -> bool {
        let mut others = self
            .list
            .iter()
            .filter(|place| place.id == id && !place.is_last);
        position >= distance
            && others.all(|place| place.stream.position().abs_diff(position) >= distance)
    }

    fn put(&mut self, id: usize, stream: EntryStream, distance: u64) {
        self.clock += 1;
        let is_last = !self.is_apart(id, stream.position(), distance);
        if is_last {
            self.list.retain(|place| place.id != id || !place.is_last);
        }
        if self.list.len() >= PLACE_COUNT_MAX {
            let places = self.list.iter().enumerate();
            if let Some((oldest, _)) = places.min_by_key(|(_, place)| place.used) {
                self.list.swap_remove(oldest);
            }
        }
        self.list.push(Place {
            id,
            stream,
            used: self.clock,
            is_last,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use microbuild_formats::ReadAt;

    use super::*;

    /// Counts what is read.
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicU64,
    }

    impl ReadAt for Counted {
        fn size(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            self.bytes.read_exact_at(buffer, offset)
        }
    }

    impl Source for Counted {}

    /// Text that compresses, but not to nothing.
    fn content(size: usize) -> Vec<u8> {
        let mut state = 1u32;
        (0..size)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b'a' + (state >> 28) as u8
            })
            .collect()
    }

    fn deflated(content: &[u8]) -> (Entry, Reader<Counted>) {
        let data = miniz_oxide::deflate::compress_to_vec(content, 3);
        let crc32 = content.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 0 {
                    crc >> 1
                } else {
                    crc >> 1 ^ 0xedb8_8320
                }
            })
        });
        let entry = Entry {
            name: "a".into(),
            mode: None,
            method: Method::Deflated,
            crc32: !crc32,
            compressed_size: data.len() as u64,
            size: content.len() as u64,
            data_offset: 7,
        };
        let bytes = [&[0xff; 7][..], &data].concat();
        let read = AtomicU64::new(0);
        (entry, Reader::new(Counted { bytes, read }))
    }

    #[test]
    fn compressed_file_read_in_order_is_inflated_once() {
        let content = content(5 << 20);
        let (entry, reader) = deflated(&content);
        let mut buffer = vec![0; 128 << 10];
        for (index, expected) in content.chunks(buffer.len()).enumerate() {
            let offset = (index * buffer.len()) as u64;
            let size = reader.read(3, &entry, offset, &mut buffer).expect("good");
            assert_eq!(buffer.get(..size), Some(expected), "at {offset}");
        }
        let read = reader.source.read.load(Ordering::Relaxed);
        assert!(
            read < 3 * entry.compressed_size,
            "{read} bytes of {} were read",
            entry.compressed_size
        );
    }

    #[test]
    fn any_place_can_be_read_in_any_order_with_bounded_memory_and_work() {
        let content = content(12 << 20);
        let (entry, reader) = deflated(&content);
        let (mut state, rounds) = (7u64, 100);
        for round in 0..rounds {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let offset = (state >> 33) as usize % content.len();
            let mut buffer = vec![0; (state >> 20) as usize % 9000];
            let size = reader
                .read(round % 2, &entry, offset as u64, &mut buffer)
                .expect("good");
            let expected = content.get(offset..).unwrap_or(&[]);
            assert_eq!(size, buffer.len().min(expected.len()));
            assert_eq!(buffer.get(..size), expected.get(..size), "at {offset}");
        }
        let places = reader.places.lock().expect("unpoisoned").list.len();
        assert!(places <= PLACE_COUNT_MAX, "{places} places");
        // From one place to the next, not from the start.
        let read = reader.source.read.load(Ordering::Relaxed);
        let limit = entry.compressed_size * rounds as u64 / 8;
        assert!(read < limit, "{read} bytes were read, {limit} allowed");
    }

    #[test]
    fn last_bytes_of_a_file_come_with_the_verdict_on_it() {
        let content = content(300_000);
        let (good, reader) = deflated(&content);
        let mut buffer = vec![0; 1000];
        for bad in [
            Entry {
                crc32: good.crc32 ^ 1,
                ..good.clone()
            },
            Entry {
                size: good.size + 1,
                ..good.clone()
            },
            Entry {
                size: good.size - 1,
                ..good.clone()
            },
            Entry {
                compressed_size: good.compressed_size - 1,
                ..good.clone()
            },
        ] {
            let at_the_end = reader.read(bad.size as usize, &bad, bad.size - 1000, &mut buffer);
            assert!(at_the_end.is_err(), "{bad:?}");
        }
        assert_eq!(
            reader.read(0, &good, good.size - 1000, &mut buffer).ok(),
            Some(1000)
        );
        assert_eq!(reader.read(0, &good, good.size, &mut buffer).ok(), Some(0));
        assert_eq!(reader.read(0, &good, u64::MAX, &mut buffer).ok(), Some(0));
    }
}
