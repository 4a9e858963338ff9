//! The job's input: SP1's stdin as its SDK uploads it. SDK 6 sends zstd of
//! bincode, SDK 5 plain bincode; the frame's magic tells them apart.

use std::io::Read as _;

use soundproof_protocol::error::{Code, Failure};
use sp1_core_machine::io::SP1Stdin;
use zeroize::Zeroizing;

/// RFC 8878, 3.1.1.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window of a zstd frame that is taken, as a power of two: what zstd
/// itself takes by default.
const WINDOW_LOG: u32 = 27;

/// Reads a stdin of at most `max` bytes, unpacked.
///
/// # Errors
/// [`Code::InputTooLarge`] when there is more, a zstd bomb included;
/// [`Code::StdinInvalid`] when it is neither form.
pub fn read(body: Zeroizing<Vec<u8>>, max: u64) -> Result<SP1Stdin, Failure> {
    let plain = if body.starts_with(&ZSTD_MAGIC) {
        unpack(&body, max)?
    } else {
        body
    };
    if plain.len() as u64 > max {
        return Err(Failure::new(Code::InputTooLarge, ""));
    }
    // Serde takes memory as bytes arrive, never by a length that they claim.
    // Trailing bytes are allowed, as in the SDK's own readers.
    bincode::deserialize(&plain)
        .map_err(|_| Failure::new(Code::StdinInvalid, "not bincode of an SP1Stdin of SP1 6"))
}

fn unpack(body: &[u8], max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let invalid = |_| Failure::new(Code::StdinInvalid, "not a zstd frame");
    let mut decoder = zstd::Decoder::with_buffer(body).map_err(invalid)?;
    decoder.window_log_max(WINDOW_LOG).map_err(invalid)?;
    let mut plain = Zeroizing::new(Vec::new());
    decoder
        .take(max.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(invalid)?;
    if plain.len() as u64 > max {
        return Err(Failure::new(Code::InputTooLarge, "unpacked"));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stdin() -> SP1Stdin {
        let mut stdin = SP1Stdin::new();
        stdin.write(&vec![7u64; 100]);
        stdin.write_slice(b"raw");
        stdin
    }

    fn code(body: Vec<u8>, max: u64) -> Code {
        read(Zeroizing::new(body), max).unwrap_err().code
    }

    #[test]
    fn both_forms_say_the_same() {
        let plain = bincode::serialize(&stdin()).unwrap();
        let packed = zstd::encode_all(&plain[..], 3).unwrap();
        assert_ne!(plain, packed);
        for body in [plain, packed] {
            let read = read(Zeroizing::new(body), 1 << 20).unwrap();
            assert_eq!(read.buffer, stdin().buffer);
        }
    }

    #[test]
    fn neither_form_is_refused() {
        assert_eq!(code(Vec::new(), 1 << 20), Code::StdinInvalid);
        assert_eq!(code(vec![0xff; 64], 1 << 20), Code::StdinInvalid);
        assert_eq!(
            code(b"{\"buffer\": []}".to_vec(), 1 << 20),
            Code::StdinInvalid
        );
        let mut cut = zstd::encode_all(&bincode::serialize(&stdin()).unwrap()[..], 3).unwrap();
        cut.truncate(cut.len() / 2);
        assert_eq!(code(cut, 1 << 20), Code::StdinInvalid);
        let not_stdin = zstd::encode_all(&b"something else"[..], 3).unwrap();
        assert_eq!(code(not_stdin, 1 << 20), Code::StdinInvalid);
    }

    /// Broken if a few kilobytes could take all memory.
    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = zstd::encode_all(std::io::repeat(0).take(1 << 28), 19).unwrap();
        assert!(bomb.len() < 1 << 16);
        assert_eq!(code(bomb, 1 << 20), Code::InputTooLarge);
        // Lengths that are not there.
        let mut claims = u64::MAX.to_le_bytes().to_vec();
        claims.extend((1u64 << 60).to_le_bytes());
        assert_eq!(code(claims, 1 << 20), Code::StdinInvalid);
        assert_eq!(
            code(bincode::serialize(&stdin()).unwrap(), 16),
            Code::InputTooLarge
        );
    }
}
