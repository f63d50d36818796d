#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| cloudpc_fuzz::select_and_expand(input));
