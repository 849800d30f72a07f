//! Objects in calls: ours and the peer's look the same.

use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::object::AidlObject;
use crate::service::{Service, Source};
use crate::value::{Nullable, Value};
use crate::{ParcelResult, Result};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use microbuild_rpc::peer::Environment;
use microbuild_rpc::{StatusCode, FLAG_ONEWAY};

/// What a call can be made to.
pub(crate) trait Target: Send + Sync {
    fn transact(&self, code: u32, flags: u32, data: Encoder) -> ParcelResult<Box<dyn Source>>;
}

/// A reference to an object, of this process or of the peer. Clones are the same object.
#[derive(Clone)]
pub struct Binder {
    target: Arc<dyn Target>,
    object: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binder({:p})", Arc::as_ptr(&self.object))
    }
}

/// Whether it is the same object.
impl PartialEq for Binder {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::addr_eq(Arc::as_ptr(&self.object), Arc::as_ptr(&other.object))
    }
}

impl Eq for Binder {}

impl Binder {
    /// An object of this process, for sessions of the environment `E`. Send clones of it: each `new` is another object.
    pub fn new<E: Environment>(service: impl Service) -> Self {
        Self::from_object(&Arc::new(AidlObject::<E>::local(service)))
    }

    /// A reference to what a session knows.
    pub fn from_object<E: Environment>(object: &Arc<AidlObject<E>>) -> Self {
        Self {
            target: Arc::<AidlObject<E>>::clone(object),
            object: Arc::<AidlObject<E>>::clone(object),
        }
    }

    /// What a session of the environment `E` knows; `None` for an object of another environment.
    pub fn object<E: Environment>(&self) -> Option<Arc<AidlObject<E>>> {
        Arc::clone(&self.object).downcast().ok()
    }

    /// Calls a method and waits: `write` puts the arguments behind the token.
    ///
    /// # Errors
    /// `Status::Code` when the call did not take place. Whether the method threw, [`Reply::results`] tells.
    pub fn call(
        &self,
        descriptor: &str,
        code: u32,
        write: impl FnOnce(&mut Encoder) -> ParcelResult<()>,
    ) -> Result<Reply> {
        let mut data = Encoder::request(descriptor);
        write(&mut data)?;
        Ok(Reply(self.target.transact(code, 0, data)?))
    }

    /// Calls a method that nobody answers.
    ///
    /// # Errors
    /// `Status::Code` when the call could not be sent.
    pub fn call_oneway(
        &self,
        descriptor: &str,
        code: u32,
        write: impl FnOnce(&mut Encoder) -> ParcelResult<()>,
    ) -> Result<()> {
        let mut data = Encoder::request(descriptor);
        write(&mut data)?;
        self.target.transact(code, FLAG_ONEWAY, data)?;
        Ok(())
    }
}

/// What a call brought back.
pub struct Reply(Box<dyn Source>);

impl Reply {
    /// At the return value, behind which out parameters follow.
    ///
    /// # Errors
    /// `Status::Exception` when the method threw.
    pub fn results(&self) -> Result<Decoder<'_>> {
        let mut input = Decoder::new(&*self.0);
        input.read_status()??;
        Ok(input)
    }
}

impl Value for Binder {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        out.write_binder(self);
        Ok(())
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        input.read_binder()?.ok_or(StatusCode::UNEXPECTED_NULL)
    }
}

impl Nullable for Binder {
    fn encode_null(out: &mut Encoder) {
        out.parcel().write_null_binder();
    }

    fn decode_nullable(input: &mut Decoder<'_>) -> ParcelResult<Option<Self>> {
        input.read_binder()
    }
}

/// The place of an object that has to be there but has no default: empty until it is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<T>(pub Option<T>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<T> for Slot<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Value> Value for Slot<T> {
    fn encode(&self, out: &mut Encoder) -> ParcelResult<()> {
        self.0
            .as_ref()
            .ok_or(StatusCode::UNEXPECTED_NULL)?
            .encode(out)
    }

    fn decode(input: &mut Decoder<'_>) -> ParcelResult<Self> {
        T::decode(input).map(Self::from)
    }
}
