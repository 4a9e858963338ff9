//! What the interfaces of hardware platforms answer to the attester.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soundproof_attester::fuzz::Reader;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says which reader.
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let readers = Reader::ALL;
    if let Some(reader) = readers.get(usize::from(*first) % readers.len()) {
        reader.read(rest);
    }
});
