//! Bootconfigs of Android's Microdroid.

mod support;

use std::fs;

use microbuild_formats::bootconfig::Bootconfig;

#[test]
fn microdroids_own_bootconfigs_parse() {
    let Some(folder) = support::corpus("bootconfig") else {
        return;
    };
    let read = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).expect("readable");
        Bootconfig::parse(&text).expect(name)
    };
    assert_eq!(
        read("bootconfig.normal").value("androidboot.microdroid.debuggable"),
        Some("0")
    );
    assert_eq!(
        read("bootconfig.debuggable").value("kernel.console"),
        Some("hvc0")
    );
    assert_eq!(
        read("bootconfig.common").value("androidboot.hardware"),
        Some("microdroid")
    );
    let devices = read("bootconfig.x86_64");
    assert_eq!(devices.values("androidboot.boot_devices").len(), 4);
    assert_eq!(
        devices.values("androidboot.boot_devices")[0],
        "pci0000:00/0000:00:04.0"
    );
}
