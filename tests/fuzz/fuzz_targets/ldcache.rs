#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gpu_runc_fuzz::fuzz("ldcache", data));
