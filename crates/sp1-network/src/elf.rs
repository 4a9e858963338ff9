//! The ELF in a program's upload: bincode of a byte string, raw (SDK 5) or as
//! zstd (SDK 6). A pure function of its input, with a bound on what comes out.

use bytes::Bytes;
use std::io::Read as _;
use zstd::stream::read::Decoder;

/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What an ELF begins with.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
/// The largest window of a frame, as a power of two: 64 MiB. The SDK's level,
/// 3, makes windows of 2 MiB.
const MAX_WINDOW_LOG: u32 = 26;
/// Bytes of bincode's length in front.
const PREFIX: usize = 8;

/// An upload that holds no ELF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The zstd frame is broken or cut short.
    #[error("the upload is a zstd frame that does not decode")]
    Zstd,
    /// Longer than accepted, before or after decompression.
    #[error("the program is larger than this server accepts")]
    TooLong,
    /// Neither bincode of bytes nor zstd of that.
    #[error("the upload is neither bincode of an ELF nor zstd of that")]
    Bincode,
    /// The bytes in it are no ELF.
    #[error("the upload holds no ELF")]
    NotElf,
}

/// The ELF, of `max` bytes at most. No more than that is allocated for it,
/// whatever the frame claims, beside zstd's window of 64 MiB at most.
///
/// # Errors
/// See [`ElfError`].
pub fn decode(upload: &Bytes, max: usize) -> Result<Bytes, ElfError> {
    let body = if upload.starts_with(&ZSTD_MAGIC) {
        inflate(upload, max.saturating_add(PREFIX))?
    } else {
        upload.clone()
    };
    let len = body
        .first_chunk::<PREFIX>()
        .map(|prefix| u64::from_le_bytes(*prefix))
        .ok_or(ElfError::Bincode)?;
    let elf = body.slice(PREFIX..);
    // bincode allows bytes behind the value; so that there is one form of
    // each program, this does not.
    if u64::try_from(elf.len()) != Ok(len) {
        return Err(ElfError::Bincode);
    }
    if elf.len() > max {
        return Err(ElfError::TooLong);
    }
    if !elf.starts_with(&ELF_MAGIC) {
        return Err(ElfError::NotElf);
    }
    Ok(elf)
}

fn inflate(frame: &[u8], max: usize) -> Result<Bytes, ElfError> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = Decoder::with_buffer(frame)
        .map_err(|_| ElfError::Zstd)?
        .single_frame();
    decoder
        .window_log_max(MAX_WINDOW_LOG)
        .map_err(|_| ElfError::Zstd)?;
    let mut out = Vec::new();
    (&mut decoder)
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|_| ElfError::Zstd)?;
    if out.len() > max {
        return Err(ElfError::TooLong);
    }
    // A second frame would be bytes behind the value.
    if !decoder.finish().is_empty() {
        return Err(ElfError::Zstd);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bincode(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
    }

    fn zstd(bytes: &[u8]) -> Bytes {
        zstd::encode_all(bytes, 3).unwrap().into()
    }

    fn elf() -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend((0..5000_u32).flat_map(u32::to_le_bytes));
        elf
    }

    #[test]
    fn raw_and_zstd_give_the_same() {
        let raw = Bytes::from(bincode(&elf()));
        assert_eq!(decode(&raw, 1 << 20), Ok(elf().into()));
        assert_eq!(decode(&zstd(&raw), 1 << 20), Ok(elf().into()));
        assert_eq!(decode(&raw, elf().len()), Ok(elf().into()));
        assert_eq!(decode(&raw, elf().len() - 1), Err(ElfError::TooLong));
        assert_eq!(decode(&zstd(&raw), elf().len() - 1), Err(ElfError::TooLong));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (bytes, error) in [
            (Vec::new(), ElfError::Bincode),
            (b"junk".to_vec(), ElfError::Bincode),
            (elf(), ElfError::Bincode),
            (bincode(b"junk"), ElfError::NotElf),
            ([bincode(&elf()), vec![0]].concat(), ElfError::Bincode),
            (u64::MAX.to_le_bytes().to_vec(), ElfError::Bincode),
            (ZSTD_MAGIC.to_vec(), ElfError::Zstd),
            ([&ZSTD_MAGIC[..], &[0xff; 64]].concat(), ElfError::Zstd),
        ] {
            assert_eq!(decode(&bytes.into(), 1 << 20), Err(error));
        }
        let frame = zstd(&bincode(&elf()));
        assert!(decode(&frame.slice(..frame.len() - 3), 1 << 20).is_err());
        let twice = [&frame[..], &frame[..]].concat();
        assert!(decode(&twice.into(), 1 << 20).is_err());
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let bomb = zstd(&bincode(&[b"\x7fELF".to_vec(), vec![0; 64 << 20]].concat()));
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        assert_eq!(decode(&bomb, 1 << 20), Err(ElfError::TooLong));
    }

    /// A frame of blocks that are one byte each, said to be 128 KiB of it.
    fn frame(head: &[u8], blocks: usize) -> Bytes {
        let mut frame = [&ZSTD_MAGIC[..], head].concat();
        for at in 1..=blocks {
            let last = u32::from(at == blocks);
            let header = (128 << 10 << 3) | (1 << 1) | last;
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame.into()
    }

    #[test]
    fn a_frame_that_claims_much_gets_little() {
        // 128 MiB out of 4 KiB, with the largest window.
        let window = [0x00, 16 << 3];
        assert_eq!(
            decode(&frame(&window, 1024), 1 << 20),
            Err(ElfError::TooLong)
        );
        // Windows of 128 MiB, and of 3.75 TiB.
        for window in [[0x00, 17 << 3], [0x00, 0xff]] {
            assert_eq!(decode(&frame(&window, 1024), 1 << 20), Err(ElfError::Zstd));
        }
        // One segment, as long as can be said.
        let whole = [&[0xe0][..], &[0xff; 8]].concat();
        assert_eq!(decode(&frame(&whole, 1024), 1 << 20), Err(ElfError::Zstd));
    }
}
