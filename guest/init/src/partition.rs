//! A partition of the system's disk: mapped by dm-verity as vbmeta says, with error correction where there is some, and mounted.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use microbuild_formats::avb::Hashtree;
use microbuild_formats::{dm_verity, hex};
use microbuild_sys::kernel::block::{find_partition, BlockDevice};
use microbuild_sys::kernel::console::{report_verity, say};
use microbuild_sys::kernel::device_mapper::{create_device, Table};
use microbuild_sys::kernel::mount;

use crate::plan::Partition;
use crate::refusal::{Link, Refusal};
use crate::vbmeta::DISK_SERIAL;

/// The kernel's limit is a page; Android's salts are 32 bytes.
const SALT_SIZE_MAX: usize = 256;

pub fn mount_system(hashtree: &Hashtree, target: &Path) -> Result<(), Refusal> {
    mount(hashtree, target).map_err(|text| Refusal::new(Link::System, text))
}

/// Mounts what belongs into the system that is mounted at `new_root`.
pub fn mount_all(partitions: &[Partition], new_root: &Path) -> Result<(), Refusal> {
    for Partition {
        hashtree,
        mount_point,
    } in partitions
    {
        let refuse =
            |text: String| Refusal::new(Link::Partition, format!("{}: {text}", hashtree.partition));
        let target = directory_in(new_root, mount_point)
            .map_err(|error| refuse(format!("no directory {}: {error}", mount_point.display())))?;
        mount(hashtree, &target).map_err(refuse)?;
    }
    Ok(())
}

/// The directory at `path` below `root`, without following a symbolic link: the way out of the system leads through one.
fn directory_in(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut place = root.to_owned();
    for component in path.components() {
        if let Component::Normal(name) = component {
            place.push(name);
            if !fs::symlink_metadata(&place)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
    }
    Ok(place)
}

fn mount(hashtree: &Hashtree, target: &Path) -> Result<(), String> {
    let label = format!("{}_a", hashtree.partition);
    let partition = find_partition(DISK_SERIAL, &label)
        .map_err(|error| format!("no partition {label} on the disk {DISK_SERIAL}: {error}"))?;
    check(hashtree, partition.size)?;
    report_verity(&partition.number, &label);
    let mapped = map(&label, hashtree, &partition)
        .map_err(|error| format!("cannot map {label}: {error}"))?;
    mount::mount(
        &mapped.to_string_lossy(),
        target,
        "erofs",
        mount::READ_ONLY | mount::NODEV | mount::NOSUID,
        "",
    )
    .map_err(|error| format!("cannot mount {label}: {error}"))
}

/// A kernel that cannot correct errors still finds them.
fn map(label: &str, hashtree: &Hashtree, partition: &BlockDevice) -> io::Result<PathBuf> {
    let plain = table(hashtree, partition, false);
    if hashtree.fec_size == 0 {
        return create_device(label, &plain);
    }
    match create_device(label, &table(hashtree, partition, true)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            say(&format!(
                "the kernel does not correct errors of {label}: {error}"
            ));
            create_device(label, &plain)
        }
        made => made,
    }
}

/// The descriptor must describe a version 1 tree, and error correction if any, that fit the partition and its own data.
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
        Some(end) if end <= partition_size => check_fec(hashtree, end, partition_size),
        _ => Err("the hashtree does not fit the partition"),
    }
}

/// The kernel counts the blocks that are corrected from the start of the data to the end of the tree: both must lie as it thinks.
fn check_fec(hashtree: &Hashtree, tree_end: u64, partition_size: u64) -> Result<(), &'static str> {
    let (roots, offset, size) = (hashtree.fec_roots, hashtree.fec_offset, hashtree.fec_size);
    if (roots, offset, size) == (0, 0, 0) {
        return Ok(());
    }
    if hashtree.tree_offset != hashtree.image_size || offset != tree_end {
        return Err("the error correction does not begin where data and hashtree end");
    }
    if dm_verity::fec_size(tree_end / dm_verity::BLOCK_SIZE, roots) != Some(size) {
        return Err("the error correction does not have the size that its data needs");
    }
    match offset.checked_add(size) {
        Some(end) if end <= partition_size => Ok(()),
        _ => Err("the error correction does not fit the partition"),
    }
}

fn table(hashtree: &Hashtree, partition: &BlockDevice, with_fec: bool) -> Table {
    let block = dm_verity::BLOCK_SIZE;
    let device = partition.path.display();
    let data_blocks = hashtree.image_size / block;
    let tree_block = hashtree.tree_offset / block;
    let salt = if hashtree.salt.is_empty() {
        "-".to_owned()
    } else {
        hex::encode(&hashtree.salt)
    };
    let (option_count, fec) = if with_fec {
        let blocks = hashtree.fec_offset / block;
        let roots = hashtree.fec_roots;
        let fec = format!(
            " use_fec_from_device {device} fec_roots {roots} fec_blocks {blocks} fec_start {blocks}"
        );
        (9, fec)
    } else {
        (1, String::new())
    };
    let parameters = format!(
        "1 {device} {device} {block} {block} {data_blocks} {tree_block} {} {} {salt} {option_count} panic_on_corruption{fec}",
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
        let unsalted = Hashtree {
            salt: vec![],
            ..hashtree()
        };
        let plain = table(&unsalted, &partition, false);
        let root = "01".repeat(32);
        let expected = format!(
            "1 /dev/vda2 /dev/vda2 4096 4096 129 129 sha256 {root} - 1 panic_on_corruption"
        );
        assert_eq!((plain.sectors, plain.parameters), (129 * 8, expected));
        let salt = "ab".repeat(32);
        let expected = format!(
            "1 /dev/vda2 /dev/vda2 4096 4096 129 129 sha256 {root} {salt} 9 panic_on_corruption \
             use_fec_from_device /dev/vda2 fec_roots 2 fec_blocks 132 fec_start 132"
        );
        assert_eq!(table(&with_fec(), &partition, true).parameters, expected);
    }

    fn with_fec() -> Hashtree {
        Hashtree {
            fec_roots: 2,
            fec_offset: 132 * 4096,
            fec_size: 2 * 4096,
            ..hashtree()
        }
    }

    #[test]
    fn error_correction_that_does_not_fit_is_refused() {
        let size = 134 * 4096;
        assert_eq!(check(&with_fec(), size), Ok(()));
        assert!(check(&with_fec(), size - 1).is_err());
        let broken: [fn(&mut Hashtree); 7] = [
            |h| h.fec_roots = 0,
            |h| h.fec_roots = 1,
            |h| h.fec_roots = 25,
            |h| h.fec_size = 0,
            |h| h.fec_size += 4096,
            |h| h.fec_offset -= 4096,
            |h| h.fec_offset = u64::MAX - 4095,
        ];
        for (index, breaks) in broken.into_iter().enumerate() {
            let mut bad = with_fec();
            breaks(&mut bad);
            assert!(check(&bad, 1 << 30).is_err(), "case {index}");
        }
        // A tree somewhere behind the data is fine without error correction, and not with it.
        let mut apart = Hashtree {
            tree_offset: 130 * 4096,
            ..with_fec()
        };
        apart.fec_offset += 4096;
        assert!(check(&apart, 1 << 30).is_err());
    }

    #[test]
    fn a_place_behind_a_symbolic_link_is_none() {
        let root = std::env::temp_dir().join(format!("microbuild-init-{}", std::process::id()));
        fs::create_dir_all(root.join("usr/lib")).expect("a directory");
        std::os::unix::fs::symlink("/usr", root.join("link")).expect("a link");
        let find = |place: &str| directory_in(&root, Path::new(place));
        assert_eq!(find("/usr/lib").expect("is there"), root.join("usr/lib"));
        assert!(find("/link").is_err() && find("/link/lib").is_err());
        assert!(find("/none").is_err());
        fs::remove_dir_all(&root).expect("removed");
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
