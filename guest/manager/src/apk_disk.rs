//! The APK's partition behind dm-verity: from here on every byte of it is read through the idsig's hash tree.

use std::fs::File;

use microbuild_formats::apk::find_sections;
use microbuild_formats::idsig::{decode_idsig, Idsig};
use microbuild_formats::read_at::SizedFile;
use microbuild_formats::zip::{read_strict, Entry};
use microbuild_formats::{dm_verity, hex};
use microbuild_manager::verify::{verify_idsig, verify_v3, PLATFORM_SDK};
use microbuild_sys::kernel::block::{find_partition, BlockDevice};
use microbuild_sys::kernel::console::report_verity;
use microbuild_sys::kernel::device_mapper::{create_device, Table};
use microbuild_sys::kernel::loop_device;

use crate::config::{Config, DISK_SERIAL};
use crate::failure::Failure;
use crate::trust::TrustedCertificates;

const MAPPED_NAME: &str = "microdroid-apk";
const IDSIG_LINK: &str = "idsig";
const SIGNATURE_LINK: &str = "payload-signature";
const ZIP_LINK: &str = "payload-zip";

pub struct Apk {
    pub device: SizedFile,
    idsig: Idsig,
}

/// Maps the APK. Nothing is known of the contents yet, except that they cannot change any more.
pub fn open(config: &Config) -> Result<Apk, Failure> {
    let refuse = |text: String| Failure::verification(IDSIG_LINK, text);
    let find = |label: &str| {
        find_partition(DISK_SERIAL, label).map_err(|error| {
            Failure::config(
                "payload-metadata",
                format!("no partition {label} on the disk {DISK_SERIAL}: {error}"),
            )
        })
    };
    let (apk, idsig_partition) = (find(&config.apk_label)?, find(&config.idsig_label)?);
    let cannot = |step: &str, error: std::io::Error| refuse(format!("cannot {step}: {error}"));

    let idsig_file =
        File::open(&idsig_partition.path).map_err(|error| cannot("open the idsig", error))?;
    let idsig_file_for_loop = idsig_file
        .try_clone()
        .map_err(|error| cannot("open the idsig", error))?;
    let idsig = decode_idsig(&SizedFile::new(idsig_file, idsig_partition.size))
        .map_err(|error| refuse(error.to_string()))?;
    check_shape(&idsig, &apk).map_err(refuse)?;

    report_verity(&apk.number, &config.apk_label);
    let tree = loop_device::attach(&idsig_file_for_loop, idsig.tree_offset, idsig.tree_size)
        .map_err(|error| cannot("attach the hash tree", error))?;
    let table = table(&idsig, &apk, &tree.to_string_lossy());
    let mapped =
        create_device(MAPPED_NAME, &table).map_err(|error| cannot("map the APK", error))?;
    let device = File::open(mapped).map_err(|error| cannot("open the mapped APK", error))?;
    Ok(Apk {
        device: SizedFile::new(device, apk.size),
        idsig,
    })
}

/// dm-verity takes the tree's shape from the data's size: a tree of another size belongs to other data.
fn check_shape(idsig: &Idsig, apk: &BlockDevice) -> Result<(), String> {
    if apk.size == 0 || !apk.size.is_multiple_of(dm_verity::BLOCK_SIZE) {
        return Err(format!(
            "the APK's partition of {} bytes is not made of whole blocks",
            apk.size
        ));
    }
    let expected = dm_verity::tree_size(apk.size / dm_verity::BLOCK_SIZE, idsig.root_hash.len());
    if expected == 0 || idsig.tree_size != expected {
        return Err(format!(
            "the hash tree has {} bytes, the APK's partition needs {expected}",
            idsig.tree_size
        ));
    }
    Ok(())
}

fn table(idsig: &Idsig, apk: &BlockDevice, tree: &str) -> Table {
    let block = dm_verity::BLOCK_SIZE;
    let salt = if idsig.salt.is_empty() {
        "-".to_owned()
    } else {
        hex::encode(&idsig.salt)
    };
    let parameters = format!(
        "1 {} {tree} {block} {block} {} 0 sha256 {} {salt} 1 panic_on_corruption",
        apk.path.display(),
        apk.size / block,
        hex::encode(&idsig.root_hash),
    );
    Table {
        sectors: apk.size / 512,
        target_type: "verity",
        parameters,
    }
}

impl Apk {
    /// Who signed it, is it all of it, is the signer trusted, and is there one way to read it?
    pub fn verify(&self, trusted: &TrustedCertificates) -> Result<Vec<Entry>, Failure> {
        let sections = find_sections(&self.device)
            .map_err(|error| Failure::verification(SIGNATURE_LINK, error))?;
        let verified = verify_v3(&self.device, &sections, PLATFORM_SDK)
            .map_err(|error| Failure::verification(SIGNATURE_LINK, error))?;
        verify_idsig(&self.idsig, &verified, sections.apk_size)
            .map_err(|error| Failure::verification(IDSIG_LINK, error))?;
        trusted.check(&verified.certificate)?;
        read_strict(&self.device, &sections).map_err(|error| Failure::verification(ZIP_LINK, error))
    }
}

#[cfg(test)]
mod tests {
    use microbuild_formats::idsig::SigningInfo;

    use super::*;

    fn idsig(tree_size: u64) -> Idsig {
        let signing_info = SigningInfo {
            apk_digest: vec![],
            certificate: vec![],
            additional_data: vec![],
            public_key: vec![],
            algorithm: 0,
            signature: vec![],
        };
        Idsig {
            salt: vec![],
            root_hash: vec![0xab; 32],
            signing_info,
            tree_offset: 77,
            tree_size,
        }
    }

    #[test]
    fn tree_must_have_the_size_that_the_partition_needs() {
        let apk = |size| BlockDevice {
            path: "/dev/vdb2".into(),
            number: "254:18".into(),
            size,
        };
        assert_eq!(check_shape(&idsig(4096), &apk(2 * 4096)), Ok(()));
        assert_eq!(check_shape(&idsig(3 * 4096), &apk(129 * 4096)), Ok(()));
        for (tree_size, apk_size) in [
            (0, 4096),
            (0, 0),
            (4096, 4096),
            (4096, 129 * 4096),
            (8192, 2 * 4096),
            (4096, 2 * 4096 + 512),
        ] {
            assert!(
                check_shape(&idsig(tree_size), &apk(apk_size)).is_err(),
                "{tree_size} for {apk_size}"
            );
        }
    }

    #[test]
    fn table_panics_on_corruption() {
        let apk = BlockDevice {
            path: "/dev/vdb2".into(),
            number: "254:18".into(),
            size: 2 * 4096,
        };
        let table = table(&idsig(4096), &apk, "/dev/loop0");
        let expected = format!(
            "1 /dev/vdb2 /dev/loop0 4096 4096 2 0 sha256 {} - 1 panic_on_corruption",
            "ab".repeat(32)
        );
        assert_eq!((table.sectors, table.parameters), (16, expected));
    }
}
