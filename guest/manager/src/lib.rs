//! PID 1 once the system image is mounted: verifies the payload, runs it, tells the host how it went, powers off.
//!
//! In Android's order: AOSP Virtualization guest/microdroid_manager. There it is a program of the system image; here it is
//! part of init, which is verified before it and so vouches for the image, not the other way round: one program less
//! is read, hashed and started.

#![forbid(unsafe_code)]

mod apk_disk;
mod contents;
mod failure;
mod host;
pub mod json;
mod keystore;
mod local_service;
mod metadata;
pub mod payload_config;
mod payload_log;
mod payload_process;
mod payload_root;
mod payload_service;
mod plan;
mod secrets;
mod settings;
mod trust;
pub mod verify;

use std::panic;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use microbuild_dice::PayloadMeasurement;
use microbuild_sys::kernel::console::{report_phase, report_refusal, say};
use microbuild_sys::kernel::power::power_off;

use apk_disk::Apk;
use contents::Programs;
use failure::{Failure, Reason};
use host::Host;
use payload_config::PayloadConfig;
use payload_root::PayloadRoot;
use secrets::Secrets;

/// Shared with the service that the payload calls.
pub type SharedHost = Arc<Mutex<Host>>;

/// From here to power-off. The caller is PID 1, in the root of the system image.
///
/// `partitions` are the places where further images are mounted in it, outer ones first.
pub fn run(partitions: &[PathBuf]) -> ! {
    end_with_a_panic();
    report_phase("manager");
    match connect() {
        Err(failure) => report(&failure),
        Ok(host) => {
            if let Err(failure) = run_payload(&host, partitions) {
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

/// A panic of any thread ends the machine as every failure does: said, and powered off.
fn end_with_a_panic() {
    panic::set_hook(Box::new(|panic| {
        let text = format!("the manager panicked: {panic}");
        report(&Failure::runtime(Reason::Unknown, text));
        power_off()
    }));
}

fn report(failure: &Failure) {
    report_refusal(failure.reason.name(), failure.link, &failure.text);
}

/// What must work before the host can be told of anything.
fn connect() -> Result<SharedHost, Failure> {
    let unreachable =
        |error: host::ConnectError| Failure::runtime(Reason::NoHostService, error.to_string());
    Ok(Arc::new(Mutex::new(Host::connect().map_err(unreachable)?)))
}

fn run_payload(host: &SharedHost, partitions: &[PathBuf]) -> Result<(), Failure> {
    let trusted = trust::read()?;
    let is_debuggable = settings::is_debuggable()?;
    let disk = metadata::read()?;
    report_phase("metadata");
    let apks = apk_disk::open_all(&disk.apks, &trusted)?;
    let (named_by, config) = plan::read(&disk.payload, &apks)?;
    let measurement = PayloadMeasurement {
        apks: apks.iter().map(|apk| apk.measurement.clone()).collect(),
        config: named_by,
        debuggable: is_debuggable,
    };
    let secrets = Secrets::derive(host, &measurement)?;
    show_to_payload(partitions, apks, &config)?;
    report_phase("apk");
    payload_service::start(host, secrets)?;
    let unheard =
        |error: microbuild_rpc::Error| Failure::runtime(Reason::Unknown, error.to_string());
    lock(host).notify_payload_started().map_err(unheard)?;
    report_phase("payload");
    let code = payload_process::run(&config.task)?;
    lock(host).notify_payload_finished(code).map_err(unheard)?;
    report_phase("finished");
    Ok(())
}

/// Everything that the payload will find, and nothing of it can be changed any more.
fn show_to_payload(
    partitions: &[PathBuf],
    apks: Vec<Apk>,
    config: &PayloadConfig,
) -> Result<(), Failure> {
    payload_root::make_socket_directory()?;
    let root = PayloadRoot::prepare(partitions, config.extra_apk_count)?;
    for (index, apk) in apks.into_iter().enumerate() {
        // As on Android: what extra APKs hold is data.
        let programs = match index {
            0 => Programs::Allowed,
            _ => Programs::Refused,
        };
        contents::show(apk, &PayloadRoot::apk_mount_point(index), programs)?;
    }
    root.seal()?;
    settings::prefer_huge_pages(config.hugepages);
    Ok(())
}

/// A thread that panics ends the machine, so a poisoned lock is never met.
fn lock(host: &SharedHost) -> std::sync::MutexGuard<'_, Host> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}
