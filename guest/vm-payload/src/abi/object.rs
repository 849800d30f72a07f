//! Objects, the payload's own and the peer's: what is behind an `AIBinder*`.

use super::class::AIBinder_Class;
use super::death::Links;
use super::parcel::AParcel;
use crate::status::prune_status;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use microbuild_rpc::peer::{Call, Message, Object, Remote};
use microbuild_rpc::{
    Parcel, StatusCode, FIRST_CALL_TRANSACTION, INTERFACE_TRANSACTION, LAST_CALL_TRANSACTION,
    PING_TRANSACTION,
};
use microbuild_sys::payload::process;
use microbuild_sys::payload::thread::Mutex;
use vm_payload::platform::Process;

/// `_EXT`: the object's extension, or null.
pub const EXTENSION_TRANSACTION: u32 = 0x5f45_5854;
/// `_PID`: the process that the object lives in.
const DEBUG_PID_TRANSACTION: u32 = 0x5f50_4944;

/// An object of C code.
pub struct Own {
    pub class: &'static AIBinder_Class,
    pub user_data: *mut c_void,
    pub extension: Mutex<Option<Arc<AIBinder>>>,
}

/// What stands for an object of the peer.
struct Theirs {
    remote: Remote<AIBinder>,
    /// The first class that was found to fit, or null.
    class: AtomicPtr<AIBinder_Class>,
    links: Links,
}

enum Kind {
    Own(Own),
    Theirs(Theirs),
}

/// What C code holds by a pointer: the pointer of an `Arc`, whose count is the object's.
pub struct AIBinder(Kind);

// SAFETY: user data is passed to the class's functions, which are called from several threads at once by the header's word,
// as libbinder's are; all else is safe to share by itself.
unsafe impl Send for AIBinder {}
// SAFETY: as above.
unsafe impl Sync for AIBinder {}

impl Drop for AIBinder {
    fn drop(&mut self) {
        match &self.0 {
            // SAFETY: the class made this user data, and nobody can reach it any more.
            Kind::Own(own) => unsafe { (own.class.on_destroy)(own.user_data) },
            Kind::Theirs(theirs) => theirs.links.unlink_all(),
        }
    }
}

impl Object for AIBinder {
    type Environment = Process;

    fn from_remote(remote: Remote<Self>) -> Arc<Self> {
        Arc::new(Self(Kind::Theirs(Theirs {
            remote,
            class: AtomicPtr::default(),
            links: Links::default(),
        })))
    }

    fn remote(&self) -> Option<&Remote<Self>> {
        match &self.0 {
            Kind::Own(_) => None,
            Kind::Theirs(theirs) => Some(&theirs.remote),
        }
    }

    fn transact(self: &Arc<Self>, call: Call<'_, Self>) -> Result<Message<Self>, StatusCode> {
        self.execute(call.code, call.data)
    }

    fn died(self: &Arc<Self>) {
        if let Kind::Theirs(theirs) = &self.0 {
            theirs.links.died();
        }
    }
}

impl AIBinder {
    /// A new object of C code.
    pub fn new_own(class: &'static AIBinder_Class, user_data: *mut c_void) -> Arc<Self> {
        Arc::new(Self(Kind::Own(Own {
            class,
            user_data,
            extension: Mutex::new(None),
        })))
    }

    pub fn own(&self) -> Option<&Own> {
        match &self.0 {
            Kind::Own(own) => Some(own),
            Kind::Theirs(_) => None,
        }
    }

    /// The links to the death of an object of the peer.
    pub fn links(&self) -> Option<&Links> {
        match &self.0 {
            Kind::Own(_) => None,
            Kind::Theirs(theirs) => Some(&theirs.links),
        }
    }

    pub fn is_alive(&self) -> bool {
        self.remote()
            .is_none_or(|remote| remote.session().is_alive())
    }

    pub fn class(&self) -> Option<&'static AIBinder_Class> {
        match &self.0 {
            Kind::Own(own) => Some(own.class),
            // SAFETY: null, or a class, and classes are never freed.
            Kind::Theirs(theirs) => unsafe { theirs.class.load(Ordering::Acquire).as_ref() },
        }
    }

    /// Executes a call to an object of C code: Binder's own codes here, the interface's there.
    fn execute(
        self: &Arc<Self>,
        code: u32,
        data: Message<Self>,
    ) -> Result<Message<Self>, StatusCode> {
        let own = self.own().ok_or(StatusCode::INVALID_OPERATION)?;
        let mut reply = Message::default();
        match code {
            PING_TRANSACTION => {}
            INTERFACE_TRANSACTION => reply = Message::new(Parcel::request(&own.class.descriptor)),
            EXTENSION_TRANSACTION => {
                let extension = own.extension.with(|extension| extension.clone());
                reply.write_object(extension.as_ref());
            }
            DEBUG_PID_TRANSACTION => reply.parcel_mut().write_i32(process::process_id()),
            FIRST_CALL_TRANSACTION..=LAST_CALL_TRANSACTION => {
                return self.execute_method(own, code, data)
            }
            _ => return Err(StatusCode::UNKNOWN_TRANSACTION),
        }
        Ok(reply)
    }

    fn execute_method(
        self: &Arc<Self>,
        own: &Own,
        code: u32,
        data: Message<Self>,
    ) -> Result<Message<Self>, StatusCode> {
        let mut input = AParcel::received(data);
        if own.class.has_token() {
            input.read(|reader| reader.enforce_interface(&own.class.descriptor))?;
        }
        let mut output = AParcel::default();
        let this = Arc::as_ptr(self).cast_mut();
        // Reading moves the position of `in`, which is const to C code: hence a pointer made of a mutable borrow.
        let input = (&raw mut input).cast_const();
        // SAFETY: the object and both parcels live until the function returns, by when it is done with them.
        let status = unsafe { (own.class.on_transact)(this, code, input, &raw mut output) };
        match StatusCode(status) {
            StatusCode::OK => Ok(output.into_message()),
            status => Err(prune_status(status)),
        }
    }

    /// Calls an object, wherever it lives.
    pub fn call(
        self: &Arc<Self>,
        code: u32,
        flags: u32,
        data: Message<Self>,
    ) -> Result<Message<Self>, StatusCode> {
        match &self.0 {
            Kind::Own(_) => self.execute(code, data),
            Kind::Theirs(theirs) => theirs.remote.transact(code, flags, &data),
        }
    }

    /// The name of the interface that a peer's object says it has.
    fn remote_descriptor(self: &Arc<Self>) -> Result<String, StatusCode> {
        let reply = self.call(INTERFACE_TRANSACTION, 0, Message::default())?;
        let descriptor = reply.parcel().reader().read_string();
        descriptor
    }

    /// Whether the object is of a class. A peer's object is asked for the name of its interface, once.
    pub fn associate(self: &Arc<Self>, class: &'static AIBinder_Class) -> bool {
        if self.class().is_some_and(|known| ptr::eq(known, class)) {
            return true;
        }
        let Kind::Theirs(theirs) = &self.0 else {
            return false;
        };
        let fits = match self.class() {
            Some(known) => known.descriptor == class.descriptor,
            None => match self.remote_descriptor() {
                Ok(descriptor) => descriptor == class.descriptor,
                Err(_) => false,
            },
        };
        if fits {
            // The first one stays; it says the same as all later ones.
            let _kept = theirs.class.compare_exchange(
                ptr::null_mut(),
                ptr::from_ref(class).cast_mut(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        fits
    }
}

/// A reference of its own to an object of the caller's; `None` for null.
///
/// # Safety
/// `binder` is null or an object to which the caller has a reference.
pub unsafe fn share(binder: *const AIBinder) -> Option<Arc<AIBinder>> {
    if binder.is_null() {
        return None;
    }
    // SAFETY: the caller's promise: every object that C code has is the pointer of an `Arc`. The caller's reference stays.
    let theirs = ManuallyDrop::new(unsafe { Arc::from_raw(binder) });
    Some(Arc::clone(&theirs))
}

/// Gives a reference to C code; null for `None`.
pub fn give(binder: Option<Arc<AIBinder>>) -> *mut AIBinder {
    binder.map_or(ptr::null_mut(), |binder| Arc::into_raw(binder).cast_mut())
}
