//! The fuzz targets of `tests/corpus/targets.rs` under libFuzzer, for `scripts/fuzz`, which alone
//! builds it with what it needs.

#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(fuzzing, allow(clippy::expect_used))]

#[cfg(fuzzing)]
#[path = "../tests/corpus/targets.rs"]
mod targets;

#[cfg(fuzzing)]
mod harness {
    use std::sync::LazyLock;

    use super::targets::{TARGETS, Target};

    static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
        let name = std::env::var("DURA_FUZZ_TARGET").expect("DURA_FUZZ_TARGET names a target");
        TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
    });

    libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
        (TARGET.run)(bytes);
    });

    // Seven of eight inputs get right checksums: with wrong ones nothing behind them is reached.
    libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
        let size = libfuzzer_sys::fuzzer_mutate(data, size, max_size);
        let mut bytes = data[..size].to_vec();
        if seed % 8 > 0 {
            (TARGET.mend)(&mut bytes);
        }
        let size = bytes.len().min(max_size);
        data[..size].copy_from_slice(&bytes[..size]);
        size
    });
}

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("scripts/fuzz builds this with libFuzzer, and runs it");
}
