//! `microbuild-fuzz [--seconds N] [TARGET...]`: each target for N seconds (default 60, or MICROBUILD_FUZZ_SECONDS), all where
//! none is named.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use microbuild_fuzz::{all, run};

const DEFAULT_SECONDS: u64 = 60;

fn main() -> ExitCode {
    let from_environment = std::env::var("MICROBUILD_FUZZ_SECONDS").ok();
    let mut seconds = from_environment
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEFAULT_SECONDS);
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument != "--seconds" {
            names.push(argument);
            continue;
        }
        match arguments.next().and_then(|text| text.parse().ok()) {
            Some(number) => seconds = number,
            None => {
                eprintln!("--seconds needs a number");
                return ExitCode::FAILURE;
            }
        }
    }
    let targets = all();
    if let Some(unknown) = names
        .iter()
        .find(|name| targets.iter().all(|target| target.name != **name))
    {
        let known: Vec<_> = targets.iter().map(|target| target.name).collect();
        eprintln!("no target {unknown}: {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    // Another path each time; it is printed, so that it can be gone again.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = now.map_or(1, |time| time.as_nanos() as u64);
    println!("seed {seed}");
    println!("target               executions  a second  answers  slowest ms   memory KiB");
    for target in targets {
        if !names.is_empty() && !names.iter().any(|name| name == target.name) {
            continue;
        }
        let report = run(&target, Duration::from_secs(seconds), seed);
        println!(
            "{:<20} {:>10} {:>9.0} {:>8} {:>11.1} {:>12}",
            target.name,
            report.executions,
            report.executions as f64 / report.seconds,
            report.answers,
            report.slowest.as_secs_f64() * 1000.0,
            report.memory_max / 1024
        );
    }
    ExitCode::SUCCESS
}
