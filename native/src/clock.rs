//! The time stamp counter against the monotonic clock. An emulated guest sees the host's counter, and some of QEMU's
//! machines have nothing to measure it with, so the runner tells the guest.

/// kHz of the counter, measured over so many milliseconds (1 to 1000); 0 on processors without one.
#[cfg(target_arch = "x86_64")]
pub fn tsc_khz(milliseconds: u32) -> u64 {
    use std::time::Duration;
    let (ticks, time) = sample();
    std::thread::sleep(Duration::from_millis(u64::from(
        milliseconds.clamp(1, 1000),
    )));
    let (ticks_after, time_after) = sample();
    let nanoseconds = time_after.duration_since(time).as_nanos().max(1);
    let ticks = u128::from(ticks_after.wrapping_sub(ticks));
    u64::try_from(ticks * 1_000_000 / nanoseconds).unwrap_or(0)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn tsc_khz(_milliseconds: u32) -> u64 {
    0
}

/// A counter value and the time at which it was read: of several tries the one that was interrupted the least.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn sample() -> (u64, std::time::Instant) {
    use core::arch::x86_64::_rdtsc;
    use std::time::Instant;
    // SAFETY: every x86-64 processor has the instruction, and no kernel of ours forbids it.
    let read = || unsafe { _rdtsc() };
    (0..16)
        .map(|_| {
            let before = read();
            let time = Instant::now();
            let after = read();
            (
                after.wrapping_sub(before),
                before.wrapping_add(after.wrapping_sub(before) / 2),
                time,
            )
        })
        .min_by_key(|(width, _, _)| *width)
        .map_or_else(
            || (read(), Instant::now()),
            |(_, ticks, time)| (ticks, time),
        )
}
