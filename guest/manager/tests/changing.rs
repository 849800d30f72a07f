//! APKs that change while they are verified: whoever is told to have signed has signed all that was read.

mod support;

use std::cell::Cell;
use std::fs;
use std::io;

use microbuild_formats::apk::find_sections;
use microbuild_formats::ReadAt;
use microbuild_manager::verify::{verify_v3, VerifiedApk, VerifyError, PLATFORM_SDK};

/// Read number `n` is answered by the second file where bit `n` of the plan is set.
struct Changing<'a> {
    files: [&'a [u8]; 2],
    plan: u64,
    reads: Cell<u32>,
}

impl ReadAt for Changing<'_> {
    fn size(&self) -> u64 {
        self.files[0].len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let number = self.reads.get();
        self.reads.set(number + 1);
        let file = self.files[usize::from(self.plan >> number.min(63) & 1 == 1)];
        file.read_exact_at(buffer, offset)
    }
}

fn verify(source: &(impl ReadAt + ?Sized)) -> Result<VerifiedApk, VerifyError> {
    verify_v3(source, &find_sections(source)?, PLATFORM_SDK)
}

/// Every verdict of acceptance is that on one of the files alone.
fn never_mixes(files: [&[u8]; 2]) -> usize {
    let pure: Vec<VerifiedApk> = files.iter().filter_map(|file| verify(*file).ok()).collect();
    let once = (0..12).flat_map(|at| [!0 << at, !(!0 << at)]);
    // A verification reads seven to a dozen times: all ways to answer the first eight, and what comes after.
    let all = (0..256u64).flat_map(|plan| [plan, plan | !0 << 8]);
    let mut accepted = 0;
    for plan in once.chain(all) {
        let reads = Cell::new(0);
        let source = Changing { files, plan, reads };
        if let Ok(found) = verify(&source) {
            assert!(pure.contains(&found), "plan {plan:#x} mixes");
            accepted += 1;
        }
    }
    accepted
}

/// Same length for both: zeros behind the shorter one, as in a partition.
fn padded(apk: &[u8], size: usize) -> Vec<u8> {
    let mut padded = apk.to_vec();
    padded.resize(size, 0);
    padded
}

#[test]
fn two_signers_are_never_taken_for_each_other() {
    let Some(folder) = support::corpus("apkverify") else {
        return;
    };
    let read = |name: &str| fs::read(folder.join(name)).expect("readable");
    let signed = [
        "v3-only-with-rsa-pkcs1-sha512-1024.apk",
        "v3-only-with-rsa-pkcs1-sha512-2048.apk",
        "v3-only-with-rsa-pkcs1-sha256-1024.apk",
    ]
    .map(read);
    let size = signed
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or(0)
        .next_multiple_of(4096);
    let signed = signed.map(|apk| padded(&apk, size));
    for (one, first) in signed.iter().enumerate() {
        for second in &signed[one + 1..] {
            assert_ne!(verify(&first[..]), verify(&second[..]));
            assert!(never_mixes([first, second]) > 0);
        }
    }
}

#[test]
fn changed_byte_is_noticed_whenever_it_is_shown() {
    let Some(path) = support::corpus("apkverify/v3-only-with-rsa-pkcs1-sha256-1024.apk") else {
        return;
    };
    let good = fs::read(path).expect("readable");
    let sections = find_sections(&good[..]).expect("sections");
    let directory = sections.central_directory_offset as usize;
    // An entry, the signing block's start, signer and end, the directory, the end record.
    let places = [
        100,
        sections.signing_block_offset as usize + 1,
        sections.signing_block_offset as usize + 60,
        directory - 1,
        directory + 40,
        good.len() - 6,
    ];
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(verify(&bad[..]).is_err(), "byte {at}");
        never_mixes([&good, &bad]);
    }
}
