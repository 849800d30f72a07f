//! `payload-metadata`: which partitions hold the payload and which of its libraries to run.

use std::fs::File;
use std::io::{self, Read};

use microbuild_formats::payload_metadata::{decode_metadata, Metadata, Payload, METADATA_SIZE_MAX};
use microbuild_sys::kernel::block::find_partition;

use crate::failure::Failure;

pub const DISK_SERIAL: &str = "payload";
const LABEL: &str = "payload-metadata";
const LINK: &str = "payload-metadata";
const CONFIG_LINK: &str = "payload-config";

#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    pub apk_label: String,
    pub idsig_label: String,
    /// A file name below the APK's folder for this machine's ABI.
    pub library: String,
}

pub fn read() -> Result<Config, Failure> {
    let partition = find_partition(DISK_SERIAL, LABEL).map_err(|error| {
        Failure::config(
            LINK,
            format!("no partition {LABEL} on the disk {DISK_SERIAL}: {error}"),
        )
    })?;
    let mut bytes = Vec::new();
    // Length field, message, padding: what is larger is refused by the decoder or is not zero-padded.
    let limit = METADATA_SIZE_MAX as u64 + 4096;
    let read = File::open(&partition.path)
        .and_then(|device| device.take(limit + 1).read_to_end(&mut bytes));
    let size = read.map_err(|error: io::Error| {
        Failure::config(LINK, format!("cannot read {LABEL}: {error}"))
    })?;
    if size as u64 > limit {
        return Err(Failure::config(
            LINK,
            format!("the partition {LABEL} is larger than {limit} bytes"),
        ));
    }
    check(decode_metadata(&bytes).map_err(|error| Failure::config(LINK, error))?)
}

/// What this guest can do, out of what metadata can ask for.
fn check(metadata: Metadata) -> Result<Config, Failure> {
    let refuse = |text: &str| Err(Failure::config(CONFIG_LINK, text));
    if !metadata.apexes.is_empty() {
        return refuse("APEX payloads are not supported");
    }
    let Payload::Config {
        payload_binary_name: library,
        extra_apk_count,
    } = metadata.payload
    else {
        return refuse(
            "payload configuration files are not supported: name the library in the metadata",
        );
    };
    if extra_apk_count != 0 {
        return refuse("extra APKs are not supported");
    }
    if matches!(library.as_str(), "" | "." | "..") || library.contains(['/', '\0']) {
        return refuse("the payload's library must be a file name");
    }
    Ok(Config {
        apk_label: metadata.apk.payload_partition_name,
        idsig_label: metadata.apk.idsig_partition_name,
        library,
    })
}

#[cfg(test)]
mod tests {
    use microbuild_formats::payload_metadata::{ApexPayload, ApkPayload};

    use super::*;

    fn metadata(payload: Payload) -> Metadata {
        let apk = ApkPayload {
            name: "apk".into(),
            payload_partition_name: "microdroid-apk".into(),
            idsig_partition_name: "microdroid-apk-idsig".into(),
        };
        Metadata {
            apexes: vec![],
            apk,
            payload,
        }
    }

    fn library(name: &str) -> Payload {
        Payload::Config {
            payload_binary_name: name.into(),
            extra_apk_count: 0,
        }
    }

    #[test]
    fn library_is_a_file_name() {
        let config = check(metadata(library("libhello.so"))).expect("valid");
        assert_eq!(config.library, "libhello.so");
        assert_eq!(config.apk_label, "microdroid-apk");
        for bad in ["", ".", "..", "a/b", "/lib.so", "../lib.so", "a\0b"] {
            assert!(check(metadata(library(bad))).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_this_guest_cannot_do_is_refused() {
        assert!(check(metadata(Payload::ConfigPath(
            "/mnt/apk/assets/vm_config.json".into()
        )))
        .is_err());
        let extra = Payload::Config {
            payload_binary_name: "lib.so".into(),
            extra_apk_count: 1,
        };
        assert!(check(metadata(extra)).is_err());
        let apex = Metadata {
            apexes: vec![ApexPayload::default()],
            ..metadata(library("lib.so"))
        };
        assert!(check(apex).is_err());
    }
}
