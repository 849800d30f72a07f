//! `android/binder_stability.h`: which part of an Android system an interface belongs to. Here there is one part.

use super::binder::AIBinder;

macro_rules! nothing_to_mark {
    ($($name:ident)*) => { $(
        /// # Safety
        /// Takes any pointer.
        #[no_mangle]
        pub unsafe extern "C" fn $name(_binder: *mut AIBinder) {}
    )* };
}

nothing_to_mark! {
    AIBinder_markSystemStability
    AIBinder_markVendorStability
    AIBinder_markVintfStability
    AIBinder_forceDowngradeToSystemStability
    AIBinder_forceDowngradeToVendorStability
}
