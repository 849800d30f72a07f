use crate::clock;

/// The frequency of the processor's time stamp counter in kHz, measured over so many milliseconds; 0 where there is none.
#[no_mangle]
pub extern "C" fn mb_tsc_khz(milliseconds: u32) -> u64 {
    clock::tsc_khz(milliseconds)
}
