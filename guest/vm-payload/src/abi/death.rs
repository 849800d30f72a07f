//! `AIBinder_DeathRecipient`: who is told that a peer's object is gone.

use super::binder::{share, AIBinder};
use super::code;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use microbuild_rpc::StatusCode;
use microbuild_sys::payload::process;
use microbuild_sys::payload::thread::Mutex;

/// Takes the cookie that was given when the link was made.
type OnEvent = unsafe extern "C" fn(*mut c_void);

/// What C code holds by a pointer: the pointer of an `Arc`.
pub struct AIBinder_DeathRecipient {
    on_died: OnEvent,
    /// An `OnEvent`, or null.
    on_unlinked: AtomicPtr<c_void>,
    /// Objects that it was linked to, to be found when it is deleted.
    objects: Mutex<Vec<Weak<AIBinder>>>,
}

impl AIBinder_DeathRecipient {
    fn died(&self, cookie: Cookie) {
        // SAFETY: the function takes what it was linked with, by the header's word.
        unsafe { (self.on_died)(cookie.0) };
        self.unlinked(cookie);
    }

    fn unlinked(&self, cookie: Cookie) {
        let function = self.on_unlinked.load(Ordering::Acquire);
        // SAFETY: null, or stored by `setOnUnlinked`; an `Option` of a function is a pointer that may be null.
        let function = unsafe { mem::transmute::<*mut c_void, Option<OnEvent>>(function) };
        if let Some(function) = function {
            // SAFETY: as for `died`.
            unsafe { function(cookie.0) };
        }
    }
}

/// What the recipient's functions are called with.
#[derive(Clone, Copy, PartialEq)]
struct Cookie(*mut c_void);

// SAFETY: it is passed to the recipient's functions and nothing else; those are called from any thread, by the header's word.
unsafe impl Send for Cookie {}

struct Link {
    recipient: Weak<AIBinder_DeathRecipient>,
    cookie: Cookie,
}

/// The links of one object of the peer.
pub struct Links(Mutex<Vec<Link>>);

impl Default for Links {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl Links {
    fn take_all(&self) -> Vec<Link> {
        self.0.with(mem::take)
    }

    /// The object's session has ended.
    pub fn died(&self) {
        for link in self.take_all() {
            if let Some(recipient) = link.recipient.upgrade() {
                recipient.died(link.cookie);
            }
        }
    }

    /// Nobody holds the object any more.
    pub fn unlink_all(&self) {
        for link in self.take_all() {
            if let Some(recipient) = link.recipient.upgrade() {
                recipient.unlinked(link.cookie);
            }
        }
    }

    /// Removes the links of a recipient, or the last one of them with a cookie.
    fn take(&self, recipient: *const AIBinder_DeathRecipient, cookie: Option<Cookie>) -> Vec<Link> {
        let fits = |link: &Link| {
            link.recipient.as_ptr() == recipient
                && cookie.is_none_or(|cookie| cookie == link.cookie)
        };
        self.0.with(|links| match cookie {
            Some(_) => {
                let last = links.iter().rposition(fits);
                last.map(|at| links.remove(at)).into_iter().collect()
            }
            None => {
                let (taken, kept) = mem::take(links).into_iter().partition(|link| fits(link));
                *links = kept;
                taken
            }
        })
    }
}

/// # Safety
/// The function is what its type says.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_DeathRecipient_new(
    on_died: Option<OnEvent>,
) -> *mut AIBinder_DeathRecipient {
    let Some(on_died) = on_died else {
        return ptr::null_mut();
    };
    let recipient = Arc::new(AIBinder_DeathRecipient {
        on_died,
        on_unlinked: AtomicPtr::default(),
        objects: Mutex::new(Vec::new()),
    });
    Arc::into_raw(recipient).cast_mut()
}

/// # Safety
/// `recipient` is null or a recipient that is not deleted; the function is what its type says.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_DeathRecipient_setOnUnlinked(
    recipient: *mut AIBinder_DeathRecipient,
    on_unlinked: Option<OnEvent>,
) {
    // SAFETY: the caller's promise.
    if let Some(recipient) = unsafe { recipient.as_ref() } {
        let function = on_unlinked.map_or(ptr::null_mut(), |function| function as *mut c_void);
        recipient.on_unlinked.store(function, Ordering::Release);
    }
}

/// # Safety
/// `recipient` is null or a recipient that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_DeathRecipient_delete(recipient: *mut AIBinder_DeathRecipient) {
    if recipient.is_null() {
        return;
    }
    // SAFETY: `new` gave it away. Who tells of a death at this moment holds a reference of his own.
    let recipient = unsafe { Arc::from_raw(recipient.cast_const()) };
    for object in recipient.objects.with(mem::take) {
        if let Some(object) = object.upgrade() {
            let links = object
                .links()
                .map(|links| links.take(Arc::as_ptr(&recipient), None));
            for link in links.unwrap_or_default() {
                recipient.unlinked(link.cookie);
            }
        }
    }
}

/// A reference of its own to a recipient of the caller's.
///
/// # Safety
/// `recipient` is null or a recipient that is not deleted.
unsafe fn share_recipient(
    recipient: *mut AIBinder_DeathRecipient,
) -> Option<Arc<AIBinder_DeathRecipient>> {
    if recipient.is_null() {
        return None;
    }
    // SAFETY: the caller's promise. The caller's reference stays.
    let theirs = mem::ManuallyDrop::new(unsafe { Arc::from_raw(recipient.cast_const()) });
    Some(Arc::clone(&theirs))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `recipient` is null or not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_linkToDeath(
    binder: *mut AIBinder,
    recipient: *mut AIBinder_DeathRecipient,
    cookie: *mut c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let pair = unsafe { (share(binder), share_recipient(recipient)) };
    let (Some(binder), Some(recipient)) = pair else {
        process::print_error(format_args!(
            "AIBinder_linkToDeath: the binder or the recipient is null"
        ));
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let cookie = Cookie(cookie);
    let Some(links) = binder.links() else {
        recipient.unlinked(cookie);
        return StatusCode::INVALID_OPERATION.0; // an own object does not die before its process
    };
    links.0.with(|links| {
        links.push(Link {
            recipient: Arc::downgrade(&recipient),
            cookie,
        });
    });
    recipient.objects.with(|objects| {
        objects.retain(|object| object.strong_count() > 0);
        objects.push(Arc::downgrade(&binder));
    });
    if binder.is_alive() {
        return StatusCode::OK.0;
    }
    // It is dead. If the link is still there, nobody will come to tell.
    let untold = links.take(Arc::as_ptr(&recipient), Some(cookie));
    for link in &untold {
        recipient.unlinked(link.cookie);
    }
    code(match untold.is_empty() {
        true => Ok(()),
        false => Err(StatusCode::DEAD_OBJECT),
    })
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `recipient` is null or not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_unlinkToDeath(
    binder: *mut AIBinder,
    recipient: *mut AIBinder_DeathRecipient,
    cookie: *mut c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let pair = unsafe { (share(binder), share_recipient(recipient)) };
    let (Some(binder), Some(recipient)) = pair else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let taken = binder
        .links()
        .map(|links| links.take(Arc::as_ptr(&recipient), Some(Cookie(cookie))));
    let taken = taken.unwrap_or_default();
    for link in &taken {
        recipient.unlinked(link.cookie);
    }
    code(match taken.is_empty() {
        false => Ok(()),
        true => Err(StatusCode::NAME_NOT_FOUND),
    })
}
