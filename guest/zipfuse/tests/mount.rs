//! The file system as the kernel sees it: mounted, read, mapped and executed from. Needs root and FUSE.

mod support;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use microbuild_sys::kernel::fuse::unmount;
use microbuild_zipfuse::{mount, FileSystem, Owner};
use support::{content, Writer};

const PAYLOAD: Owner = Owner {
    uid: 6000,
    gid: 6000,
};

struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// `None`, with a message, where this cannot be tried.
    fn new(name: &str, archive: Writer) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("zipfuse-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (bytes, archive) = archive.finish();
        let file_system = FileSystem::new(bytes, archive, PAYLOAD).expect("valid");
        match mount(file_system, &folder) {
            Ok(()) => Some(Self { folder }),
            Err(error) => {
                eprintln!("skipped: cannot mount FUSE here: {error}");
                fs::remove_dir(&folder).expect("empty");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(&self.folder).expect("unmounted");
        fs::remove_dir(&self.folder).expect("empty");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn files_are_read_by_their_payload_and_by_nobody_else() {
    let sizes = [0, 1, 4095, 4096, 4097, 131_071, 1_000_003];
    let mut archive = Writer::new();
    for size in sizes {
        archive.stored(&format!("stored/{size}"), None, &content(size));
        archive.deflated(&format!("deflated/{size}"), None, &content(size));
    }
    archive.stored("open", Some(0o644), b"for all");
    archive.directory("empty", Some(0o755));
    let Some(mounted) = Mounted::new("read", archive) else {
        return;
    };
    assert_eq!(
        names(&mounted.folder),
        ["deflated", "empty", "open", "stored"]
    );
    assert_eq!(names(&mounted.path("stored")).len(), sizes.len());
    assert_eq!(names(&mounted.path("empty")).len(), 0);
    for size in sizes {
        for folder in ["stored", "deflated"] {
            let path = mounted.path(&format!("{folder}/{size}"));
            let found = fs::metadata(&path).expect("there");
            assert_eq!((found.len(), found.mode()), (size as u64, 0o100_440));
            assert_eq!((found.uid(), found.gid()), (6000, 6000));
            assert_eq!(found.blocks(), (size as u64).div_ceil(512));
            assert!(
                fs::read(&path).expect("readable") == content(size),
                "{path:?}"
            );
        }
    }
    assert_eq!(
        fs::metadata(&mounted.folder).expect("there").mode(),
        0o040_550
    );
    assert_eq!(
        fs::metadata(mounted.path("open")).expect("there").mode(),
        0o100_644
    );

    let cat = |uid: u32, name: &str| {
        let mut command = Command::new("cat");
        command.arg(mounted.path(name)).uid(uid).gid(uid);
        command.output().expect("cat").status.success()
    };
    assert!(cat(6000, "stored/4097"));
    assert!(!cat(6001, "stored/4097"), "another user");
    assert!(!cat(6001, "open"), "the root directory is the payload's");
}

#[test]
fn nothing_can_be_changed_and_what_is_not_there_is_not_found() {
    let mut archive = Writer::new();
    archive.stored("a", Some(0o666), b"a");
    let Some(mounted) = Mounted::new("change", archive) else {
        return;
    };
    let read_only = Some(30); // EROFS
    let path = mounted.path("a");
    let open = File::options().write(true).open(&path);
    assert_eq!(open.unwrap_err().raw_os_error(), read_only);
    assert_eq!(
        fs::write(mounted.path("b"), "").unwrap_err().raw_os_error(),
        read_only
    );
    assert_eq!(
        fs::remove_file(&path).unwrap_err().raw_os_error(),
        read_only
    );
    assert_eq!(
        fs::create_dir(mounted.path("d"))
            .unwrap_err()
            .raw_os_error(),
        read_only
    );
    let modes = fs::Permissions::from_mode(0o777);
    assert_eq!(
        fs::set_permissions(&path, modes)
            .unwrap_err()
            .raw_os_error(),
        read_only
    );
    for _ in 0..2 {
        let missing = fs::metadata(mounted.path("b")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(fs::read_dir(&path).unwrap_err().raw_os_error(), Some(20)); // ENOTDIR
    assert!(fs::read(&mounted.folder).is_err());
}

#[test]
fn any_part_of_a_file_is_read_in_any_order_by_many_at_once() {
    let expected = content(3_000_001);
    let mut archive = Writer::new();
    archive.deflated("deflated", None, &expected);
    archive.stored("stored", None, &expected);
    let Some(mounted) = Mounted::new("seek", archive) else {
        return;
    };
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let path = mounted.path(["deflated", "stored"][thread % 2]);
            let expected = &expected;
            scope.spawn(move || {
                let mut file = File::open(path).expect("opens");
                let mut at = 17 * (thread + 1);
                for _ in 0..60 {
                    at = (at * 48_271) % expected.len();
                    let mut buffer = vec![0; (at % 40_000).min(expected.len() - at)];
                    file.read_exact_at(&mut buffer, at as u64).expect("reads");
                    assert!(buffer == expected[at..at + buffer.len()], "at {at}");
                }
                file.seek(SeekFrom::End(-5)).expect("seeks");
                let mut end = Vec::new();
                file.read_to_end(&mut end).expect("reads");
                assert_eq!(end, expected[expected.len() - 5..]);
            });
        }
    });
}

#[test]
fn programs_are_executed_and_libraries_loaded_from_it() {
    let program = fs::read("/bin/echo").expect("a program");
    let library = [
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/lib/aarch64-linux-gnu/libm.so.6",
    ]
    .iter()
    .find_map(|path| fs::read(path).ok());
    let mut archive = Writer::new();
    archive.stored("bin/echo", None, &program);
    archive.deflated("bin/packed", None, &program);
    archive.stored("lib/echo", None, &program);
    if let Some(library) = &library {
        archive.stored("lib/libm-copy.so", None, library);
        archive.deflated("lib/libm-packed.so", None, library);
    }
    let Some(mounted) = Mounted::new("execute", archive) else {
        return;
    };
    for name in ["bin/echo", "bin/packed"] {
        let output = Command::new(mounted.path(name))
            .arg("hello")
            .output()
            .expect(name);
        assert_eq!(output.stdout, b"hello\n");
    }
    let denied = Command::new(mounted.path("lib/echo"))
        .uid(6000)
        .gid(6000)
        .output();
    assert!(denied.is_err(), "only what is below bin is a program");
    if library.is_some() {
        for name in ["lib/libm-copy.so", "lib/libm-packed.so"] {
            let path = mounted.path(name);
            let mut command = Command::new("cat");
            command.arg("/proc/self/maps").env("LD_PRELOAD", &path);
            let maps = command.output().expect("cat").stdout;
            let maps = String::from_utf8_lossy(&maps);
            let line = maps
                .lines()
                .find(|line| line.contains("r-xp") && line.contains(name));
            assert!(line.is_some(), "{name} is not mapped for execution: {maps}");
        }
    }
}

#[test]
fn directory_of_many_files_is_listed_whole() {
    let mut archive = Writer::new();
    for index in 0..5000 {
        archive.stored(
            &format!("many/{index:05}-{}", "x".repeat(index % 60)),
            None,
            b"",
        );
    }
    let Some(mounted) = Mounted::new("many", archive) else {
        return;
    };
    let found = names(&mounted.path("many"));
    assert_eq!(found.len(), 5000);
    assert!(found
        .iter()
        .enumerate()
        .all(|(index, name)| name.starts_with(&format!("{index:05}-"))));
}

#[test]
fn file_that_is_not_what_the_archive_says_ends_in_an_error() {
    let mut archive = Writer::new();
    archive.deflated("bad", None, &content(500_000));
    archive.spoil_last_checksum();
    let Some(mounted) = Mounted::new("bad", archive) else {
        return;
    };
    let mut bytes = Vec::new();
    let mut file = File::open(mounted.path("bad")).expect("opens");
    assert_eq!(
        file.read_to_end(&mut bytes).unwrap_err().raw_os_error(),
        Some(5)
    ); // EIO
    assert!(bytes.len() < 500_000);
}
