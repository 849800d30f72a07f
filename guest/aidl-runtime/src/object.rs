//! The objects of a session, as `microbuild-rpc` wants them.

use crate::binder::{Binder, Target};
use crate::encoder::Encoder;
use crate::service::{serve, Service, Source};
use crate::ParcelResult;
use alloc::boxed::Box;
use alloc::sync::Arc;
use microbuild_rpc::peer::{Call, Environment, Message, Object, Remote};
use microbuild_rpc::{Parcel, ParcelReader, StatusCode, FLAG_ONEWAY};

/// An object that a [`Service`] of this process serves, or that stands for one of the peer's. It is what the sessions and
/// servers of `microbuild-rpc` are made for: `PeerServer<AidlObject<E>>`.
pub struct AidlObject<E: Environment>(Kind<E>);

enum Kind<E: Environment> {
    Local(Box<dyn Service>),
    Remote(Remote<AidlObject<E>>),
}

impl<E: Environment> AidlObject<E> {
    pub fn local(service: impl Service) -> Self {
        Self(Kind::Local(Box::new(service)))
    }
}

impl<E: Environment> Object for AidlObject<E> {
    type Environment = E;

    fn from_remote(remote: Remote<Self>) -> Arc<Self> {
        Arc::new(Self(Kind::Remote(remote)))
    }

    fn remote(&self) -> Option<&Remote<Self>> {
        match &self.0 {
            Kind::Local(_) => None,
            Kind::Remote(remote) => Some(remote),
        }
    }

    fn transact(self: &Arc<Self>, call: Call<'_, Self>) -> Result<Message<Self>, StatusCode> {
        match &self.0 {
            Kind::Local(service) => message(serve(&**service, call.code, &call.data)?),
            Kind::Remote(_) => Err(StatusCode::INVALID_OPERATION),
        }
    }

    fn died(self: &Arc<Self>) {}
}

impl<E: Environment> Target for AidlObject<E> {
    fn transact(&self, code: u32, flags: u32, data: Encoder) -> ParcelResult<Box<dyn Source>> {
        match &self.0 {
            Kind::Local(service) => {
                let outcome = serve(&**service, code, &data);
                match flags & FLAG_ONEWAY {
                    0 => Ok(Box::new(outcome?)),
                    _ => Ok(Box::new(Encoder::default())),
                }
            }
            Kind::Remote(remote) => {
                let reply = remote.transact(code, flags, &message(data)?)?;
                Ok(Box::new(reply))
            }
        }
    }
}

/// # Errors
/// `INVALID_OPERATION` for an object of another environment: it means nothing in this session.
fn message<E: Environment>(encoder: Encoder) -> ParcelResult<Message<AidlObject<E>>> {
    let (parcel, binders) = encoder.into_parts();
    let end = parcel.position();
    let mut message = Message::new(parcel);
    for (at, binder) in binders {
        let object = binder.object::<E>().ok_or(StatusCode::INVALID_OPERATION)?;
        message.parcel_mut().set_position(at)?;
        message.write_object(Some(&object));
    }
    message.parcel_mut().set_position(end)?;
    Ok(message)
}

impl<E: Environment> Source for Message<AidlObject<E>> {
    fn parcel(&self) -> &Parcel {
        Self::parcel(self)
    }

    fn read_binder(&self, reader: &mut ParcelReader<'_>) -> ParcelResult<Option<Binder>> {
        Ok(self
            .read_object(reader)?
            .as_ref()
            .map(Binder::from_object::<E>))
    }
}
