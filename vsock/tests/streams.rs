//! Streams between programs of the host and a guest that keeps to the rules.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use microbuild_vsock::credit::BUFFER_SIZE;
use microbuild_vsock::packet::{operation, Header, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM};
use microbuild_vsock::streams::MAX_STREAMS;
use support::{connect_when_there, read_exactly, Guest, FROM_GUEST, TO_GUEST};

const BOTH: u32 = SHUTDOWN_RECEIVE | SHUTDOWN_SEND;

/// Whether the other end has closed, all of its data being read.
fn is_closed(socket: &mut UnixStream) -> bool {
    match socket.read(&mut [0]) {
        Ok(size) => size == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn bytes_go_both_ways_on_streams_that_either_side_began() {
    let mut guest = Guest::new();
    let (from_host, host_ports) = guest.stream_from_host(7);
    let (from_guest, guest_ports) = guest.stream_from_guest(8);
    for (socket, ports) in [(&from_host, host_ports), (&from_guest, guest_ports)] {
        let mut socket = socket;
        socket.write_all(b"to the guest").unwrap();
        let (header, data) = guest.packet();
        assert_eq!(header.operation, operation::RW);
        assert_eq!((header.destination_port, header.source_port), ports);
        assert_eq!(data, b"to the guest");
        guest.send_data(ports, b"to the host");
        assert_eq!(read_exactly(socket, 11), b"to the host");
    }
}

#[test]
fn what_a_program_sends_right_behind_its_greeting_is_data() {
    let mut guest = Guest::new();
    let _socket = guest.dial("CONNECT 7\nCONNECT 8\n");
    let request = guest.expect(operation::REQUEST);
    guest.say(operation::RESPONSE, (7, request.source_port));
    assert_eq!(guest.packet().1, b"CONNECT 8\n");
}

#[test]
fn greetings_may_come_in_pieces_and_others_are_hung_up_on() {
    let mut guest = Guest::new();
    let mut slow = guest.dial("CONN");
    for wrong in [
        "CONNECT \n",
        "CONNECT 4294967296\n",
        "CONNECT +1\n",
        "connect 1\n",
        "CONNECT 1\r\n",
        "CONNECT 1111111111111111111",
    ] {
        assert!(is_closed(&mut guest.dial(wrong)), "{wrong}");
    }
    drop(guest.dial("CONNECT 1"));
    slow.write_all(b"ECT 9\n").unwrap();
    assert_eq!(guest.expect(operation::REQUEST).destination_port, 9);
}

#[test]
fn a_guest_that_refuses_or_is_not_there_closes_the_socket() {
    let mut guest = Guest::new();
    let mut socket = guest.dial("CONNECT 7\n");
    let request = guest.expect(operation::REQUEST);
    guest.say(operation::RST, (7, request.source_port));
    assert!(is_closed(&mut socket));
    let absent = Guest::without_rings(&[]);
    assert!(is_closed(&mut absent.dial("CONNECT 7\n")));
}

#[test]
fn a_guest_is_refused_where_nobody_listens_and_where_nobody_lives() {
    let mut guest = Guest::new();
    guest.say(operation::REQUEST, (1024, 99));
    let header = guest.expect(operation::RST);
    assert_eq!((header.destination_port, header.source_port), (1024, 99));
    let elsewhere = Header {
        destination_cid: 3,
        ..guest.header(operation::REQUEST, (1024, 99))
    };
    guest.send(&elsewhere, &[]);
    assert_eq!(guest.expect(operation::RST).source_cid, 3);
    let datagram = Header {
        kind: 3,
        ..guest.header(operation::RW, (1024, 99))
    };
    guest.send(&datagram, &[]);
    assert_eq!(guest.expect(operation::RST).kind, 3);
    for operation in [operation::RW, operation::RESPONSE, operation::SHUTDOWN, 77] {
        guest.say(operation, (1024, 99));
        assert_eq!(guest.expect(operation::RST).kind, TYPE_STREAM);
    }
    // Neither another guest's packets nor a reset are answered.
    let foreign = Header {
        source_cid: 43,
        ..guest.header(operation::REQUEST, (1024, 99))
    };
    guest.send(&foreign, &[]);
    guest.say(operation::RST, (1024, 99));
    guest.expect_silence();
}

#[test]
fn the_host_appears_as_it_is_told_to_in_streams_that_it_begins() {
    let mut guest = Guest::with(&["--host-cid", "5"]);
    let _socket = guest.dial("CONNECT 7\n");
    assert_eq!(guest.expect(operation::REQUEST).source_cid, 5);
    // The guest's own connections still lead to the host.
    guest.stream_from_guest(8);
}

#[test]
fn no_more_is_sent_than_the_guest_has_room_for() {
    let mut guest = Guest::new();
    let mut socket = guest.dial("CONNECT 7\n");
    let ports = (7, guest.expect(operation::REQUEST).source_port);
    let with_room = |guest: &Guest, operation, forwarded| Header {
        buffer_size: 1000,
        forwarded,
        ..guest.header(operation, ports)
    };
    guest.send(&with_room(&guest, operation::RESPONSE, 0), &[]);
    support::read_line(&mut socket);
    socket.write_all(&[1; 1500]).unwrap();
    assert_eq!(guest.packet().1.len(), 1000);
    guest.expect(operation::CREDIT_REQUEST);
    guest.send(&with_room(&guest, operation::CREDIT_UPDATE, 0), &[]);
    // It was asked once.
    guest.expect_silence();
    guest.send(&with_room(&guest, operation::CREDIT_UPDATE, 1000), &[]);
    assert_eq!(guest.packet().1.len(), 500);
    guest.expect_silence();
    // The end of a stream needs no room.
    guest.send(&with_room(&guest, operation::CREDIT_UPDATE, 500), &[]);
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.expect(operation::SHUTDOWN).flags, SHUTDOWN_SEND);
    // A guest that claims to have taken what was never sent has no room at all.
    guest.send(&with_room(&guest, operation::CREDIT_UPDATE, 1501), &[]);
    guest.expect_silence();
}

#[test]
fn the_guest_is_told_of_room_again_once_the_host_reads() {
    let mut guest = Guest::new();
    let (socket, ports) = guest.stream_from_guest(8);
    let chunk = [7; 32 << 10];
    // More than a socket holds, and as much as was promised.
    let mut sent = 0;
    let mut announced = 0;
    loop {
        if sent + chunk.len() as u32 - announced > BUFFER_SIZE {
            break;
        }
        guest.send_data(ports, &chunk);
        sent += chunk.len() as u32;
        while let Some((header, _)) = guest.packet_within(Duration::from_millis(100)) {
            assert_eq!(header.operation, operation::CREDIT_UPDATE);
            announced = header.forwarded;
        }
    }
    assert!(sent >= BUFFER_SIZE);
    assert_eq!(read_exactly(&socket, sent as usize), vec![7; sent as usize]);
    let update = guest.expect(operation::CREDIT_UPDATE);
    assert!(update.forwarded > announced);
    guest.say(operation::CREDIT_REQUEST, ports);
    assert_eq!(guest.expect(operation::CREDIT_UPDATE).forwarded, sent);
}

#[test]
fn a_guest_that_sends_more_than_there_is_room_for_is_reset() {
    let mut guest = Guest::new();
    let (_socket, ports) = guest.stream_from_guest(8);
    let header = loop {
        guest.send_data(ports, &[7; 64 << 10]);
        if let Some((header, _)) = guest.packet_within(Duration::from_millis(20)) {
            if header.operation == operation::RST {
                break header;
            }
        }
    };
    assert_eq!(header.destination_port, ports.0);
}

#[test]
fn either_half_may_end_before_the_other() {
    let mut guest = Guest::new();
    let (socket, ports) = guest.stream_from_host(7);
    socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.expect(operation::SHUTDOWN).flags, SHUTDOWN_SEND);
    guest.send_data(ports, b"an answer");
    assert_eq!(read_exactly(&socket, 9), b"an answer");
    drop(socket);
    assert_eq!(guest.expect(operation::SHUTDOWN).flags, BOTH);

    let (mut socket, ports) = guest.stream_from_host(7);
    guest.send_data(ports, b"a question");
    guest.shut_down(ports, SHUTDOWN_SEND);
    let mut question = Vec::new();
    socket.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"a question");
    socket.write_all(b"an answer").unwrap();
    assert_eq!(guest.packet().1, b"an answer");
    guest.shut_down(ports, BOTH);
    guest.expect(operation::RST);
    assert_eq!(
        socket.write_all(b"more").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn a_guest_that_reads_no_more_breaks_the_hosts_pipe_only() {
    let mut guest = Guest::new();
    let (mut socket, ports) = guest.stream_from_host(7);
    guest.shut_down(ports, SHUTDOWN_RECEIVE);
    let broken = loop {
        match socket.write_all(b"unheard") {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
    guest.send_data(ports, b"still here");
    assert_eq!(read_exactly(&socket, 10), b"still here");
    drop(socket);
    assert_eq!(guest.expect(operation::SHUTDOWN).flags, BOTH);
}

#[test]
fn what_came_before_the_end_is_delivered_to_a_host_that_reads_late() {
    for ending in ["shutdown", "reset", "machine"] {
        let mut guest = Guest::new();
        let (mut socket, ports) = guest.stream_from_guest(8);
        let mut sent = 0;
        while guest.packet_within(Duration::from_millis(10)).is_none() || sent < 256 << 10 {
            guest.send_data(ports, &[9; 16 << 10]);
            sent += 16 << 10;
            if sent >= 320 << 10 {
                break;
            }
        }
        match ending {
            "shutdown" => guest.shut_down(ports, BOTH),
            "reset" => guest.say(operation::RST, ports),
            _ => guest.frontend.socket.shutdown(Shutdown::Both).unwrap(),
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut received = Vec::new();
        socket.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), sent, "{ending}");
        if ending == "shutdown" {
            while guest.packet().0.operation != operation::RST {}
        }
    }
}

#[test]
fn the_last_packets_of_a_machine_are_taken_before_it_ends() {
    let mut guest = Guest::new();
    let (mut socket, ports) = guest.stream_from_guest(8);
    for _ in 0..8 {
        let header = Header {
            length: 5,
            ..guest.header(operation::RW, ports)
        };
        guest.post(&header, b"hello");
    }
    guest.stop_ring(TO_GUEST);
    guest.stop_ring(FROM_GUEST);
    guest.frontend.socket.shutdown(Shutdown::Both).unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"hello".repeat(8));
    assert!(guest.backend.wait().success());
}

#[test]
fn a_host_that_gives_up_before_the_guest_answers_resets_it() {
    let mut guest = Guest::new();
    let socket = guest.dial("CONNECT 7\n");
    let ports = (7, guest.expect(operation::REQUEST).source_port);
    drop(socket);
    guest.expect(operation::RST);
    guest.say(operation::RESPONSE, ports);
    guest.expect(operation::RST);
}

#[test]
fn a_machine_that_is_paused_goes_on_with_its_streams_and_one_that_begins_anew_does_not() {
    let mut guest = Guest::new();
    let (mut socket, ports) = guest.stream_from_host(7);
    let bases = [TO_GUEST, FROM_GUEST].map(|ring| guest.stop_ring(ring));
    socket.write_all(b"while it was paused").unwrap();
    for (ring, base) in [TO_GUEST, FROM_GUEST].into_iter().zip(bases) {
        guest.start_ring(ring, base);
    }
    assert_eq!(guest.packet().1, b"while it was paused");
    guest.send_data(ports, b"afterwards");
    assert_eq!(read_exactly(&socket, 10), b"afterwards");
    guest.restart();
    assert!(is_closed(&mut socket));
    guest.stream_from_host(7);
}

#[test]
fn packets_wait_while_the_guest_has_no_room_and_streams_take_turns() {
    let mut guest = Guest::new();
    let streams: Vec<_> = (0..4).map(|port| guest.stream_from_host(port)).collect();
    guest.recycles = false;
    while guest.packet_within(Duration::from_millis(1)).is_some() {}
    let data = vec![1; 64 << 10];
    for (socket, _) in &streams {
        let mut socket = socket;
        socket.write_all(&data).unwrap();
    }
    // The ring had 64 buffers, of which the requests took four.
    let mut packets = Vec::new();
    while let Some((header, _)) = guest.packet_within(Duration::from_millis(500)) {
        packets.push(header.destination_port);
    }
    assert!((56..=64).contains(&packets.len()), "{}", packets.len());
    for port in 0..4 {
        let count = packets.iter().filter(|other| **other == port).count();
        assert!(count * 4 >= packets.len() - 4, "port {port}: {packets:?}");
    }
    guest.recycles = true;
    guest.restart();
}

#[test]
fn the_guest_can_have_so_many_streams_and_the_host_as_many() {
    let mut guest = Guest::new();
    let listener = guest.listen(8);
    let mut accepted = Vec::new();
    for port in 0..=MAX_STREAMS as u32 {
        guest.say(operation::REQUEST, (port, 8));
        let answer = guest.packet().0.operation;
        if port < MAX_STREAMS as u32 {
            assert_eq!(answer, operation::RESPONSE, "{port}");
            accepted.push(listener.accept().unwrap().0);
        } else {
            assert_eq!(answer, operation::RST);
        }
    }
    // The host is not kept from dialling; once it has as many, others wait.
    let mut dialled: Vec<_> = (0..MAX_STREAMS)
        .map(|_| guest.dial("CONNECT 7\n"))
        .collect();
    let requests: Vec<_> = dialled
        .iter()
        .map(|_| guest.expect(operation::REQUEST))
        .collect();
    dialled.push(guest.dial("CONNECT 9\n"));
    guest.expect_silence();
    guest.say(operation::RST, (7, requests[0].source_port));
    assert_eq!(guest.expect(operation::REQUEST).destination_port, 9);
    // One that was closed makes room.
    accepted.pop();
    guest.expect(operation::SHUTDOWN);
    guest.say(operation::REQUEST, (5000, 8));
    guest.expect(operation::RESPONSE);
}

#[test]
fn a_full_queue_of_a_program_is_tried_again() {
    let mut guest = Guest::new();
    let path = guest.folder.0.join("vm.vsock_8");
    let listener = support::small_listener(&path);
    // Fills the queue, whose length is the one that the kernel makes of zero.
    let first = connect_when_there(&path);
    guest.say(operation::REQUEST, (1024, 8));
    guest.expect_silence();
    drop(listener.accept().unwrap());
    guest.expect(operation::RESPONSE);
    drop(first);
}
