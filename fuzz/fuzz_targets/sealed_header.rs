#![no_main]
use libfuzzer_sys::fuzz_target;
use soundproof_protocol::sealed::{PartLayout, SealedHeader};

// A header that is accepted has lengths that add up, whatever it says.
fuzz_target!(|bytes: &[u8]| {
    soundproof_fuzz::one_form::<SealedHeader>(bytes);
    let Ok(header) = SealedHeader::from_slice(bytes) else {
        return;
    };
    let chunks = header.chunks().unwrap();
    assert!(header.sealed_chunk_len(chunks - 1).is_some());
    assert!(header.sealed_chunk_len(chunks).is_none());
    let part_chunks = u32::from(bytes.last().copied().unwrap_or(0));
    if let Some(layout) = PartLayout::new(&header, part_chunks) {
        let sum: u64 = (0..layout.parts())
            .map(|part| layout.part_len(part).unwrap())
            .sum();
        assert_eq!(Some(sum), header.sealed_len());
    }
});
