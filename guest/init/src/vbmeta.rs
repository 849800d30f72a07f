//! `vbmeta_a`: the image that the bootconfig pins by size and digest, and the hashtrees in it.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use microbuild_formats::avb::{decode_vbmeta, Descriptor, Hashtree, HEADER_SIZE, VBMETA_SIZE_MAX};
use microbuild_formats::hex;
use microbuild_sys::kernel::block::find_partition;
use sha2::{Digest, Sha256};

use crate::bootconfig::Config;
use crate::refusal::{Link, Refusal};

pub const DISK_SERIAL: &str = "os";
const LABEL: &str = "vbmeta_a";

/// What the bootconfig says about the image.
struct Pin {
    size: usize,
    digest: Vec<u8>,
}

/// Each is for another partition.
pub fn read_hashtrees(config: &Config) -> Result<Vec<Hashtree>, Refusal> {
    let pin = read_pin(config)?;
    let image = read_image(pin.size)?;
    if Sha256::digest(&image).as_slice() != pin.digest {
        return Err(refuse(
            "the image's digest is not the one in the bootconfig",
        ));
    }
    only_hashtrees(&image).map_err(refuse)
}

fn refuse(text: impl Into<String>) -> Refusal {
    Refusal::new(Link::Vbmeta, text)
}

fn read_pin(config: &Config) -> Result<Pin, Refusal> {
    let value = |key: &str| {
        let missing = || Refusal::new(Link::Bootconfig, format!("{key} is missing"));
        config.values.value(key).ok_or_else(missing)
    };
    let broken =
        |key: &str| Refusal::new(Link::Bootconfig, format!("{key} has an impossible value"));
    if value("androidboot.vbmeta.hash_alg")? != "sha256" {
        return Err(broken("androidboot.vbmeta.hash_alg"));
    }
    // The value says how the disk is mapped; the machine has no other way, so anything else cannot be honoured.
    if value("androidboot.veritymode")? != "enforcing" {
        return Err(broken("androidboot.veritymode"));
    }
    let size = value("androidboot.vbmeta.size")?
        .parse()
        .ok()
        .filter(|size| (HEADER_SIZE..=VBMETA_SIZE_MAX).contains(size));
    let digest =
        hex::decode(value("androidboot.vbmeta.digest")?).filter(|digest| digest.len() == 32);
    Ok(Pin {
        size: size.ok_or_else(|| broken("androidboot.vbmeta.size"))?,
        digest: digest.ok_or_else(|| broken("androidboot.vbmeta.digest"))?,
    })
}

/// Copies the image into memory once: what is checked is what is used.
fn read_image(size: usize) -> Result<Vec<u8>, Refusal> {
    let partition = find_partition(DISK_SERIAL, LABEL).map_err(|error| {
        refuse(format!(
            "no partition {LABEL} on the disk {DISK_SERIAL}: {error}"
        ))
    })?;
    let mut image = vec![0; size];
    File::open(&partition.path)
        .and_then(|device| device.read_exact_at(&mut image, 0))
        .map_err(|error| refuse(format!("cannot read {LABEL}: {error}")))?;
    Ok(image)
}

fn only_hashtrees(image: &[u8]) -> Result<Vec<Hashtree>, String> {
    let vbmeta = decode_vbmeta(image).map_err(|error| error.to_string())?;
    if vbmeta.flags != 0 {
        return Err(format!(
            "flags are {:#x}: verification is not to be switched off",
            vbmeta.flags
        ));
    }
    let mut hashtrees: Vec<Hashtree> = Vec::new();
    let mut property_keys = HashSet::new();
    for descriptor in vbmeta.descriptors {
        match descriptor {
            Descriptor::Hashtree(hashtree) => {
                if hashtrees
                    .iter()
                    .any(|known| known.partition == hashtree.partition)
                {
                    return Err(format!(
                        "there are two hashtrees for {}",
                        hashtree.partition
                    ));
                }
                hashtrees.push(hashtree);
            }
            Descriptor::Property { key, .. } if property_keys.insert(key.clone()) => {}
            Descriptor::Property { .. } => return Err("a property is there twice".to_owned()),
            // Nobody would follow them: whoever signed this image counts on checks that this guest does not make.
            Descriptor::Hash { .. }
            | Descriptor::KernelCmdline { .. }
            | Descriptor::ChainPartition { .. } => {
                return Err("there is a descriptor of a kind that no guest looks at".to_owned())
            }
        }
    }
    Ok(hashtrees)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unsigned image with these descriptors: what init checks is pinned by digest, not by signature.
    fn vbmeta(flags: u32, descriptors: &[Vec<u8>]) -> Vec<u8> {
        let body = descriptors.concat();
        let mut image = vec![0; HEADER_SIZE];
        image[..4].copy_from_slice(b"AVB0");
        image[7] = 1;
        let aux = body.len().next_multiple_of(64);
        image[20..28].copy_from_slice(&(aux as u64).to_be_bytes());
        image[104..112].copy_from_slice(&(body.len() as u64).to_be_bytes());
        image[120..124].copy_from_slice(&flags.to_be_bytes());
        image.extend(&body);
        image.resize(HEADER_SIZE + aux, 0);
        image
    }

    fn hashtree(partition: &str) -> Vec<u8> {
        let mut body = vec![0; 180 - 16];
        body[88..92].copy_from_slice(&(partition.len() as u32).to_be_bytes());
        body.extend(partition.as_bytes());
        body.resize(body.len().next_multiple_of(8), 0);
        let mut descriptor = 1u64.to_be_bytes().to_vec();
        descriptor.extend((body.len() as u64).to_be_bytes());
        descriptor.extend(body);
        descriptor
    }

    #[test]
    fn every_hashtree_is_for_another_partition() {
        let names = |image: &[u8]| -> Result<Vec<String>, String> {
            Ok(only_hashtrees(image)?
                .into_iter()
                .map(|each| each.partition)
                .collect())
        };
        let two = vbmeta(0, &[hashtree("vendor"), hashtree("system")]);
        assert_eq!(
            names(&two),
            Ok(vec!["vendor".to_owned(), "system".to_owned()])
        );
        assert_eq!(names(&vbmeta(0, &[])), Ok(vec![]));
        let twice = vbmeta(
            0,
            &[hashtree("vendor"), hashtree("system"), hashtree("vendor")],
        );
        assert!(names(&twice).is_err());
    }

    /// A descriptor of this kind, with fixed fields of zeros and a variable part.
    fn descriptor(tag: u64, fixed: usize, lengths: &[(usize, u64)], variable: &[u8]) -> Vec<u8> {
        let mut body = vec![0; fixed];
        for (at, length) in lengths {
            body[*at..at + 8].copy_from_slice(&length.to_be_bytes());
        }
        body.extend(variable);
        body.resize(body.len().next_multiple_of(8), 0);
        [
            &tag.to_be_bytes(),
            &(body.len() as u64).to_be_bytes(),
            body.as_slice(),
        ]
        .concat()
    }

    #[test]
    fn properties_may_be_there_once_and_what_nobody_follows_may_not() {
        let property = |key: &str| {
            let text = format!("{key}\0value\0");
            descriptor(0, 16, &[(0, key.len() as u64), (8, 5)], text.as_bytes())
        };
        let with =
            |more: &[Vec<u8>]| only_hashtrees(&vbmeta(0, &[&[hashtree("system")], more].concat()));
        assert!(with(&[property("a"), property("b")]).is_ok());
        assert!(with(&[property("a"), property("a")]).is_err(), "twice");
        // A hash, a command line and a chain descriptor.
        for (tag, fixed) in [(2, 116), (3, 8), (4, 76)] {
            let text = with(&[descriptor(tag, fixed, &[], &[])]).expect_err("refused");
            assert!(text.contains("no guest looks at"), "{tag}: {text}");
        }
        assert!(with(&[descriptor(5, 8, &[], &[])]).is_err(), "unknown");
    }

    #[test]
    fn flags_that_switch_verification_off_are_refused() {
        for flags in [1, 2, 3, 4] {
            assert!(only_hashtrees(&vbmeta(flags, &[hashtree("system")])).is_err());
        }
    }
}
