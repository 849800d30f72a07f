//! Package and version as the guest reads them, for comparison with other readers of binary manifests.

mod support;

use microbuild_formats::android_manifest::decode_manifest;

fn main() -> std::io::Result<()> {
    support::answer_each(|file| match decode_manifest(file) {
        Ok(manifest) => format!("{} {}", manifest.package, manifest.version_code),
        Err(error) => format!("error: {error}"),
    })
}
