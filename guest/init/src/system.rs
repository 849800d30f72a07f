//! `system_a`: mapped by dm-verity as vbmeta says, and mounted.

use std::path::Path;

use microbuild_formats::avb::Hashtree;
use microbuild_formats::{dm_verity, hex};
use microbuild_sys::kernel::block::{find_partition, BlockDevice};
use microbuild_sys::kernel::console::report_verity;
use microbuild_sys::kernel::device_mapper::{create_device, Table};
use microbuild_sys::kernel::mount;

use crate::refusal::{Link, Refusal};
use crate::vbmeta::DISK_SERIAL;

const LABEL: &str = "system_a";
const MAPPED_NAME: &str = "system";
/// The kernel's limit is a page; Android's salts are 32 bytes.
const SALT_SIZE_MAX: usize = 256;

pub fn mount(hashtree: &Hashtree, target: &Path) -> Result<(), Refusal> {
    let refuse = |text: String| Refusal::new(Link::System, text);
    let partition = find_partition(DISK_SERIAL, LABEL).map_err(|error| {
        refuse(format!(
            "no partition {LABEL} on the disk {DISK_SERIAL}: {error}"
        ))
    })?;
    check(hashtree, partition.size).map_err(|text| refuse(text.to_owned()))?;
    report_verity(&partition.number, LABEL);
    let mapped = create_device(MAPPED_NAME, &table(hashtree, &partition))
        .map_err(|error| refuse(format!("cannot map {LABEL}: {error}")))?;
    mount::mount(
        &mapped.to_string_lossy(),
        target,
        "erofs",
        mount::READ_ONLY | mount::NODEV | mount::NOSUID,
        "",
    )
    .map_err(|error| refuse(format!("cannot mount {LABEL}: {error}")))
}

/// The descriptor must describe a version 1 tree that fits the partition and its own data.
fn check(hashtree: &Hashtree, partition_size: u64) -> Result<(), &'static str> {
    let block = dm_verity::BLOCK_SIZE;
    let blocks = (hashtree.data_block_size, hashtree.hash_block_size);
    if hashtree.dm_verity_version != 1 || blocks != (block as u32, block as u32) {
        return Err("the hashtree is not of version 1 with blocks of 4096 bytes");
    }
    let digest_size = dm_verity::digest_size(&hashtree.algorithm)
        .ok_or("the hashtree's hash algorithm is not allowed")?;
    if hashtree.root_digest.len() != digest_size || hashtree.salt.len() > SALT_SIZE_MAX {
        return Err("the hashtree's root digest or salt has an impossible size");
    }
    let is_aligned =
        hashtree.image_size.is_multiple_of(block) && hashtree.tree_offset.is_multiple_of(block);
    if hashtree.image_size == 0 || !is_aligned || hashtree.tree_offset < hashtree.image_size {
        return Err("the hashtree's image and tree are not whole blocks, one behind the other");
    }
    if hashtree.tree_size != dm_verity::tree_size(hashtree.image_size / block, digest_size) {
        return Err("the hashtree's tree does not have the size that its image needs");
    }
    match hashtree.tree_offset.checked_add(hashtree.tree_size) {
        Some(end) if end <= partition_size => Ok(()),
        _ => Err("the hashtree does not fit the partition"),
    }
}

fn table(hashtree: &Hashtree, partition: &BlockDevice) -> Table {
    let block = dm_verity::BLOCK_SIZE;
    let device = partition.path.display();
    let data_blocks = hashtree.image_size / block;
    let tree_block = hashtree.tree_offset / block;
    let salt = if hashtree.salt.is_empty() {
        "-".to_owned()
    } else {
        hex::encode(&hashtree.salt)
    };
    let parameters = format!(
        "1 {device} {device} {block} {block} {data_blocks} {tree_block} {} {} {salt} 1 panic_on_corruption",
        hashtree.algorithm,
        hex::encode(&hashtree.root_digest),
    );
    Table {
        sectors: hashtree.image_size / 512,
        target_type: "verity",
        parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashtree() -> Hashtree {
        Hashtree {
            dm_verity_version: 1,
            image_size: 129 * 4096,
            tree_offset: 129 * 4096,
            tree_size: 3 * 4096,
            data_block_size: 4096,
            hash_block_size: 4096,
            fec_roots: 0,
            fec_offset: 0,
            fec_size: 0,
            algorithm: "sha256".into(),
            partition: "system".into(),
            salt: vec![0xab; 32],
            root_digest: vec![1; 32],
            flags: 0,
        }
    }

    #[test]
    fn table_says_what_the_descriptor_says() {
        let partition = BlockDevice {
            path: "/dev/vda2".into(),
            size: 1 << 20,
            number: "254:2".into(),
        };
        let table = table(
            &Hashtree {
                salt: vec![],
                ..hashtree()
            },
            &partition,
        );
        let root = "01".repeat(32);
        let expected = format!(
            "1 /dev/vda2 /dev/vda2 4096 4096 129 129 sha256 {root} - 1 panic_on_corruption"
        );
        assert_eq!((table.sectors, table.parameters), (129 * 8, expected));
    }

    #[test]
    fn descriptor_that_does_not_fit_is_refused() {
        let size = 132 * 4096;
        assert_eq!(check(&hashtree(), size), Ok(()));
        assert!(check(&hashtree(), size - 1).is_err());
        let broken: [fn(&mut Hashtree); 11] = [
            |h| h.dm_verity_version = 0,
            |h| h.data_block_size = 512,
            |h| h.hash_block_size = 1024,
            |h| h.algorithm = "sha1".into(),
            |h| h.algorithm = "sha512".into(),
            |h| h.salt = vec![0; 257],
            |h| h.root_digest = vec![],
            |h| h.image_size = 0,
            |h| h.image_size += 1,
            |h| h.tree_size += 4096,
            |h| h.tree_offset = u64::MAX - 4095,
        ];
        for (index, breaks) in broken.into_iter().enumerate() {
            let mut bad = hashtree();
            breaks(&mut bad);
            assert!(check(&bad, size).is_err(), "case {index}");
        }
        assert!(
            check(
                &Hashtree {
                    tree_offset: 128 * 4096,
                    ..hashtree()
                },
                size
            )
            .is_err(),
            "overlap"
        );
    }
}
