//! The program as a process: how it begins and ends, and what it leaves behind.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{kill_process, Pid, Signal};
use support::{connect_when_there, words, Backend, Folder, Frontend, Guest, PATIENCE};

fn gone(path: &std::path::Path) -> bool {
    let until = Instant::now() + PATIENCE;
    while path.exists() && Instant::now() < until {
        thread::sleep(Duration::from_millis(2));
    }
    !path.exists()
}

#[test]
fn it_tells_the_cid_as_qemu_asks_for_it() {
    let mut guest = Guest::without_rings(&[]);
    let ask = |guest: &mut Guest, offset, size: u32| {
        let mut payload = words(&[offset, size, 0]);
        payload.resize(12 + size as usize, 0xff);
        guest.frontend.get(24, &payload)[12..].to_vec()
    };
    assert_eq!(ask(&mut guest, 0, 8), support::GUEST_CID.to_le_bytes());
    assert_eq!(ask(&mut guest, 4, 4), [0; 4]);
    assert_eq!(ask(&mut guest, u32::MAX, 256), [0; 256]);
    assert_eq!(guest.frontend.get(17, &[]), 2u64.to_le_bytes());
}

#[test]
fn it_ends_with_qemu_and_leaves_no_socket() {
    let mut guest = Guest::new();
    let host = guest.folder.host();
    let mode = fs::metadata(&host).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    // Behind the one QEMU the door is closed.
    assert!(!guest.folder.vhost().exists());
    guest
        .frontend
        .socket
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    assert!(guest.backend.wait().success());
    assert!(!host.exists());
}

#[test]
fn it_ends_by_a_signal_before_and_after_qemu_came() {
    for with_qemu in [false, true] {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let folder = Folder::new();
            let mut backend = Backend::start(&folder, &[]);
            let wait = connect_when_there(&folder.host());
            let frontend = with_qemu.then(|| Frontend::connect(&folder));
            let pid = Pid::from_child(&backend.child);
            kill_process(pid, signal).unwrap();
            assert!(backend.wait().success());
            assert!(!folder.host().exists() && !folder.vhost().exists());
            drop((wait, frontend));
        }
    }
}

#[test]
fn it_ends_when_its_parent_is_killed() {
    let folder = Folder::new();
    let mut words = vec!["\"$@\" & wait".to_owned(), "sh".to_owned()];
    let command = Backend::command(&folder, &[]);
    words.push(command.get_program().to_str().unwrap().to_owned());
    words.extend(
        command
            .get_args()
            .map(|word| word.to_str().unwrap().to_owned()),
    );
    let mut parent = Command::new("sh").arg("-c").args(words).spawn().unwrap();
    let qemu = Frontend::connect(&folder);
    assert!(folder.host().exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(gone(&folder.host()));
    drop(qemu);
}

#[test]
fn a_socket_that_is_left_over_is_replaced_and_one_that_is_used_is_not() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.host()).unwrap());
    drop(UnixListener::bind(folder.vhost()).unwrap());
    let mut backend = Backend::start(&folder, &[]);
    drop(Frontend::connect(&folder));
    assert!(backend.wait().success());
    let used = UnixListener::bind(folder.host()).unwrap();
    let mut backend = Backend::start(&folder, &[]);
    assert_eq!(backend.wait().code(), Some(1));
    assert!(backend.said().contains("vm.vsock"));
    assert!(folder.host().exists());
    drop(used);
    fs::remove_file(folder.host()).unwrap();
    fs::write(folder.host(), "a file").unwrap();
    let mut backend = Backend::start(&folder, &[]);
    assert_eq!(backend.wait().code(), Some(1));
    assert!(!fs::metadata(folder.host()).unwrap().file_type().is_socket());
}

#[test]
fn it_says_how_it_is_used() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_microbuild-vsock"));
        let child = command.args(arguments).stderr(Stdio::piped());
        let output = child.stdout(Stdio::piped()).output().unwrap();
        (output.status.code(), output.stdout, output.stderr)
    };
    let places = ["--socket", "/nowhere/a", "--uds", "/nowhere/b"];
    for wrong in [
        vec![],
        vec!["--cid", "42"],
        vec!["--cid", "2"],
        vec!["--cid", "4294967295"],
        vec!["--cid", "x"],
        vec!["--cid"],
        vec!["--cid", "42", "--other", "1"],
        vec!["--cid", "42", "--host-cid", "-1"],
    ] {
        let arguments = [&places[..], &wrong].concat();
        let (code, _, stderr) = run(&arguments);
        if wrong == ["--cid", "42"] {
            assert_eq!(code, Some(1));
            continue;
        }
        assert_eq!(code, Some(2), "{wrong:?}");
        assert!(stderr.starts_with(b"Usage: "));
    }
    assert_eq!(run(&["--help"]).0, Some(0));
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with(b"microbuild-vsock "));
}

#[test]
fn a_program_that_waits_for_the_guest_is_served_once_the_guest_is_there() {
    let mut guest = Guest::new();
    let mut waiting = guest.dial("CON");
    guest.restart();
    waiting.write_all(b"NECT 7\n").unwrap();
    guest.packet();
    drop(guest);
    assert_eq!(waiting.read(&mut [0]).unwrap_or(0), 0);
}
