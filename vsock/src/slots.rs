//! Where streams are kept, and how they are named.

use crate::stream::Stream;

/// Tokens below are those of descriptors that are no streams.
pub const FIRST_TOKEN: u64 = 16;

/// A slot and the how-manieth stream in it, as epoll's token: late events of a stream do not meet its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub u64);

impl Id {
    const fn new(slot: usize, generation: u32) -> Self {
        Self((generation as u64) << 32 | (slot as u64 + FIRST_TOKEN))
    }

    fn slot(self) -> Option<usize> {
        usize::try_from((self.0 & 0xffff_ffff).checked_sub(FIRST_TOKEN)?).ok()
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    stream: Option<Box<Stream>>,
}

/// All streams.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Slots {
    #[must_use]
    pub fn get(&mut self, id: Id) -> Option<&mut Stream> {
        let slot = self.slots.get_mut(id.slot()?)?;
        (Id::new(id.slot()?, slot.generation) == id)
            .then_some(slot.stream.as_deref_mut())
            .flatten()
    }

    pub fn add(&mut self, stream: Stream) -> Id {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[slot].stream = Some(Box::new(stream));
        Id::new(slot, self.slots[slot].generation)
    }

    pub fn remove(&mut self, id: Id) -> Option<Box<Stream>> {
        self.get(id)?;
        let index = id.slot()?;
        let slot = self.slots.get_mut(index)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        slot.stream.take()
    }

    fn all(&self) -> impl Iterator<Item = (Id, &Stream)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let stream = slot.stream.as_deref()?;
            Some((Id::new(index, slot.generation), stream))
        })
    }

    #[must_use]
    pub fn ids(&self) -> Vec<Id> {
        self.all().map(|(id, _)| id).collect()
    }

    pub fn find(&self, is_wanted: impl Fn(&Stream) -> bool) -> Option<Id> {
        self.all()
            .find_map(|(id, stream)| is_wanted(stream).then_some(id))
    }

    pub fn any(&self, is_wanted: impl Fn(&Stream) -> bool) -> bool {
        self.find(is_wanted).is_some()
    }
}
