//! An APK's partition behind dm-verity: from here on every byte of it is read through the idsig's hash tree.

use std::fs::File;

use crate::verify::{verify_idsig, verify_v3, PLATFORM_SDK};
use microbuild_dice::ApkMeasurement;
use microbuild_formats::android_manifest::{decode_manifest, MANIFEST_SIZE_MAX};
use microbuild_formats::apk::find_sections;
use microbuild_formats::idsig::{decode_idsig, Idsig};
use microbuild_formats::read_at::SizedFile;
use microbuild_formats::zip::{copy_entry, read_archive, Archive, CopyError};
use microbuild_formats::{dm_verity, hex};
use microbuild_sys::kernel::block::{find_partition, BlockDevice};
use microbuild_sys::kernel::console::report_verity;
use microbuild_sys::kernel::device_mapper::{create_device, Table};
use microbuild_sys::kernel::loop_device;

use crate::failure::Failure;
use crate::metadata::{ApkPlace, DISK_SERIAL};
use crate::trust::TrustedCertificates;

const IDSIG_LINK: &str = "idsig";
const SIGNATURE_LINK: &str = "payload-signature";
const ZIP_LINK: &str = "payload-zip";
const MANIFEST: &str = "AndroidManifest.xml";

/// Mapped, and not verified yet: nothing is known of the contents, except that they cannot change any more.
pub struct MappedApk {
    device: SizedFile,
    idsig: Idsig,
}

/// Signed by somebody who is trusted, and with one way to read it.
pub struct Apk {
    /// Read through dm-verity.
    pub device: SizedFile,
    pub archive: Archive,
    pub measurement: ApkMeasurement,
}

/// Maps all of them and verifies one after the other. The first is the payload's own.
pub fn open_all(places: &[ApkPlace], trusted: &TrustedCertificates) -> Result<Vec<Apk>, Failure> {
    let open = |place: &ApkPlace| map(place)?.verify(trusted);
    let with_name = |(index, place)| {
        open(place).map_err(|failure| match index {
            0 => failure,
            _ => failure.of(&place.mapped_name),
        })
    };
    places.iter().enumerate().map(with_name).collect()
}

fn map(place: &ApkPlace) -> Result<MappedApk, Failure> {
    let refuse = |text: String| Failure::verification(IDSIG_LINK, text);
    let find = |label: &str| {
        find_partition(DISK_SERIAL, label).map_err(|error| {
            Failure::config(
                "payload-metadata",
                format!("no partition {label} on the disk {DISK_SERIAL}: {error}"),
            )
        })
    };
    let (apk, idsig_partition) = (find(&place.apk_label)?, find(&place.idsig_label)?);
    let cannot = |step: &str, error: std::io::Error| refuse(format!("cannot {step}: {error}"));

    let idsig_file =
        File::open(&idsig_partition.path).map_err(|error| cannot("open the idsig", error))?;
    let idsig_file_for_loop = idsig_file
        .try_clone()
        .map_err(|error| cannot("open the idsig", error))?;
    // Read once: the root that is verified later is the one that is mapped now. The kernel checks the tree against it.
    let idsig = decode_idsig(&SizedFile::new(idsig_file, idsig_partition.size))
        .map_err(|error| refuse(error.to_string()))?;
    check_shape(&idsig, &apk).map_err(refuse)?;

    report_verity(&apk.number, &place.apk_label);
    let tree = loop_device::attach(&idsig_file_for_loop, idsig.tree_offset, idsig.tree_size)
        .map_err(|error| cannot("attach the hash tree", error))?;
    let table = table(&idsig, &apk, &tree.to_string_lossy());
    let path =
        create_device(&place.mapped_name, &table).map_err(|error| cannot("map the APK", error))?;
    let device = File::open(path).map_err(|error| cannot("open the mapped APK", error))?;
    Ok(MappedApk {
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

impl MappedApk {
    /// Who signed it, is it all of it, is the signer trusted, and is there one way to read it?
    fn verify(self, trusted: &TrustedCertificates) -> Result<Apk, Failure> {
        let sections = find_sections(&self.device)
            .map_err(|error| Failure::verification(SIGNATURE_LINK, error))?;
        let verified = verify_v3(&self.device, &sections, PLATFORM_SDK)
            .map_err(|error| Failure::verification(SIGNATURE_LINK, error))?;
        verify_idsig(&self.idsig, &verified, sections.apk_size)
            .map_err(|error| Failure::verification(IDSIG_LINK, error))?;
        trusted.check(&verified.certificate)?;
        let archive = read_archive(&self.device, &sections)
            .map_err(|error| Failure::verification(ZIP_LINK, error))?;
        let manifest = read_entry(&self.device, &archive, MANIFEST, MANIFEST_SIZE_MAX as u64)?
            .ok_or_else(|| Failure::verification(ZIP_LINK, format!("there is no {MANIFEST}")))?;
        let manifest =
            decode_manifest(&manifest).map_err(|error| Failure::verification(ZIP_LINK, error))?;
        let measurement = ApkMeasurement {
            package: manifest.package,
            version_code: manifest.version_code,
            root_hash: self.idsig.root_hash,
            certificate: verified.certificate,
        };
        Ok(Apk {
            device: self.device,
            archive,
            measurement,
        })
    }
}

impl Apk {
    /// A small file as a whole, `None` when it is not there.
    pub fn read(&self, name: &str, size_max: u64) -> Result<Option<Vec<u8>>, Failure> {
        read_entry(&self.device, &self.archive, name, size_max)
    }
}

fn read_entry(
    device: &SizedFile,
    archive: &Archive,
    name: &str,
    size_max: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(entry) = archive.files.iter().find(|entry| entry.name == name) else {
        return Ok(None);
    };
    let refuse = |text: String| Failure::verification(ZIP_LINK, format!("{name}: {text}"));
    if entry.size > size_max {
        return Err(refuse(format!("it is larger than {size_max} bytes")));
    }
    let mut bytes = Vec::new();
    let copied = copy_entry(device, entry, |chunk| {
        bytes.extend_from_slice(chunk);
        Ok(())
    });
    copied.map_err(|error| match error {
        CopyError::Format(error) => refuse(error.to_string()),
        CopyError::Sink(error) => refuse(error.to_string()),
    })?;
    Ok(Some(bytes))
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
