//! What the payload prints: from a pipe to the host's log port, or to the console where no host listens.
//!
//! Whoever reads slowly makes the payload wait, in its write to the pipe; nobody else waits and nothing is kept.

use std::io::{self, PipeWriter, Read, Write};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::Duration;

use microbuild_sys::kernel::console::say_for;
use microbuild_sys::kernel::vsock::{VsockStream, HOST_CID};

/// Of the host.
const LOG_PORT: u32 = 2001;
/// A host that listens answers at once; one that does not may say nothing at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is in the pipe when the payload is gone must be taken by then.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(10);
const CHUNK_SIZE: usize = 64 * 1024;
/// A line of the console is cut here: a payload that never ends one must not fill memory.
const LINE_SIZE_MAX: usize = 1024;

/// The end of a log that is being copied.
pub struct PayloadLog {
    done: Receiver<()>,
}

/// Starts copying. What is written to the pipe goes out until its last writer is gone.
///
/// # Errors
/// When there can be no pipe.
pub fn start() -> io::Result<(PayloadLog, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let (finished, done) = channel();
    thread::spawn(move || {
        copy(reader, connect);
        // Nobody waits any more: then it does not matter.
        let _ = finished.send(());
    });
    Ok((PayloadLog { done }, writer))
}

impl PayloadLog {
    /// Waits until everything is out, for as long as a host may take that reads at all.
    pub fn finish(self) {
        let _ = self.done.recv_timeout(LAST_WORDS_TIMEOUT);
    }
}

fn connect() -> Option<VsockStream> {
    VsockStream::connect_unbounded(HOST_CID, LOG_PORT, CONNECT_TIMEOUT).ok()
}

/// Connects with the first bytes: a silent payload needs no log.
fn copy<S: Write>(mut reader: impl Read, connect: impl FnOnce() -> Option<S>) {
    let mut buffer = vec![0; CHUNK_SIZE];
    let mut console = ConsoleLines::new(|line: &str| say_for("payload", line));
    let mut connect = Some(connect);
    let mut host = None;
    loop {
        let size = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if let Some(connect) = connect.take() {
            host = connect();
        }
        let bytes = buffer.get(..size).unwrap_or(&[]);
        // A host that hangs up has had enough of the log; it is still there for people at the console.
        let is_taken = host
            .as_mut()
            .is_some_and(|host: &mut S| host.write_all(bytes).is_ok());
        if !is_taken {
            host = None;
            console.push(bytes);
        }
    }
    console.end();
}

/// Bytes as lines, each told as a whole: the payload cannot begin one that looks like another program's.
struct ConsoleLines<F: FnMut(&str)> {
    line: Vec<u8>,
    tell: F,
}

impl<F: FnMut(&str)> ConsoleLines<F> {
    fn new(tell: F) -> Self {
        Self { line: vec![], tell }
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
            }
            if *byte == b'\n' || self.line.len() >= LINE_SIZE_MAX {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        (self.tell)(&String::from_utf8_lossy(&self.line));
        self.line.clear();
    }

    fn end(mut self) {
        if !self.line.is_empty() {
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes some bytes and then fails.
    struct Limited {
        taken: Vec<u8>,
        limit: usize,
    }

    impl Write for &mut Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.taken.len() + bytes.len() > self.limit {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn host_gets_every_byte_as_it_is() {
        let printed: Vec<u8> = (0..300_000u32).map(|value| value as u8).collect();
        let mut host = Limited {
            taken: vec![],
            limit: usize::MAX,
        };
        copy(printed.as_slice(), || Some(&mut host));
        assert_eq!(host.taken, printed);
    }

    #[test]
    fn silent_payload_makes_no_connection() {
        let mut is_asked = false;
        copy(io::empty(), || -> Option<Vec<u8>> {
            is_asked = true;
            None
        });
        assert!(!is_asked);
    }

    #[test]
    fn payload_is_read_to_its_end_when_the_host_hangs_up_or_is_not_there() {
        let printed = vec![b'x'; 3 * CHUNK_SIZE];
        let mut host = Limited {
            taken: vec![],
            limit: CHUNK_SIZE,
        };
        let mut reader = printed.as_slice();
        copy(&mut reader, || Some(&mut host));
        assert!(reader.is_empty());
        assert_eq!(host.taken.len(), CHUNK_SIZE);
        let mut reader = printed.as_slice();
        copy(&mut reader, || -> Option<Vec<u8>> { None });
        assert!(reader.is_empty());
    }

    #[test]
    fn console_gets_lines_that_have_a_bound() {
        let mut lines = vec![];
        let mut console = ConsoleLines::new(|line: &str| lines.push(line.to_owned()));
        console.push(b"one\ntw");
        console.push(b"o\n\nlast");
        console.end();
        assert_eq!(lines, ["one", "two", "", "last"]);
        let mut longest = 0;
        let mut console = ConsoleLines::new(|line: &str| longest = longest.max(line.len()));
        console.push(&vec![b'x'; 10 * LINE_SIZE_MAX]);
        console.end();
        assert_eq!(longest, LINE_SIZE_MAX);
    }
}
