//! Guests that break the rules, and words of QEMU that are none: no crash, no endless work, no memory.

mod support;

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use microbuild_vsock::packet::{operation, Header};
use support::{
    read_exactly, words, Backend, Folder, Frontend, Guest, Junk, FROM_GUEST, REGION, RING_SIZE,
    TO_GUEST,
};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// The backend goes on, but not with this guest; and with one that begins anew.
fn expect_given_up(guest: &mut Guest, what: &str) {
    let mut refused = false;
    for _ in 0..500 {
        let mut socket = guest.dial("CONNECT 7\n");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        match socket.read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => {
                refused = true;
                break;
            }
        }
    }
    assert!(refused, "{what}: still served");
    assert!(guest.backend.is_running(), "{what}: gone");
    guest.restart();
    guest.stream_from_host(7);
}

#[test]
fn a_guest_that_breaks_the_rules_of_the_rings_is_served_no_more_until_it_begins_anew() {
    let end = 2 * REGION;
    type Attack = (&'static str, usize, fn(&mut Guest, usize, u64));
    let attacks: &[Attack] = &[
        ("an endless chain", FROM_GUEST, |guest, ring, _| {
            guest.write_descriptor(ring, 0, (0x8000, 1, NEXT, 1));
            guest.write_descriptor(ring, 1, (0x8000, 1, NEXT, 0));
            guest.offer(ring, 0);
        }),
        (
            "an endless chain of nothing",
            FROM_GUEST,
            |guest, ring, _| {
                guest.write_descriptor(ring, 5, (0x8000, 0, NEXT, 5));
                guest.offer(ring, 5);
            },
        ),
        ("a chain out of the table", FROM_GUEST, |guest, ring, _| {
            guest.write_descriptor(ring, 0, (0x8000, 44, NEXT, RING_SIZE));
            guest.offer(ring, 0);
        }),
        ("a head out of the table", FROM_GUEST, |guest, ring, _| {
            guest.offer(ring, 0xffff);
        }),
        (
            "a buffer that is no memory",
            FROM_GUEST,
            |guest, ring, end| {
                guest.write_descriptor(ring, 0, (end, 44, 0, 0));
                guest.offer(ring, 0);
            },
        ),
        (
            "a buffer that ends behind memory",
            FROM_GUEST,
            |guest, ring, end| {
                guest.write_descriptor(ring, 0, (end - 43, 44, 0, 0));
                guest.offer(ring, 0);
            },
        ),
        (
            "a buffer that wraps around",
            FROM_GUEST,
            |guest, ring, _| {
                guest.write_descriptor(ring, 0, (u64::MAX - 3, 44, 0, 0));
                guest.offer(ring, 0);
            },
        ),
        ("a buffer of 4 GiB", FROM_GUEST, |guest, ring, end| {
            guest.write_descriptor(ring, 0, (end - 4096, u32::MAX, 0, 0));
            guest.offer(ring, 0);
        }),
        (
            "a buffer to write where packets are read",
            FROM_GUEST,
            |guest, ring, _| {
                guest.write_descriptor(ring, 0, (0x8000, 44, WRITE, 0));
                guest.offer(ring, 0);
            },
        ),
        ("an indirect table", FROM_GUEST, |guest, ring, _| {
            guest.write_descriptor(ring, 0, (0x8000, 64, INDIRECT, 0));
            guest.offer(ring, 0);
        }),
        (
            "more packets than the ring holds",
            FROM_GUEST,
            |guest, ring, _| {
                guest.write_available(ring, 5000);
            },
        ),
        (
            "a buffer to read where packets are written",
            TO_GUEST,
            |guest, ring, _| {
                guest.write_descriptor(ring, 0, (0x8000, 4096, 0, 0));
                let _ = guest.dial("CONNECT 7\n");
            },
        ),
        (
            "a buffer too small for a packet",
            TO_GUEST,
            |guest, ring, _| {
                guest.write_descriptor(ring, 0, (0x8000, 43, WRITE, 0));
                let _ = guest.dial("CONNECT 7\n");
            },
        ),
        ("a page that is no memory", TO_GUEST, |guest, ring, end| {
            guest.write_descriptor(ring, 1, (end, 4096, WRITE, 0));
            let _ = guest.dial("CONNECT 7\n");
        }),
        (
            "fewer buffers than there were",
            TO_GUEST,
            |guest, ring, _| {
                guest.write_available(ring, 0xff00);
                let _ = guest.dial("CONNECT 7\n");
            },
        ),
    ];
    for (what, ring, attack) in attacks {
        let mut guest = Guest::new();
        attack(&mut guest, *ring, end);
        expect_given_up(&mut guest, what);
    }
}

#[test]
fn a_packet_may_lie_in_many_pieces_and_over_the_border_of_two_regions() {
    let mut guest = Guest::new();
    let (socket, ports) = guest.stream_from_host(7);
    let header = Header {
        length: 100,
        ..guest.header(operation::RW, ports)
    };
    let data: Vec<u8> = (0..100).collect();
    let mut packet = header.encode().to_vec();
    packet.extend(&data);
    // In one piece over the border, then with an empty one, and in pieces of five bytes.
    let at = REGION - 70;
    guest.write(at, &packet);
    guest.write_descriptor(FROM_GUEST, 99, (at, 144, 0, 0));
    guest.offer(FROM_GUEST, 99);
    guest.expect_taken();
    assert_eq!(read_exactly(&socket, 100), data);
    guest.write_descriptor(FROM_GUEST, 99, (at, 0, NEXT, 0));
    for piece in 0..29u16 {
        let size = if piece == 28 { 4 } else { 5 };
        let flags = if piece == 28 { 0 } else { NEXT };
        let place = at + 5 * u64::from(piece);
        guest.write_descriptor(FROM_GUEST, piece, (place, size, flags, piece + 1));
    }
    guest.offer(FROM_GUEST, 99);
    guest.expect_taken();
    assert_eq!(read_exactly(&socket, 100), data);
}

#[test]
fn a_packet_that_is_shorter_than_it_says_resets_its_stream_and_one_without_header_is_nothing() {
    let mut guest = Guest::new();
    let (_socket, ports) = guest.stream_from_host(7);
    guest.write_descriptor(FROM_GUEST, 99, (0x8000, 43, 0, 0));
    guest.offer(FROM_GUEST, 99);
    guest.expect_taken();
    guest.expect_silence();
    let header = Header {
        length: 6,
        ..guest.header(operation::RW, ports)
    };
    guest.send(&header, b"short");
    guest.expect(operation::RST);
    let (_socket, ports) = guest.stream_from_host(7);
    let header = Header {
        length: u32::MAX,
        ..guest.header(operation::RW, ports)
    };
    guest.send(&header, b"short");
    guest.expect(operation::RST);
}

#[test]
fn answers_to_a_guest_that_takes_none_are_bounded_and_come_once_it_does() {
    let mut guest = Guest::new();
    guest.recycles = false;
    while guest.packet_within(Duration::from_millis(1)).is_some() {}
    // The ring holds 64; beyond a few thousand nothing more is taken.
    let mut taken = 0;
    for port in 0..8000 {
        let header = guest.header(operation::RW, (port, 99));
        guest.post(&header, &[]);
        if guest.take_back(Duration::from_secs(2)).is_none() {
            break;
        }
        taken += 1;
    }
    assert!((4096..4300).contains(&taken), "{taken}");
    guest.recycles = true;
    guest.forget_used(TO_GUEST);
    guest.give_buffers();
    let mut answered = 0;
    // The packet that was not taken is taken now, and answered as all others.
    while answered <= taken - u32::from(RING_SIZE / 2) {
        guest.expect(operation::RST);
        answered += 1;
    }
    guest.expect_taken();
    guest.expect_silence();
    guest.stream_from_host(7);
}

#[test]
fn junk_packets_do_no_harm() {
    let mut guest = Guest::new();
    let mut junk = Junk(0x5aa5);
    let _listener = guest.listen(8);
    let (_socket, ports) = guest.stream_from_host(7);
    for _ in 0..20_000 {
        let pick = |junk: &mut Junk, likely: u64| match junk.below(4) {
            0 => junk.next(),
            _ => likely,
        };
        let data = vec![1; junk.below(300) as usize];
        let (guest_port, host_port) = match junk.below(3) {
            0 => (u64::from(ports.0), u64::from(ports.1)),
            1 => (junk.below(600), 8),
            _ => (junk.below(4), junk.below(4)),
        };
        let header = Header {
            source_cid: pick(&mut junk, support::GUEST_CID),
            destination_cid: pick(&mut junk, 2),
            source_port: pick(&mut junk, guest_port) as u32,
            destination_port: pick(&mut junk, host_port) as u32,
            length: pick(&mut junk, data.len() as u64) as u32,
            kind: pick(&mut junk, 1) as u16,
            operation: junk.below(9) as u16,
            flags: junk.below(5) as u32,
            buffer_size: pick(&mut junk, 1 << 16) as u32,
            forwarded: pick(&mut junk, 0) as u32,
        };
        guest.send(&header, &data);
        while guest.packet_within(Duration::ZERO).is_some() {}
    }
    assert!(guest.backend.is_running());
    assert!(memory_of(guest.backend.child.id()) < 16 << 20);
    while guest.packet_within(Duration::from_millis(50)).is_some() {}
    guest.restart();
    guest.stream_from_host(9);
}

/// What a process holds privately, in bytes.
fn memory_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

#[test]
fn words_of_qemu_that_are_none_end_the_program_with_a_reason() {
    let word = |code, payload: &[u8]| Frontend::message(code, 8, payload);
    let mut wrong_version = word(1, &[]);
    wrong_version[4] = 2;
    let mut endless = word(5, &[]);
    endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let bad: &[Vec<u8>] = &[
        wrong_version,
        endless,
        word(2, &[0; 7]),
        // Memory without files, or more of it than there may be.
        word(5, &Guest::memory_table()),
        word(5, &words(&[9, 0])),
        // Rings that are not there, or of impossible sizes, or where there is no memory.
        word(8, &words(&[2, 128])),
        word(8, &words(&[0, 0])),
        word(8, &words(&[0, 3])),
        word(8, &words(&[0, 2048])),
        word(10, &words(&[7, 0])),
        word(11, &words(&[u32::MAX, 0])),
        word(9, &Guest::ring_addresses(0)),
        word(12, &words(&[0, 0])),
        word(12, &words(&[0x100, 0])),
        word(18, &words(&[9, 1])),
    ];
    for (index, bytes) in bad.iter().enumerate() {
        let folder = Folder::new();
        let mut backend = Backend::start(&folder, &[]);
        let frontend = Frontend::connect(&folder);
        frontend.send(bytes, &[]);
        assert_eq!(backend.wait().code(), Some(1), "word {index}");
        assert!(backend.said().starts_with("microbuild-vsock: "), "{index}");
        assert!(!folder.host().exists());
    }
}

#[test]
fn memory_that_its_file_does_not_have_is_refused() {
    let mut guest = Guest::without_rings(&[]);
    let mut table = words(&[1, 0]);
    for value in [0u64, 1 << 40, 0, 0] {
        table.extend(value.to_le_bytes());
    }
    let file = guest.memory_file();
    let message = Frontend::message(5, 8, &table);
    guest.frontend.send(&message, &[&file]);
    assert_eq!(guest.backend.wait().code(), Some(1));
    assert!(guest.backend.said().contains("cannot map guest memory"));
}

#[test]
fn unknown_words_are_declined() {
    let mut guest = Guest::new();
    for code in [6, 7, 20, 25, 40, 1000] {
        let message = Frontend::message(code, 8, &[0; 16]);
        guest.frontend.send(&message, &[]);
        let mut answer = [0; 20];
        guest.frontend.socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer[12..], 1u64.to_le_bytes(), "{code}");
    }
    guest.stream_from_host(7);
}

#[test]
fn junk_words_end_the_program_but_never_by_a_signal() {
    let mut junk = Junk(0xa55a);
    for round in 0..150 {
        let folder = Folder::new();
        let mut backend = Backend::start(&folder, &[]);
        let frontend = Frontend::connect(&folder);
        for _ in 0..20 {
            let payload: Vec<u8> = (0..junk.below(80))
                .map(|_| match junk.below(3) {
                    0 => junk.next() as u8,
                    _ => 0,
                })
                .collect();
            let code = junk.below(30) as u32;
            frontend.send(&Frontend::message(code, 0, &payload), &[]);
        }
        drop(frontend);
        let status = backend.wait();
        assert_eq!(status.signal(), None, "round {round}: {}", backend.said());
        assert!(!folder.host().exists() && !folder.vhost().exists());
    }
}
