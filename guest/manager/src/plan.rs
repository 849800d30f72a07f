//! What to run: from the metadata, or from the configuration file in the APK that it names.

use crate::payload_config::{ConfigError, PayloadConfig, Task, CONFIG_SIZE_MAX};
use microbuild_dice::PayloadConfig as NamedBy;
use microbuild_formats::payload_metadata::Payload;

use crate::apk_disk::Apk;
use crate::failure::Failure;
use crate::payload_process::library_entry;

const LINK: &str = "payload-config";
/// Where the payload will see its APK.
const APK_DIRECTORY: &str = "/mnt/apk/";

/// Reads it through dm-verity. What it names is there, and it wants as many extra APKs as there are.
pub fn read(payload: &Payload, apks: &[Apk]) -> Result<(NamedBy, PayloadConfig), Failure> {
    let refuse = |text: String| Failure::config(LINK, text);
    let Some((apk, extra)) = apks.split_first() else {
        return Err(refuse("there is no APK".to_owned()));
    };
    let (named_by, config) = match payload {
        Payload::Config {
            payload_binary_name: library,
            extra_apk_count,
        } => {
            let count = usize::try_from(*extra_apk_count).unwrap_or(usize::MAX);
            let config = PayloadConfig::for_library(library, count)
                .map_err(|error| refuse(error.to_string()))?;
            (NamedBy::Binary(library.clone()), config)
        }
        Payload::ConfigPath(path) => {
            let cannot = |error: ConfigError| refuse(format!("{path}: {error}"));
            let missing = || refuse(format!("there is no configuration file {path}"));
            let name = path.strip_prefix(APK_DIRECTORY).ok_or_else(missing)?;
            let text = apk.read(name, CONFIG_SIZE_MAX)?.ok_or_else(missing)?;
            let config = PayloadConfig::parse(&text).map_err(cannot)?;
            (NamedBy::Path(path.clone()), config)
        }
    };
    if config.extra_apk_count != extra.len() {
        return Err(refuse(format!(
            "config expects {} extra apks, but found {}",
            config.extra_apk_count,
            extra.len()
        )));
    }
    if let Some(missing) = missing_file(&config.task, apk) {
        return Err(refuse(format!("the APK has no {missing}")));
    }
    Ok((named_by, config))
}

/// A program of the system is looked for when it is started.
fn missing_file(task: &Task, apk: &Apk) -> Option<String> {
    let name = match task {
        Task::Launcher { library } => library_entry(library),
        Task::Executable { path, .. } => path.strip_prefix(APK_DIRECTORY)?.to_owned(),
    };
    let is_there = apk.archive.files.iter().any(|entry| entry.name == name);
    (!is_there).then_some(name)
}
