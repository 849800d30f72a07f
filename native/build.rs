//! Keeps the library in memory until the process ends. Node unloads it before the threads of its pool end, and these
//! still run the destructors of the thread-local values that the standard library made on them.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
