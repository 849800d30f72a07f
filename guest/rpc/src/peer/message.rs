//! A parcel with its objects.

use super::{Object, Session};
use crate::parcel::{Parcel, TYPE_BINDER};
use crate::reader::ParcelReader;
use crate::status::StatusCode;
use crate::wire::Address;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;

/// Bytes of a binder in a parcel: type, address, stability.
const BINDER_SIZE: usize = 16;
/// Of those, where the address stands.
pub(super) const ADDRESS_OFFSET: usize = 4;
const STABILITY_SYSTEM: i32 = 12;

impl<O: Object> Drop for Message<O> {
    /// Gives back what the peer sent and nobody read, where the protocol says where it stands.
    fn drop(&mut self) {
        let Some(session) = &self.session else {
            return;
        };
        let read = core::mem::take(self.read.get_mut());
        for position in self.parcel.objects() {
            let Ok(position) = usize::try_from(*position) else {
                continue;
            };
            let mut reader = self.parcel.reader();
            if read.contains_key(&position) || reader.set_position(position).is_err() {
                continue;
            }
            if let Ok(Some(address)) = reader.read_binder() {
                drop(session.enter(address));
            }
        }
    }
}

/// A parcel whose binders are objects: the addresses on the wire are the session's affair, when the message is sent.
pub struct Message<O: Object> {
    parcel: Parcel,
    /// Objects written here, by their offsets; they hold references.
    objects: BTreeMap<usize, Arc<O>>,
    /// Objects read here, by their offsets: the peer sent each once, however often it is read.
    read: RefCell<BTreeMap<usize, Arc<O>>>,
    /// Where the parcel was received, to look up the objects in it.
    session: Option<Arc<Session<O>>>,
}

impl<O: Object> Default for Message<O> {
    fn default() -> Self {
        Self::new(Parcel::new())
    }
}

impl<O: Object> Message<O> {
    /// A parcel without objects.
    pub fn new(parcel: Parcel) -> Self {
        Self {
            parcel,
            objects: BTreeMap::new(),
            read: RefCell::default(),
            session: None,
        }
    }

    pub(super) fn received(parcel: Parcel, session: &Arc<Session<O>>) -> Self {
        Self {
            parcel,
            objects: BTreeMap::new(),
            read: RefCell::default(),
            session: Some(Arc::clone(session)),
        }
    }

    pub fn parcel(&self) -> &Parcel {
        &self.parcel
    }

    /// For all values but objects.
    pub fn parcel_mut(&mut self) -> &mut Parcel {
        &mut self.parcel
    }

    /// The same, to be read from its start.
    pub fn rewound(mut self) -> Self {
        // The start is never beyond the end.
        let _moved = self.parcel.set_position(0);
        self
    }

    /// Whether objects were written into it.
    pub fn has_objects(&self) -> bool {
        !self.objects.is_empty()
    }

    /// The objects written into it, by their offsets.
    pub fn objects(&self) -> impl Iterator<Item = (usize, &Arc<O>)> {
        self.objects.iter().map(|(at, object)| (*at, object))
    }

    /// Writes an object where the position is.
    pub fn write_object(&mut self, object: Option<&Arc<O>>) {
        let start = self.parcel.position();
        let Some(object) = object else {
            return self.parcel.write_null_binder();
        };
        self.parcel.write_i32(TYPE_BINDER);
        self.parcel.write_u64(Address::NULL.0);
        self.parcel.write_i32(STABILITY_SYSTEM);
        // Writing over what was written before ends whatever stood there.
        let end = start.saturating_add(BINDER_SIZE);
        let under = start.saturating_sub(BINDER_SIZE - 1)..end;
        let gone: Vec<usize> = self.objects.range(under).map(|(at, _)| *at).collect();
        for at in gone {
            self.objects.remove(&at);
        }
        self.objects.insert(start, Arc::clone(object));
    }

    /// Reads an object where the reader is, which reads this message's parcel.
    ///
    /// # Errors
    /// `BAD_VALUE` where there is no object or one that the peer cannot have, `NOT_ENOUGH_DATA` at the end.
    pub fn read_object(&self, reader: &mut ParcelReader<'_>) -> Result<Option<Arc<O>>, StatusCode> {
        let start = reader.position();
        if let Some(object) = self.objects.get(&start) {
            reader.set_position(start.saturating_add(BINDER_SIZE))?;
            return Ok(Some(Arc::clone(object)));
        }
        let (Some(address), session) = (reader.read_binder()?, &self.session) else {
            return Ok(None);
        };
        if let Some(object) = self.read.borrow().get(&start) {
            return Ok(Some(Arc::clone(object)));
        }
        let object = match session {
            Some(session) => session.enter(address)?,
            None => return Err(StatusCode::BAD_VALUE),
        };
        self.read.borrow_mut().insert(start, Arc::clone(&object));
        Ok(Some(object))
    }

    /// Appends a part of another message, with the objects in it.
    ///
    /// # Errors
    /// `BAD_VALUE` for a part that is not there, and whatever reading its objects gives.
    pub fn append(&mut self, from: &Self, start: usize, size: usize) -> Result<(), StatusCode> {
        let end = start.checked_add(size).ok_or(StatusCode::BAD_VALUE)?;
        let bytes = from.parcel.data().get(start..end);
        let bytes = bytes.ok_or(StatusCode::BAD_VALUE)?;
        let listed = from.parcel.objects().iter();
        let listed = listed.filter_map(|at| usize::try_from(*at).ok());
        let mut objects = Vec::new();
        for at in from.objects.keys().copied().chain(listed) {
            if at < start || at.saturating_add(BINDER_SIZE) > end {
                continue;
            }
            let mut reader = from.parcel.reader();
            reader.set_position(at)?;
            if let Some(object) = from.read_object(&mut reader)? {
                objects.push((at - start, object));
            }
        }
        let here = self.parcel.position();
        self.parcel.write_raw(bytes);
        for (at, object) in objects {
            self.objects.insert(here + at, object);
        }
        Ok(())
    }

    /// The objects that still stand where they were written, and the parcel's bytes with their addresses.
    pub(super) fn sendable(&self) -> impl Iterator<Item = (usize, &Arc<O>)> {
        let data = self.parcel.data();
        self.objects().filter(|(at, _)| {
            let word = data.get(*at..at.saturating_add(4));
            data.len() >= at.saturating_add(BINDER_SIZE)
                && word == Some(&TYPE_BINDER.to_le_bytes()[..])
        })
    }
}
