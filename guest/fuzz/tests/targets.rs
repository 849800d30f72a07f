//! Every target for a moment, the same inputs in every run as far as the time goes. MICROBUILD_FUZZ_SECONDS gives each more.

use std::time::Duration;

use microbuild_fuzz::{all, run};

const SEED: u64 = 5;

#[test]
fn no_decoder_panics_or_takes_more_than_its_share() {
    let from_environment = std::env::var("MICROBUILD_FUZZ_SECONDS").ok();
    let seconds = from_environment
        .and_then(|text| text.parse().ok())
        .unwrap_or(1.0);
    for target in all() {
        let report = run(&target, Duration::from_secs_f64(seconds), SEED);
        println!("{}: {report:?}", target.name);
        assert!(report.executions > 50, "{}: {report:?}", target.name);
        assert!(report.answers >= 2, "{} always says the same", target.name);
    }
}
