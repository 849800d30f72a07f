//! `payload-metadata`: which partitions hold the payload's APKs, and how to start it.
//!
//! Nobody signs it. What it names is verified by itself; what it chooses among things that were signed (a configuration
//! file or a library of the same APK) is part of what is measured.

use std::fs::File;
use std::io::{self, Read};

use microbuild_formats::payload_metadata::{decode_metadata, Metadata, Payload, METADATA_SIZE_MAX};
use microbuild_sys::kernel::block::{find_partition, partition_labels};

use crate::failure::Failure;

pub const DISK_SERIAL: &str = "payload";
const LABEL: &str = "payload-metadata";
const LINK: &str = "payload-metadata";
const CONFIG_LINK: &str = "payload-config";
const APK_NAME: &str = "microdroid-apk";
const EXTRA_APK: &str = "extra-apk-";
const EXTRA_IDSIG: &str = "extra-idsig-";
/// Each takes a device, a loop device and a mount.
const EXTRA_APK_COUNT_MAX: usize = 32;

/// The partitions of one APK, and the name under which dm-verity maps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApkPlace {
    pub apk_label: String,
    pub idsig_label: String,
    pub mapped_name: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct PayloadDisk {
    /// The payload's own, and then the extra ones in the order of their numbers.
    pub apks: Vec<ApkPlace>,
    pub payload: Payload,
}

/// Reads it once, and looks which partitions there are.
pub fn read() -> Result<PayloadDisk, Failure> {
    let partition = find_partition(DISK_SERIAL, LABEL).map_err(|error| {
        Failure::config(
            LINK,
            format!("no partition {LABEL} on the disk {DISK_SERIAL}: {error}"),
        )
    })?;
    let mut bytes = Vec::new();
    // Length field, message, padding: what is larger is refused by the decoder or is not zero-padded.
    let limit = METADATA_SIZE_MAX as u64 + 4096;
    let cannot = |error: io::Error| Failure::config(LINK, format!("cannot read {LABEL}: {error}"));
    let size = File::open(&partition.path)
        .and_then(|device| device.take(limit + 1).read_to_end(&mut bytes))
        .map_err(cannot)?;
    if size as u64 > limit {
        return Err(Failure::config(
            LINK,
            format!("the partition {LABEL} is larger than {limit} bytes"),
        ));
    }
    let metadata = decode_metadata(&bytes).map_err(|error| Failure::config(LINK, error))?;
    plan(metadata, &partition_labels(DISK_SERIAL).map_err(cannot)?)
}

fn plan(metadata: Metadata, labels: &[String]) -> Result<PayloadDisk, Failure> {
    if let Some(apex) = metadata.apexes.first() {
        return Err(Failure::config(
            CONFIG_LINK,
            format!(
                "the payload brings the APEX {}: APEXes are not supported",
                apex.name
            ),
        ));
    }
    let mut apks = vec![ApkPlace {
        apk_label: metadata.apk.payload_partition_name,
        idsig_label: metadata.apk.idsig_partition_name,
        mapped_name: APK_NAME.to_owned(),
    }];
    for index in 0..extra_apk_count(labels)? {
        let apk_label = format!("{EXTRA_APK}{index}");
        apks.push(ApkPlace {
            mapped_name: apk_label.clone(),
            apk_label,
            idsig_label: format!("{EXTRA_IDSIG}{index}"),
        });
    }
    Ok(PayloadDisk {
        apks,
        payload: metadata.payload,
    })
}

/// As many as there are partitions, as on Android: `extra-apk-0`, `extra-apk-1` and so on, each with its idsig.
fn extra_apk_count(labels: &[String]) -> Result<usize, Failure> {
    let with = |prefix: &str| {
        labels
            .iter()
            .filter(|label| label.starts_with(prefix))
            .count()
    };
    let count = with(EXTRA_APK);
    let has = |label: String| labels.contains(&label);
    let is_complete = count <= EXTRA_APK_COUNT_MAX
        && with(EXTRA_IDSIG) == count
        && (0..count).all(|index| {
            has(format!("{EXTRA_APK}{index}")) && has(format!("{EXTRA_IDSIG}{index}"))
        });
    if is_complete {
        return Ok(count);
    }
    Err(Failure::config(
        LINK,
        format!(
            "the extra APKs and idsigs do not go together, or are more than {EXTRA_APK_COUNT_MAX}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use microbuild_formats::payload_metadata::{ApexPayload, ApkPayload};

    use super::*;

    fn metadata() -> Metadata {
        Metadata {
            apexes: vec![],
            apk: ApkPayload {
                name: "apk".into(),
                payload_partition_name: "microdroid-apk".into(),
                idsig_partition_name: "microdroid-apk-idsig".into(),
            },
            payload: Payload::ConfigPath("/mnt/apk/assets/vm_config.json".into()),
        }
    }

    fn labels(extra: &[&str]) -> Vec<String> {
        let own = ["payload-metadata", "microdroid-apk", "microdroid-apk-idsig"];
        own.iter()
            .chain(extra)
            .map(|label| (*label).to_owned())
            .collect()
    }

    #[test]
    fn extra_apks_are_those_that_the_disk_has() {
        let disk = plan(metadata(), &labels(&[])).expect("valid");
        assert_eq!(disk.apks.len(), 1);
        assert_eq!(disk.apks[0].mapped_name, "microdroid-apk");
        let extra = [
            "extra-apk-1",
            "extra-idsig-0",
            "extra-idsig-1",
            "extra-apk-0",
        ];
        let disk = plan(metadata(), &labels(&extra)).expect("valid");
        let names: Vec<_> = disk
            .apks
            .iter()
            .map(|apk| apk.mapped_name.as_str())
            .collect();
        assert_eq!(names, ["microdroid-apk", "extra-apk-0", "extra-apk-1"]);
        assert_eq!(disk.apks[2].idsig_label, "extra-idsig-1");
    }

    #[test]
    fn extra_apks_with_gaps_or_without_idsigs_are_refused() {
        for bad in [
            &["extra-apk-0"][..],
            &["extra-idsig-0"],
            &["extra-apk-1", "extra-idsig-1"],
            &["extra-apk-0", "extra-idsig-1"],
            &["extra-apk-00", "extra-idsig-00"],
            &[
                "extra-apk-0",
                "extra-apk-0",
                "extra-idsig-0",
                "extra-idsig-0",
            ],
        ] {
            assert!(plan(metadata(), &labels(bad)).is_err(), "{bad:?}");
        }
        let many: Vec<String> = (0..=EXTRA_APK_COUNT_MAX)
            .flat_map(|index| [format!("extra-apk-{index}"), format!("extra-idsig-{index}")])
            .collect();
        assert!(plan(metadata(), &many).is_err());
    }

    #[test]
    fn apexes_are_refused_by_name() {
        let apex = ApexPayload {
            name: "com.android.art".into(),
            partition_name: "microdroid-apex-0".into(),
        };
        let refused = plan(
            Metadata {
                apexes: vec![apex],
                ..metadata()
            },
            &labels(&[]),
        );
        let failure = refused.expect_err("refused");
        assert!(failure.text.contains("com.android.art"));
        assert_eq!(failure.reason.error_code(), 3);
    }
}
