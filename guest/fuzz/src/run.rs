//! One target for some time.

use std::collections::HashSet;
use std::fs;
use std::panic;
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use microbuild_sys::counting::peak_of;

use crate::mutate::mutate;
use crate::numbers::Numbers;
use crate::targets::Target;

/// Of one input, on a machine that others use too.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Samples kept: with more, each is looked at less.
const POOL_SIZE_MAX: usize = 1024;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    pub executions: u64,
    pub seconds: f64,
    /// Different answers that the decoder gave.
    pub answers: usize,
    pub slowest: Duration,
    /// In bytes.
    pub memory_max: usize,
}

/// The input being judged, for whoever has to find out what was wrong with it.
static CURRENT: Mutex<Option<(&'static str, Vec<u8>)>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Leaves the current input in a file when something panics.
fn keep_input_on_panic() {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            usual(info);
            let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((name, input)) = current.as_ref() {
                let path = std::env::temp_dir().join(format!("microbuild-fuzz-{name}.bin"));
                let kept = fs::write(&path, input);
                eprintln!(
                    "input of {} bytes: {} {kept:?}",
                    input.len(),
                    path.display()
                );
            }
        }));
    });
}

/// Feeds a target for that long with the samples and what becomes of them; `seed` chooses what becomes of them.
///
/// # Panics
/// When the target does, or takes more memory or time than it may. The input is then in the folder for temporary files.
pub fn run(target: &Target, time: Duration, seed: u64) -> Report {
    keep_input_on_panic();
    let mut numbers = Numbers::new(seed);
    let mut pool = (target.seeds)();
    pool.push(Vec::new());
    let mut known = HashSet::new();
    let mut report = Report {
        executions: 0,
        seconds: 0.0,
        answers: 0,
        slowest: Duration::ZERO,
        memory_max: 0,
    };
    let start = Instant::now();
    // Every sample as it is, whatever the time.
    for sample in &pool {
        known.insert(judge(target, sample, &mut report));
    }
    while start.elapsed() < time {
        let mut input = pick(&pool, &mut numbers).to_vec();
        let other = pick(&pool, &mut numbers);
        mutate(&mut input, other, target.size_max, &mut numbers);
        let answer = judge(target, &input, &mut report);
        if known.insert(answer) && pool.len() < POOL_SIZE_MAX {
            pool.push(input);
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    report.answers = known.len();
    report
}

fn pick<'a>(pool: &'a [Vec<u8>], numbers: &mut Numbers) -> &'a [u8] {
    pool.get(numbers.below(pool.len()))
        .map_or(&[], Vec::as_slice)
}

fn judge(target: &Target, input: &[u8], report: &mut Report) -> u64 {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some((target.name, input.to_vec()));
    let start = Instant::now();
    let (answer, memory) = peak_of(|| (target.decode)(input));
    let time = start.elapsed();
    let limit = target.memory_base + target.memory_factor * input.len();
    assert!(
        memory <= limit,
        "{}: {memory} bytes of memory for {} of input, {limit} are allowed",
        target.name,
        input.len()
    );
    assert!(
        time <= TIME_MAX,
        "{}: {time:?} for {} bytes",
        target.name,
        input.len()
    );
    report.executions += 1;
    report.slowest = report.slowest.max(time);
    report.memory_max = report.memory_max.max(memory);
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    answer
}
