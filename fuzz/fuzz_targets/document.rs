//! Bodies of writes: read or refused as malformed, never a panic.

#![no_main]

use tollkeeper_fuzz::laws;

libfuzzer_sys::fuzz_target!(|body: &[u8]| laws::document_is_read_or_refused(body));
