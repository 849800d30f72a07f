//! The guest's memory, by the table that QEMU sends: vhost-user, "Memory region description".

use std::os::fd::OwnedFd;

use crate::sys::{Mapping, Part};

/// One entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionDescription {
    /// Where the guest has it.
    pub guest_address: u64,
    pub size: u64,
    /// Where QEMU has it, which is how it names the rings.
    pub user_address: u64,
    /// Where it begins in the file.
    pub file_offset: u64,
}

#[derive(Debug)]
struct Region {
    described: RegionDescription,
    offset: usize,
    mapping: Mapping,
}

/// Every address of a guest is looked up here before it is used.
#[derive(Debug, Default)]
pub struct Memory {
    regions: Vec<Region>,
}

impl Memory {
    /// Maps the regions of a table, one file each.
    ///
    /// # Errors
    /// When an entry is empty or overflows, or its file is too short.
    pub fn new(table: &[RegionDescription], files: &[OwnedFd]) -> Result<Self, String> {
        if table.len() != files.len() {
            return Err(format!(
                "{} memory regions with {} files",
                table.len(),
                files.len()
            ));
        }
        let mut regions = Vec::new();
        for (described, file) in table.iter().zip(files) {
            let RegionDescription {
                guest_address,
                size,
                user_address,
                file_offset,
            } = *described;
            let end = file_offset.checked_add(size);
            if size == 0
                || guest_address.checked_add(size).is_none()
                || user_address.checked_add(size).is_none()
            {
                return Err("a memory region that is empty or has no end".to_owned());
            }
            let bytes = end.and_then(|end| usize::try_from(end).ok());
            let offset = usize::try_from(file_offset).ok();
            let (Some(bytes), Some(offset)) = (bytes, offset) else {
                return Err("a memory region that does not fit its file".to_owned());
            };
            let mapping = Mapping::new(file, bytes)
                .map_err(|error| format!("cannot map guest memory: {error}"))?;
            regions.push(Region {
                described: *described,
                offset,
                mapping,
            });
        }
        Ok(Self { regions })
    }

    /// Where the guest has what QEMU has at `user`.
    #[must_use]
    pub fn guest_address(&self, user: u64) -> Option<u64> {
        self.regions.iter().find_map(|region| {
            let RegionDescription {
                guest_address,
                size,
                user_address,
                ..
            } = region.described;
            let offset = user.checked_sub(user_address)?;
            (offset < size).then(|| guest_address + offset)
        })
    }

    /// As much of `address..address + size` as one region holds; not empty unless `size` is zero.
    fn longest(&self, address: u64, size: u64) -> Option<Part<'_>> {
        self.regions.iter().find_map(|region| {
            let inside = address.checked_sub(region.described.guest_address)?;
            let left = region
                .described
                .size
                .checked_sub(inside)
                .filter(|left| *left > 0)?;
            let offset = region.offset.checked_add(usize::try_from(inside).ok()?)?;
            region
                .mapping
                .part(offset, usize::try_from(size.min(left)).ok()?)
        })
    }

    /// Appends the parts that make up `address..address + size`. None when any of it is no memory.
    #[must_use]
    pub fn parts<'m>(&'m self, address: u64, size: u64, into: &mut Vec<Part<'m>>) -> Option<()> {
        let (mut at, mut left) = (address, size);
        while left > 0 {
            let part = self.longest(at, left)?;
            let got = part.size() as u64;
            into.push(part);
            left -= got;
            at = at.checked_add(got)?;
        }
        Some(())
    }

    /// The part at `address..address + size` where one region holds all of it.
    #[must_use]
    pub fn part(&self, address: u64, size: u64) -> Option<Part<'_>> {
        self.longest(address, size)
            .filter(|part| part.size() as u64 == size)
    }

    #[must_use]
    pub fn read<const SIZE: usize>(&self, address: u64) -> Option<[u8; SIZE]> {
        let mut bytes = [0; SIZE];
        self.part(address, SIZE as u64)?.read(&mut bytes);
        Some(bytes)
    }

    #[must_use]
    pub fn write(&self, address: u64, bytes: &[u8]) -> Option<()> {
        self.part(address, bytes.len() as u64)?.write(bytes);
        Some(())
    }

    #[must_use]
    pub fn load_u16(&self, address: u64) -> Option<u16> {
        self.part(address, 2)?.load_u16()
    }

    #[must_use]
    pub fn store_u16(&self, address: u64, value: u16) -> Option<()> {
        self.part(address, 2)?.store_u16(value)
    }
}
