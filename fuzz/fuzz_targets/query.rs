//! Query strings: understood or refused as malformed, never a panic.

#![no_main]

use tollkeeper_fuzz::laws;

libfuzzer_sys::fuzz_target!(|text: &str| laws::query_is_understood_or_refused(text));
