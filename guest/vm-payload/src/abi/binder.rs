//! `android/binder_ibinder.h`: objects, the payload's own and the peer's.

use super::class::AIBinder_Class;
use super::code;
use super::death::Links;
use super::parcel::AParcel;
use crate::status::prune_status;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int, c_void};
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
const EXTENSION_TRANSACTION: u32 = 0x5f45_5854;
/// `_PID`: the process that the object lives in.
const DEBUG_PID_TRANSACTION: u32 = 0x5f50_4944;
/// Flags that a caller may set: one-way, clear the buffers, private to vendors.
const KNOWN_FLAGS: u32 = 0x01 | 0x20 | 0x1000_0000;

/// An object of C code.
struct Own {
    class: &'static AIBinder_Class,
    user_data: *mut c_void,
    extension: Mutex<Option<Arc<AIBinder>>>,
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
    fn own(&self) -> Option<&Own> {
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
    fn call(
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
    fn associate(self: &Arc<Self>, class: &'static AIBinder_Class) -> bool {
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

/// # Safety
/// `class` is null or comes from `AIBinder_Class_define`; `args` is what the class's `onCreate` takes.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_new(
    class: *const AIBinder_Class,
    args: *mut c_void,
) -> *mut AIBinder {
    // SAFETY: the caller's promise; classes are never freed.
    let Some(class) = (unsafe { class.as_ref() }) else {
        process::print_error(format_args!("AIBinder_new: the class is null"));
        return ptr::null_mut();
    };
    // SAFETY: the caller's promise.
    let user_data = unsafe { (class.on_create)(args) };
    give(Some(Arc::new(AIBinder(Kind::Own(Own {
        class,
        user_data,
        extension: Mutex::new(None),
    })))))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_incStrong(binder: *mut AIBinder) {
    // SAFETY: the caller's promise.
    give(unsafe { share(binder) });
}

/// # Safety
/// `binder` is null or an object of which the caller gives up one reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_decStrong(binder: *mut AIBinder) {
    if binder.is_null() {
        process::print_error(format_args!("AIBinder_decStrong: the binder is null"));
        return;
    }
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(binder.cast_const()) });
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_debugGetRefCount(binder: *mut AIBinder) -> i32 {
    // SAFETY: the caller's promise.
    match unsafe { share(binder) } {
        Some(binder) => i32::try_from(Arc::strong_count(&binder) - 1).unwrap_or(i32::MAX),
        None => -1,
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `class` is null or a class.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_associateClass(
    binder: *mut AIBinder,
    class: *const AIBinder_Class,
) -> bool {
    // SAFETY: the caller's promise; classes are never freed.
    match unsafe { (share(binder), class.as_ref()) } {
        (Some(binder), Some(class)) => binder.associate(class),
        _ => false,
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getClass(binder: *mut AIBinder) -> *const AIBinder_Class {
    // SAFETY: the caller's promise.
    let class = unsafe { binder.as_ref() }.and_then(AIBinder::class);
    class.map_or(ptr::null(), ptr::from_ref)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getUserData(binder: *mut AIBinder) -> *mut c_void {
    // SAFETY: the caller's promise.
    let own = unsafe { binder.as_ref() }.and_then(AIBinder::own);
    own.map_or(ptr::null_mut(), |own| own.user_data)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isRemote(binder: *const AIBinder) -> bool {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.is_some_and(|binder| binder.remote().is_some())
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isAlive(binder: *const AIBinder) -> bool {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.is_some_and(AIBinder::is_alive)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_ping(binder: *mut AIBinder) -> i32 {
    // SAFETY: the caller's promise.
    let binder = unsafe { share(binder) }.ok_or(StatusCode::UNEXPECTED_NULL);
    code(binder.and_then(|binder| {
        binder
            .call(PING_TRANSACTION, 0, Message::default())
            .map(drop)
    }))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `args` has `count` C strings.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_dump(
    binder: *mut AIBinder,
    fd: c_int,
    args: *const *const c_char,
    count: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(this) = (unsafe { binder.as_ref() }) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    match this.own().map(|own| own.class.on_dump()) {
        // SAFETY: the caller's promise is what the function asks for.
        Some(Some(dump)) => prune_status(StatusCode(unsafe { dump(binder, fd, args, count) })).0,
        Some(None) => StatusCode::OK.0,
        None => StatusCode::FDS_NOT_ALLOWED.0, // a peer's object cannot be given the descriptor
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `parcel` is null or has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_prepareTransaction(
    binder: *mut AIBinder,
    parcel: *mut *mut AParcel,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(this) = (unsafe { binder.as_ref() }).filter(|_| !parcel.is_null()) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let Some(class) = this.class() else {
        process::print_error(format_args!(
            "AIBinder_prepareTransaction: the object has no class yet (AIBinder_associateClass)"
        ));
        return StatusCode::INVALID_OPERATION.0;
    };
    let mut data = AParcel::for_target(binder);
    if class.has_token() {
        // A new parcel takes whatever is written.
        let _written = data.write(|parcel| parcel.write_str(&class.descriptor));
    }
    // SAFETY: the caller's promise.
    unsafe { parcel.write(data.give()) };
    StatusCode::OK.0
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `data` and `reply` are null or point to parcels, of
/// which `data` is given up.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_transact(
    binder: *mut AIBinder,
    transaction: u32,
    data: *mut *mut AParcel,
    reply: *mut *mut AParcel,
    flags: u32,
) -> i32 {
    if data.is_null() {
        return StatusCode::UNEXPECTED_NULL.0;
    }
    // SAFETY: the caller's promise.
    let input = unsafe { AParcel::take(data.replace(ptr::null_mut())) };
    if !(FIRST_CALL_TRANSACTION..=LAST_CALL_TRANSACTION).contains(&transaction) {
        return StatusCode::UNKNOWN_TRANSACTION.0;
    }
    if flags & !KNOWN_FLAGS != 0 {
        return StatusCode::BAD_VALUE.0;
    }
    // SAFETY: the caller's promise.
    let (Some(this), Some(input), false) = (unsafe { share(binder) }, input, reply.is_null())
    else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    if !input.is_for(binder) {
        process::print_error(format_args!(
            "AIBinder_transact: the parcel was prepared for another object"
        ));
        return StatusCode::BAD_VALUE.0;
    }
    // Flags of Android's kernel driver and its vendors end here.
    let oneway = flags & microbuild_rpc::FLAG_ONEWAY;
    let outcome = this.call(transaction, oneway, input.into_message());
    let (output, status) = match outcome {
        Ok(message) => (AParcel::received(message).give(), Ok(())),
        Err(status) => (ptr::null_mut(), Err(status)),
    };
    // SAFETY: the caller's promise.
    unsafe { reply.write(output) };
    code(status)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `extension` is null or has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getExtension(
    binder: *mut AIBinder,
    extension: *mut *mut AIBinder,
) -> i32 {
    if extension.is_null() {
        return StatusCode::UNEXPECTED_NULL.0;
    }
    // SAFETY: the caller's promise.
    let binder = unsafe { share(binder) }.ok_or(StatusCode::UNEXPECTED_NULL);
    let found = binder.and_then(|binder| {
        let reply = binder.call(EXTENSION_TRANSACTION, 0, Message::default())?;
        let mut reader = reply.parcel().reader();
        reply.read_object(&mut reader)
    });
    let (found, status) = match found {
        Ok(found) => (found, Ok(())),
        Err(status) => (None, Err(status)),
    };
    // SAFETY: the caller's promise.
    unsafe { extension.write(give(found)) };
    code(status)
}

/// # Safety
/// `binder` and `extension` are null or objects to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setExtension(
    binder: *mut AIBinder,
    extension: *mut AIBinder,
) -> i32 {
    // SAFETY: the caller's promise.
    let (Some(binder), Some(extension)) = (unsafe { (share(binder), share(extension)) }) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let Some(own) = binder.own() else {
        return StatusCode::INVALID_OPERATION.0;
    };
    let before = own.extension.with(|place| place.replace(extension));
    drop(before); // outside of the lock: its end may call anything
    StatusCode::OK.0
}

/// # Safety
/// The pointers are null or objects to which the caller has references.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_lt(left: *const AIBinder, right: *const AIBinder) -> bool {
    left < right
}
