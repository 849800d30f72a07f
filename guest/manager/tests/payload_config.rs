//! Android's own configuration files, and what serde makes of each of them.

mod support;

use std::fs;

use microbuild_manager::payload_config::{PayloadConfig, Task};
use serde_json::Value;

/// What the file asks for, by Android's types, and whether this guest can do it.
fn expected(config: &Value) -> Option<PayloadConfig> {
    let list = |key: &str| config[key].as_array().map_or(0, Vec::len);
    let is_set = |key: &str| config[key].as_bool().unwrap_or(false);
    let os = config["os"]["name"].as_str().unwrap_or("");
    let is_refused = !["", "microdroid"].contains(&os)
        || list("apexes") > 0
        || list("tenants") > 0
        || ["enable_authfs", "prefer_staged", "run_as_root"]
            .iter()
            .any(|key| is_set(key));
    let command = config["task"]["command"].as_str()?.to_owned();
    let task = match config["task"]["type"].as_str().unwrap_or("executable") {
        "microdroid_launcher" => Task::Launcher { library: command },
        _ => Task::Executable {
            path: command,
            arguments: vec![],
        },
    };
    (!is_refused).then(|| PayloadConfig {
        task,
        extra_apk_count: list("extra_apks"),
        hugepages: is_set("hugepages"),
    })
}

#[test]
fn files_of_android_mean_here_what_they_mean_there_or_are_refused() {
    let Some(folder) = support::corpus("config") else {
        return;
    };
    let (mut accepted, mut refused) = (0, 0);
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read(&path).expect("readable");
        let oracle = serde_json::from_slice(&text).expect("Android's files are JSON");
        let config = PayloadConfig::parse(&text);
        assert_eq!(
            config.as_ref().ok(),
            expected(&oracle).as_ref(),
            "{}: {config:?}",
            path.display()
        );
        match config {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted >= 4 && refused >= 4,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn any_bytes_are_a_configuration_or_an_error() {
    let seed = br#"{"os":{"name":""},"task":{"type":"executable","command":"/a","command_args":["b"]},"extra_apks":[{"path":""}]}"#;
    assert!(PayloadConfig::parse(seed).is_ok());
    for place in 0..seed.len() {
        for byte in [
            0, b'"', b'{', b'}', b'[', b']', b',', b':', b'\\', b'0', b'n', 0x80, 0xff,
        ] {
            let mut text = seed.to_vec();
            text[place] = byte;
            let _ = PayloadConfig::parse(&text);
            let _ = PayloadConfig::parse(&text[..place]);
        }
    }
}
