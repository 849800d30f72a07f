//! The C headers: each compiles alone, and together they declare what the library exports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
const HEADERS: [&str; 13] = [
    "vm_main.h",
    "vm_payload.h",
    "vm_payload_restricted.h",
    "android/binder_auto_utils.h",
    "android/binder_ibinder.h",
    "android/binder_ibinder_platform.h",
    "android/binder_manager.h",
    "android/binder_parcel.h",
    "android/binder_process.h",
    "android/binder_rpc_unstable.h",
    "android/binder_stability.h",
    "android/binder_status.h",
    "android/log.h",
];

/// What a payload made for Android may name: the functions of libbinder_ndk up to level 36 and of libvm_payload, but for
/// those that need Java, a service manager beyond "there is none", or persistable bundles.
const EXPECTED: &str = include_str!("symbols.txt");

/// Builds the library, which tests do not link and cargo therefore leaves out.
fn library() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap();
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            "microbuild-vm-payload",
        ])
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    folder.join("libvm_payload.so")
}

/// Checks a header alone; false where the compiler does not know the language.
fn compiles(language: &str, standard: &str, header: &str) -> bool {
    let output = Command::new("cc")
        .args([
            "-x",
            language,
            standard,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
        ])
        .args(["-I", INCLUDE, "-include", header, "/dev/null"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    // gcc's own words when only its C half is installed.
    if message.contains("cannot execute") && message.contains("cc1plus") {
        return false;
    }
    assert!(output.status.success(), "{header} as {standard}: {message}");
    true
}

#[test]
fn each_header_stands_alone_in_c() {
    assert!(HEADERS
        .iter()
        .all(|header| compiles("c", "-std=c11", header)));
}

#[test]
fn each_header_stands_alone_in_cpp() {
    if !HEADERS
        .iter()
        .all(|header| compiles("c++", "-std=c++17", header))
    {
        eprintln!("skipped: there is no C++ compiler");
    }
}

/// Words of a text that name functions of the API.
fn api_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            let prefixes = [
                "ABinderProcess_",
                "AIBinder_",
                "AParcel_",
                "ARpcServer_",
                "ARpcSession_",
                "AServiceManager_",
                "AStatus_",
                "AVmAttestationResult_",
                "AVmAttestationStatus_",
                "AVmPayload_",
            ];
            prefixes.iter().any(|prefix| word.starts_with(prefix))
        })
}

#[test]
fn the_headers_declare_what_the_library_exports_and_nothing_else() {
    let mut declared = BTreeSet::new();
    for header in HEADERS {
        let text = std::fs::read_to_string(Path::new(INCLUDE).join(header)).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.starts_with([' ', '/', '_', '#']))
            .filter(|line| {
                !["typedef", "static", "class"]
                    .iter()
                    .any(|word| line.starts_with(word))
            })
        {
            // A declaration's name is the last word before its first parenthesis.
            let head = line.split('(').next().unwrap_or_default();
            declared.extend(api_names(head).last().map(str::to_owned));
        }
    }
    // The payload's.
    declared.remove("AVmPayload_main");
    let output = Command::new("readelf")
        .args(["-W", "--dyn-syms"])
        .arg(library())
        .output()
        .unwrap();
    assert!(output.status.success());
    let symbols = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<String> = symbols
        .lines()
        .filter(|line| !line.contains(" UND "))
        .filter_map(|line| line.split_whitespace().nth(7))
        .flat_map(api_names)
        .map(str::to_owned)
        .collect();
    assert_eq!(declared, exported);
    let expected: BTreeSet<String> = EXPECTED.split_whitespace().map(str::to_owned).collect();
    assert_eq!(expected, exported);
}
