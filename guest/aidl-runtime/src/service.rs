//! Serving: from a parcel to a method and back.

use crate::binder::Binder;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::{ParcelResult, Result};
use microbuild_rpc::{
    Parcel, ParcelReader, Status, StatusCode, FIRST_CALL_TRANSACTION, INTERFACE_TRANSACTION,
    LAST_CALL_TRANSACTION, PING_TRANSACTION,
};

/// Codes that interfaces with a version answer: the last two that there are.
pub const GET_INTERFACE_VERSION: u32 = LAST_CALL_TRANSACTION;
pub const GET_INTERFACE_HASH: u32 = LAST_CALL_TRANSACTION - 1;

/// An interface of this process, as generated code serves it.
pub trait Service: Send + Sync + 'static {
    /// The token that opens every call.
    fn descriptor(&self) -> &str;

    /// Executes a method; `input` stands behind the token.
    ///
    /// # Errors
    /// `Status::Code` when the call cannot be executed (`UNKNOWN_TRANSACTION` for an unknown code, or what reading `input`
    /// gave), `Status::Exception` when the method throws.
    fn on_transact(&self, code: u32, input: &mut Decoder<'_>) -> Result<Encoder>;
}

/// A parcel to read, and the objects in it.
pub trait Source {
    fn parcel(&self) -> &Parcel;

    /// Reads an object where `reader` is, which reads this parcel.
    ///
    /// # Errors
    /// `BAD_TYPE` or `BAD_VALUE` where there is no object.
    fn read_binder(&self, reader: &mut ParcelReader<'_>) -> ParcelResult<Option<Binder>>;
}

/// Executes a call of any code, Binder's own too.
///
/// # Errors
/// What goes into the reply's status word; exceptions are in the reply.
pub fn serve(service: &dyn Service, code: u32, source: &dyn Source) -> ParcelResult<Encoder> {
    match code {
        PING_TRANSACTION => Ok(Encoder::default()),
        INTERFACE_TRANSACTION => {
            let mut reply = Encoder::default();
            reply.write_str(service.descriptor());
            Ok(reply)
        }
        FIRST_CALL_TRANSACTION..=LAST_CALL_TRANSACTION => {
            let mut input = Decoder::new(source);
            if input
                .reader()
                .enforce_interface(service.descriptor())
                .is_err()
            {
                return Err(StatusCode::PERMISSION_DENIED);
            }
            match service.on_transact(code, &mut input) {
                Ok(reply) => Ok(reply),
                Err(Status::Exception(exception)) => Ok(Encoder::exception(&exception)),
                Err(Status::Code(code)) => Err(code),
            }
        }
        _ => Err(StatusCode::UNKNOWN_TRANSACTION),
    }
}
