//! A socket as the stream of an RPC session.

use microbuild_rpc::{Transport, TransportError};
use microbuild_sys::payload::socket::Socket;

pub struct SocketStream(pub Socket);

impl Transport for SocketStream {
    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        let mut rest = buffer;
        while !rest.is_empty() {
            match self.0.receive(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
                Err(errno) => return Err(TransportError::Os(errno.0)),
            }
        }
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.0.send(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(errno) => return Err(TransportError::Os(errno.0)),
            }
        }
        Ok(())
    }
}
