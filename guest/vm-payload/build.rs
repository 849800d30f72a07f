//! The library's name as payloads record it.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libvm_payload.so");
    println!("cargo:rerun-if-changed=build.rs");
}
