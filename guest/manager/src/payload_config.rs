//! What to run, and with what: Android's `VmPayloadConfig`, a JSON file inside the payload's APK.
//!
//! AOSP Virtualization libs/libmicrodroid_payload_metadata/config. Keys that Android does not know are ignored, as Android
//! does; keys that Android knows are read with its types, and refused where this guest cannot do what they ask for:
//! a payload must not run under another arrangement than the one that its signer wrote down.

use std::fmt;

use crate::json::{self, Value};

mod fields;
use fields::Fields;

/// Of the file. Android's own are below 1 KiB.
pub const CONFIG_SIZE_MAX: u64 = 64 * 1024;
const TASK_ARGUMENT_COUNT_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadConfig {
    pub task: Task,
    /// How many extra APKs it wants; their paths are the host's.
    pub extra_apk_count: usize,
    /// A hint that transparent huge pages would help.
    pub hugepages: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// The file name of a library below the APK's folder for this machine.
    Launcher { library: String },
    /// An absolute path, and the arguments behind it.
    Executable {
        path: String,
        arguments: Vec<String>,
    },
}

/// Why a configuration cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl PayloadConfig {
    /// What a payload without a file gets: its library, run by the launcher.
    ///
    /// # Errors
    /// When the library is not a file name.
    pub fn for_library(library: &str, extra_apk_count: usize) -> Result<Self, ConfigError> {
        Ok(Self {
            task: launcher(library)?,
            extra_apk_count,
            hugepages: false,
        })
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it is not JSON, a known key has another type, or it asks for what this guest does not do.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let value = json::parse(text)
            .map_err(|error| ConfigError::new(format!("it is not JSON: {error}")))?;
        let config = Fields::of(&value, "the configuration")?;
        check_os(&config)?;
        let extra_apks = config.list("extra_apks")?;
        for apk in extra_apks {
            Fields::of(apk, "extra_apks")?.required_text("path")?;
        }
        if let Some(apex) = config.list("apexes")?.first() {
            let name = Fields::of(apex, "apexes")?.required_text("name")?;
            return Err(ConfigError::new(format!(
                "it asks for the APEX {name}: APEXes are not supported"
            )));
        }
        refuse_what_is_missing_here(&config)?;
        // Nothing makes tombstones: the signal that ended a payload is told in any case, and nothing more in none.
        config.flag("export_tombstones")?;
        let task = config
            .value("task")?
            .ok_or_else(|| ConfigError::new("No task in VM config"))?;
        Ok(Self {
            task: read_task(&Fields::of(task, "task")?)?,
            extra_apk_count: extra_apks.len(),
            hugepages: config.required_flag("hugepages")?,
        })
    }
}

/// An old key with one value that ever meant something.
fn check_os(config: &Fields<'_>) -> Result<(), ConfigError> {
    let Some(os) = config.present("os")? else {
        return Ok(());
    };
    match Fields::of(os, "os")?.required_text("name")? {
        "" | "microdroid" => Ok(()),
        other => Err(ConfigError::new(format!(
            "os.name is {other}: leave it out, or write microdroid"
        ))),
    }
}

fn refuse_what_is_missing_here(config: &Fields<'_>) -> Result<(), ConfigError> {
    let refusals = [
        (
            "enable_authfs",
            "there is no authfs to reach files of the host",
        ),
        (
            "prefer_staged",
            "there are no APEXes, and so no staged ones",
        ),
        ("run_as_root", "a payload never runs as root"),
        (
            "delay_encrypted_store_setup",
            "there is no encrypted store to set up",
        ),
        ("dm_default_key", "there is no encrypted store to set up"),
    ];
    for (key, why) in refusals {
        if config.required_flag(key)? {
            return Err(ConfigError::new(format!("it asks for {key}: {why}")));
        }
    }
    if !config.list("tenants")?.is_empty() {
        return Err(ConfigError::new(
            "it names tenants: a machine runs one payload",
        ));
    }
    if config.value("cgroup_config")?.is_some() {
        return Err(ConfigError::new(
            "it asks for cgroup_config: there are no control groups",
        ));
    }
    Ok(())
}

fn read_task(task: &Fields<'_>) -> Result<Task, ConfigError> {
    let command = task.required_text("command")?;
    if task.value("selinux_type")?.is_some() {
        return Err(ConfigError::new(
            "the task asks for a selinux_type: there is no SELinux",
        ));
    }
    let arguments = match task.value("command_args")? {
        None => None,
        Some(Value::Array(arguments)) => Some(read_arguments(arguments)?),
        Some(_) => return Err(task.wrong_type("command_args")),
    };
    // What Android takes where the type is missing.
    match task.text("type")?.unwrap_or("executable") {
        "executable" => executable(command, arguments.unwrap_or_default()),
        "microdroid_launcher" if arguments.is_some() => Err(ConfigError::new(
            "command_args are for executables, not for libraries",
        )),
        "microdroid_launcher" => launcher(command),
        other => Err(ConfigError::new(format!(
            "the task's type is {other}: it must be executable or microdroid_launcher"
        ))),
    }
}

fn read_arguments(arguments: &[Value]) -> Result<Vec<String>, ConfigError> {
    if arguments.len() > TASK_ARGUMENT_COUNT_MAX {
        return Err(ConfigError::new("the task has too many command_args"));
    }
    let read = |argument: &Value| match argument {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        _ => Err(ConfigError::new(
            "each of command_args must be a string without NUL",
        )),
    };
    arguments.iter().map(read).collect()
}

fn launcher(library: &str) -> Result<Task, ConfigError> {
    if matches!(library, "" | "." | "..") || library.contains(['/', '\0']) {
        return Err(ConfigError::new(
            "the payload's library must be a file name",
        ));
    }
    Ok(Task::Launcher {
        library: library.to_owned(),
    })
}

/// Nothing looks for a program: where it is, is part of what was signed.
fn executable(path: &str, arguments: Vec<String>) -> Result<Task, ConfigError> {
    let is_plain = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."))
    });
    if !is_plain || path.contains('\0') {
        return Err(ConfigError::new(
            "the command of an executable task must be an absolute path without . and ..",
        ));
    }
    Ok(Task::Executable {
        path: path.to_owned(),
        arguments,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PayloadConfig, ConfigError> {
        PayloadConfig::parse(text.as_bytes())
    }

    fn task(library: &str) -> Task {
        Task::Launcher {
            library: library.into(),
        }
    }

    #[test]
    fn task_of_both_types_is_read() {
        let config = parse(
            r#"{"version":1,"os":{"name":"microdroid"},"task":{"type":"microdroid_launcher","command":"a.so"},
                "extra_apks":[{"path":"/x.apk"},{"path":""}],"export_tombstones":true,"hugepages":true,"unknown":{}}"#,
        );
        let expected = PayloadConfig {
            task: task("a.so"),
            extra_apk_count: 2,
            hugepages: true,
        };
        assert_eq!(config, Ok(expected));
        let config = parse(r#"{"task":{"command":"/mnt/apk/bin/a","command_args":["-v",""]}}"#);
        let expected = Task::Executable {
            path: "/mnt/apk/bin/a".into(),
            arguments: vec!["-v".into(), String::new()],
        };
        assert_eq!(config.map(|config| config.task), Ok(expected));
    }

    #[test]
    fn only_microdroid_is_an_os() {
        let with_os = |os: &str| parse(&format!(r#"{{"os":{os},"task":{{"command":"/a"}}}}"#));
        assert!(with_os(r#"{"name":""}"#).is_ok());
        assert!(with_os(r#"{"name":"microdroid"}"#).is_ok());
        for bad in [
            r#"{"name":"microdroid_gki"}"#,
            "{}",
            "null",
            "[]",
            r#"{"name":1}"#,
        ] {
            assert!(with_os(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn configuration_without_a_task_is_refused_in_androids_words() {
        for text in ["{}", r#"{"task":null}"#, r#"{"export_tombstones":true}"#] {
            assert_eq!(parse(text), Err(ConfigError::new("No task in VM config")));
        }
    }

    #[test]
    fn what_this_guest_does_not_do_is_refused_by_name() {
        for (member, word) in [
            (
                r#""apexes":[{"name":"com.android.art"}]"#,
                "com.android.art",
            ),
            (r#""enable_authfs":true"#, "authfs"),
            (r#""prefer_staged":true"#, "staged"),
            (r#""run_as_root":true"#, "root"),
            (r#""delay_encrypted_store_setup":true"#, "store"),
            (r#""dm_default_key":true"#, "store"),
            (r#""tenants":[{}]"#, "tenants"),
            (r#""cgroup_config":{}"#, "cgroup"),
        ] {
            let refused = parse(&format!(r#"{{"task":{{"command":"/a"}},{member}}}"#));
            let ConfigError(text) = refused.expect_err(member);
            assert!(text.contains(word), "{text}");
        }
        let harmless = r#"{"task":{"command":"/a"},"apexes":[],"enable_authfs":false,"prefer_staged":false,"tenants":[],
            "run_as_root":false,"export_tombstones":null,"cgroup_config":null}"#;
        assert!(parse(harmless).is_ok());
    }

    #[test]
    fn commands_name_one_file_and_no_other() {
        let with_task = |task: &str| parse(&format!(r#"{{"task":{task}}}"#));
        for bad in [
            r#"{"type":"microdroid_launcher"}"#,
            r#"{"type":"microdroid_launcher","command":"a/b.so"}"#,
            r#"{"type":"microdroid_launcher","command":".."}"#,
            r#"{"type":"microdroid_launcher","command":"a\u0000"}"#,
            r#"{"type":"microdroid_launcher","command":"a.so","command_args":[]}"#,
            r#"{"type":"shell","command":"a"}"#,
            r#"{"type":null,"command":"/a"}"#,
            r#"{"command":"a"}"#,
            r#"{"command":"bin/a"}"#,
            r#"{"command":"/a/../b"}"#,
            r#"{"command":"//a"}"#,
            r#"{"command":"/"}"#,
            r#"{"command":"/a/"}"#,
            r#"{"command":"/a","command_args":[1]}"#,
            r#"{"command":"/a","command_args":["\u0000"]}"#,
            r#"{"command":"/a","command_args":"x"}"#,
            r#"{"command":"/a","selinux_type":"x"}"#,
            r#"["executable","/a"]"#,
        ] {
            assert!(with_task(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_that_counts_is_there_once() {
        let task = r#""task":{"command":"/a"}"#;
        assert!(parse(&format!("{{{task},{task}}}")).is_err());
        assert!(parse(&format!(
            r#"{{{task},"hugepages":false,"hugepages":false}}"#
        ))
        .is_err());
        assert!(parse(&format!(r#"{{{task},"note":1,"note":2}}"#)).is_ok());
    }
}
