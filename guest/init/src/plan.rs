//! Which partitions are mounted, and where: vbmeta describes them, the bootconfig pins their places, and both name the same.

use std::path::{Component, Path, PathBuf};

use microbuild_formats::avb::Hashtree;
use microbuild_formats::bootconfig::Bootconfig;

use crate::refusal::{Link, Refusal};

const SYSTEM: &str = "system";
const MOUNT: &str = "microbuild.mount.";
/// A label is `NAME_a`, in at most 36 characters of a partition table.
const NAME_SIZE_MAX: usize = 31;
const MOUNT_POINT_SIZE_MAX: usize = 255;
/// Places of the kernel's, the guest's own and the payload's file systems.
const TAKEN: [&str; 7] = ["data", "dev", "mnt", "proc", "run", "sys", "tmp"];

pub struct Plan {
    pub system: Hashtree,
    /// Outer ones before those inside of them.
    pub partitions: Vec<Partition>,
}

pub struct Partition {
    pub hashtree: Hashtree,
    /// In the system.
    pub mount_point: PathBuf,
}

pub fn make(hashtrees: Vec<Hashtree>, config: &Bootconfig) -> Result<Plan, Refusal> {
    let mut system = None;
    let mut partitions = Vec::new();
    for hashtree in hashtrees {
        if hashtree.partition == SYSTEM {
            system = Some(hashtree);
        } else {
            let mount_point = mount_point(&hashtree.partition, config)?;
            partitions.push(Partition {
                hashtree,
                mount_point,
            });
        }
    }
    let system = system.ok_or_else(|| {
        Refusal::new(
            Link::Vbmeta,
            "there is no hashtree descriptor for the system",
        )
    })?;
    // A partition that is to be there and is not described would be missed by the payload, or worse, not be missed.
    for (name, _) in config.below(MOUNT) {
        if !partitions
            .iter()
            .any(|each| each.hashtree.partition == name)
        {
            let text =
                format!("there is no hashtree descriptor for {name}, which is to be mounted");
            return Err(Refusal::new(Link::Vbmeta, text));
        }
    }
    partitions.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    let is_twice = |pair: &[Partition]| pair[0].mount_point == pair[1].mount_point;
    if partitions.windows(2).any(is_twice) {
        let text = "two partitions are to be mounted at the same place";
        return Err(Refusal::new(Link::Bootconfig, text));
    }
    Ok(Plan { system, partitions })
}

/// The place that the bootconfig gives a partition.
fn mount_point(name: &str, config: &Bootconfig) -> Result<PathBuf, Refusal> {
    if !is_name(name) {
        let text = format!("the hashtree is for partition {name}, which cannot be a name");
        return Err(Refusal::new(Link::Vbmeta, text));
    }
    let key = format!("{MOUNT}{name}");
    let Some(place) = config.value(&key) else {
        let text = format!("{key} is missing, and there is a hashtree for that partition");
        return Err(Refusal::new(Link::Bootconfig, text));
    };
    if !is_mount_point(place) {
        let text = format!("{key} is no place to mount a partition at");
        return Err(Refusal::new(Link::Bootconfig, text));
    }
    Ok(PathBuf::from(place))
}

fn is_name(name: &str) -> bool {
    let is_rest =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    name.len() <= NAME_SIZE_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_rest)
}

/// An absolute path in one spelling, below the root, and not where something else is mounted.
fn is_mount_point(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.len() > MOUNT_POINT_SIZE_MAX || !text.bytes().all(is_plain) {
        return false;
    }
    let path = Path::new(text);
    let mut components = path.components();
    let is_absolute = components.next() == Some(Component::RootDir);
    let first = components.clone().next();
    is_absolute
        && components.all(|each| matches!(each, Component::Normal(_)))
        && matches!(first, Some(Component::Normal(name)) if !TAKEN.iter().any(|taken| name == *taken))
        && path.components().collect::<PathBuf>().as_os_str() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashtree(partition: &str) -> Hashtree {
        Hashtree {
            dm_verity_version: 1,
            image_size: 4096,
            tree_offset: 4096,
            tree_size: 0,
            data_block_size: 4096,
            hash_block_size: 4096,
            fec_roots: 0,
            fec_offset: 0,
            fec_size: 0,
            algorithm: "sha256".into(),
            partition: partition.into(),
            salt: vec![],
            root_digest: vec![1; 32],
            flags: 0,
        }
    }

    fn plan(names: &[&str], config: &str) -> Result<Vec<(String, String)>, Link> {
        let config = Bootconfig::parse(config).expect("valid");
        let hashtrees = names.iter().map(|name| hashtree(name)).collect();
        let made = make(hashtrees, &config).map_err(|refusal| refusal.link)?;
        assert_eq!(made.system.partition, "system");
        let named = |each: Partition| {
            let place = each.mount_point.to_string_lossy().into_owned();
            (each.hashtree.partition, place)
        };
        Ok(made.partitions.into_iter().map(named).collect())
    }

    #[test]
    fn partitions_are_mounted_outer_ones_first() {
        assert_eq!(plan(&["system"], ""), Ok(vec![]));
        let config = "microbuild.mount.a = \"/usr/lib/a\"\nmicrobuild.mount.b-1 = /usr\n";
        let pair = |name: &str, place: &str| (name.to_owned(), place.to_owned());
        assert_eq!(
            plan(&["a", "system", "b-1"], config),
            Ok(vec![pair("b-1", "/usr"), pair("a", "/usr/lib/a")])
        );
    }

    #[test]
    fn what_only_one_of_both_names_is_refused() {
        let vendor = "microbuild.mount.vendor = /vendor";
        assert_eq!(plan(&["vendor"], vendor), Err(Link::Vbmeta));
        assert_eq!(plan(&[], ""), Err(Link::Vbmeta));
        assert_eq!(plan(&["system"], vendor), Err(Link::Vbmeta));
        assert_eq!(plan(&["system", "vendor"], ""), Err(Link::Bootconfig));
        let system = "microbuild.mount.system = /system";
        assert_eq!(plan(&["system"], system), Err(Link::Vbmeta));
        let twice = "microbuild.mount.a = /x\nmicrobuild.mount.b = /x";
        assert_eq!(plan(&["system", "a", "b"], twice), Err(Link::Bootconfig));
        let list = "microbuild.mount.a = /x, /y";
        assert_eq!(plan(&["system", "a"], list), Err(Link::Bootconfig));
    }

    #[test]
    fn names_and_places_that_lead_elsewhere_are_refused() {
        for name in ["", "A", "1a", "a.b", "a/b", &"a".repeat(32)] {
            assert!(!is_name(name), "{name}");
        }
        let bad = [
            "",
            "/",
            "vendor",
            "//vendor",
            "/vendor/",
            "/a//b",
            "/a/./b",
            "/a/..",
            "/../a",
            "/dev",
            "/dev/mapper",
            "/proc",
            "/sys/x",
            "/run",
            "/mnt/apk",
            "/data",
            "/tmp",
            "/a b",
            "/é",
        ];
        for place in bad {
            assert!(!is_mount_point(place), "{place}");
        }
        assert!(!is_mount_point(&format!("/{}", "a".repeat(255))));
        for place in ["/vendor", "/usr/lib/x-1.0", "/device"] {
            assert!(is_mount_point(place), "{place}");
        }
    }
}
