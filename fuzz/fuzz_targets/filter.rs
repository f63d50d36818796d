#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| cloudpc_fuzz::filter(input));
