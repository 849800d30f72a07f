//! PID 1 of the system image: verifies the payload, runs it, tells the host how it went, powers off.
//!
//! In Android's order: AOSP Virtualization guest/microdroid_manager.

#![forbid(unsafe_code)]

mod apk_disk;
mod config;
mod contents;
mod failure;
mod host;
mod launcher;
mod mounts;
mod payload_service;
mod trust;

use std::sync::{Arc, Mutex, PoisonError};

use microbuild_sys::kernel::console::{report_phase, report_refusal, say};
use microbuild_sys::kernel::power::power_off;

use failure::{Failure, Reason};
use host::Host;

/// Shared with the service that the payload calls.
pub type SharedHost = Arc<Mutex<Host>>;

fn main() {
    report_phase("manager");
    match start() {
        Err(failure) => report(&failure),
        Ok(host) => {
            if let Err(failure) = run_payload(&host) {
                report(&failure);
                let mut host = lock(&host);
                if let Err(error) = host.notify_error(failure.reason.error_code(), &failure.text) {
                    say(&format!("cannot tell the host: {error}"));
                }
            }
        }
    }
    power_off()
}

fn report(failure: &Failure) {
    report_refusal(failure.reason.name(), failure.link, &failure.text);
}

/// What must work before the host can be told of anything.
fn start() -> Result<SharedHost, Failure> {
    mounts::mount_all()?;
    let unreachable =
        |error: host::ConnectError| Failure::runtime(Reason::NoHostService, error.to_string());
    Ok(Arc::new(Mutex::new(Host::connect().map_err(unreachable)?)))
}

fn run_payload(host: &SharedHost) -> Result<(), Failure> {
    let trusted = trust::read()?;
    let config = config::read()?;
    report_phase("metadata");
    let apk = apk_disk::open(&config)?;
    let entries = apk.verify(&trusted)?;
    let library = contents::extract(&apk, &entries, &config.library)?;
    report_phase("apk");
    payload_service::start(host)?;
    let unheard =
        |error: microbuild_rpc::Error| Failure::runtime(Reason::Unknown, error.to_string());
    lock(host).notify_payload_started().map_err(unheard)?;
    report_phase("payload");
    let code = launcher::run(&library)?;
    lock(host).notify_payload_finished(code).map_err(unheard)?;
    report_phase("finished");
    Ok(())
}

/// A thread that panics ends the machine (panic = abort), so a poisoned lock is never met.
fn lock(host: &SharedHost) -> std::sync::MutexGuard<'_, Host> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}
