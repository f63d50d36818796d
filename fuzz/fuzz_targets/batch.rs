#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cloudpc_fuzz::batch(input));
