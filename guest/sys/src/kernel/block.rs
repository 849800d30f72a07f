//! Disks by their virtio serial, partitions by their GPT label: the order in which the host plugs them does not matter.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SYS_BLOCK: &str = "/sys/block";
/// A virtio disk may still be on its way when its driver is loaded.
const WAIT: Duration = Duration::from_secs(10);
/// The kernel reads the partition table right after it shows the disk.
const SCAN_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);
const SECTOR_SIZE: u64 = 512;

/// A partition, or a whole mapped device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// `MAJOR:MINOR`, as the kernel names the device when dm-verity finds a corrupted block of it.
    pub number: String,
}

/// Waits for the partition `label` on the disk `serial`.
///
/// # Errors
/// `NotFound` when it does not come, `InvalidData` when disk or label exists twice.
pub fn find_partition(serial: &str, label: &str) -> io::Result<BlockDevice> {
    let start = Instant::now();
    let mut disk_seen = None;
    loop {
        let found = find_once(serial, label);
        let is_missing = matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound);
        if is_missing && disk_seen.is_none() && find_disk(serial).is_ok() {
            disk_seen = Some(Instant::now());
        }
        let is_late = start.elapsed() >= WAIT
            || disk_seen.is_some_and(|since: Instant| since.elapsed() >= SCAN_WAIT);
        if !is_missing || is_late {
            return found;
        }
        std::thread::sleep(POLL);
    }
}

/// The labels of all partitions of the disk `serial`, which must be there already. In no order.
///
/// # Errors
/// `NotFound` when there is no such disk, `InvalidData` when there are two.
pub fn partition_labels(serial: &str) -> io::Result<Vec<String>> {
    Ok(directories(&find_disk(serial)?)?
        .filter_map(|partition| label_of(&partition))
        .collect())
}

fn find_disk(serial: &str) -> io::Result<PathBuf> {
    only(
        directories(Path::new(SYS_BLOCK))?
            .filter(|disk| read_line(&disk.join("serial")).as_deref() == Some(serial)),
    )
}

fn find_once(serial: &str, label: &str) -> io::Result<BlockDevice> {
    let disk = find_disk(serial)?;
    let partition = only(
        directories(&disk)?.filter(|partition| label_of(partition).as_deref() == Some(label)),
    )?;
    let name = partition.file_name().ok_or(io::ErrorKind::NotFound)?;
    let sectors = read_line(&partition.join("size")).and_then(|text| text.parse::<u64>().ok());
    let size = sectors
        .and_then(|sectors| sectors.checked_mul(SECTOR_SIZE))
        .ok_or(io::ErrorKind::InvalidData)?;
    let path = Path::new("/dev").join(name);
    // devtmpfs makes the node before sysfs shows it; a missing one would mean that /dev is something else.
    fs::metadata(&path)?;
    let number = read_line(&partition.join("dev")).ok_or(io::ErrorKind::InvalidData)?;
    Ok(BlockDevice { path, size, number })
}

fn directories(path: &Path) -> io::Result<impl Iterator<Item = PathBuf>> {
    Ok(fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())))
}

fn only(mut found: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(io::ErrorKind::NotFound.into()),
        (Some(_), Some(_)) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn label_of(partition: &Path) -> Option<String> {
    let uevent = fs::read_to_string(partition.join("uevent")).ok()?;
    let label = |line: &str| line.strip_prefix("PARTNAME=").map(str::to_owned);
    uevent.lines().find_map(label)
}

fn read_line(path: &Path) -> Option<String> {
    Some(
        fs::read_to_string(path)
            .ok()?
            .trim_end_matches('\n')
            .to_owned(),
    )
}
