//! Whether a program is one that SP1's virtual machine runs: a static RISC-V
//! executable of 64 bits, in the machine's range of addresses, of instructions
//! of 32 bits without atomics. Reads bytes, and nothing else.
//!
//! Field offsets: System V ABI, "Object Files". Limits: SP1 6.10,
//! `sp1-core-executor/src/disassembler/elf.rs` and `sp1-primitives/src/consts.rs`.

/// Where the stack begins, which grows down: all of the program is above it.
const STACK_TOP: u64 = 0x7800_0000;
/// The end of the memory that sp1-zkvm gives a program.
const MEMORY_END: u64 = 1 << 37;
/// SP1's own limit.
const MAX_SEGMENTS: u16 = 256;
const SEGMENT_HEADER: u64 = 56;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
const EXECUTABLE: u32 = 1;
const WRITABLE: u32 = 2;

/// Says in a few words what is wrong with the program.
///
/// # Errors
/// Any property of the module's description that it lacks.
pub(super) fn check(elf: &[u8]) -> Result<(), String> {
    if elf.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("not an ELF of 64 bits, little-endian".into());
    }
    if u16_at(elf, 16)? != 2 {
        return Err("not an executable at fixed addresses".into());
    }
    if u16_at(elf, 18)? != 243 {
        return Err("not for RISC-V".into());
    }
    if u32_at(elf, 48)? != 0 {
        return Err("flags ask for compressed instructions or an ABI with floats".into());
    }
    let (entry, headers) = (u64_at(elf, 24)?, u64_at(elf, 32)?);
    let count = u16_at(elf, 56)?;
    if u64::from(u16_at(elf, 54)?) != SEGMENT_HEADER || count > MAX_SEGMENTS {
        return Err("segment headers of another size, or too many".into());
    }

    let mut end_of_last = STACK_TOP;
    let mut entered = false;
    for index in 0..u64::from(count) {
        let header = headers
            .checked_add(index * SEGMENT_HEADER)
            .ok_or("headers out of range")?;
        let kind = u32_at(elf, header)?;
        if kind == DYNAMIC || kind == INTERPRETER {
            return Err("needs a dynamic linker".into());
        }
        if kind != LOAD {
            continue;
        }
        let segment = Segment::read(elf, header)?;
        if segment.start < end_of_last || segment.end > MEMORY_END {
            return Err("a segment overlaps another, or is out of range".into());
        }
        end_of_last = segment.end;
        if segment.flags & EXECUTABLE != 0 {
            segment.check_instructions()?;
            entered |= (segment.start..segment.end).contains(&entry) && entry.is_multiple_of(4);
        }
    }
    if entered {
        Ok(())
    } else {
        Err("does not begin at an instruction".into())
    }
}

/// What is loaded.
struct Segment<'a> {
    flags: u32,
    start: u64,
    end: u64,
    bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    fn read(elf: &'a [u8], header: u64) -> Result<Self, String> {
        let field = |at: u64| u64_at(elf, header + at);
        let flags = u32_at(elf, header + 4)?;
        let (offset, start, size, memory) = (field(8)?, field(16)?, field(32)?, field(40)?);
        if size > memory {
            return Err("a segment's file part is larger than its memory".into());
        }
        let end = start.checked_add(memory).ok_or("a segment out of range")?;
        let bytes = offset
            .checked_add(size)
            .and_then(|end| elf.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?))
            .ok_or("a segment beyond the file's end")?;
        Ok(Self {
            flags,
            start,
            end,
            bytes,
        })
    }

    fn check_instructions(&self) -> Result<(), String> {
        let (words, rest) = self.bytes.as_chunks::<4>();
        if self.flags & WRITABLE != 0 || !self.start.is_multiple_of(4) || !rest.is_empty() {
            return Err("an executable segment that is writable or not of whole words".into());
        }
        for (address, word) in (self.start..).step_by(4).zip(words) {
            let word = u32::from_le_bytes(*word);
            if word & 3 != 3 {
                return Err(format!("compressed or no instruction at {address:#x}"));
            }
            if word & 0x7f == 0x2f {
                return Err(format!("atomic instruction at {address:#x}"));
            }
        }
        Ok(())
    }
}

fn array<const N: usize>(elf: &[u8], at: u64) -> Result<[u8; N], String> {
    usize::try_from(at)
        .ok()
        .and_then(|at| elf.get(at..)?.first_chunk::<N>().copied())
        .ok_or_else(|| "ends too early".into())
}

fn u16_at(elf: &[u8], at: u64) -> Result<u16, String> {
    array(elf, at).map(u16::from_le_bytes)
}

fn u32_at(elf: &[u8], at: u64) -> Result<u32, String> {
    array(elf, at).map(u32::from_le_bytes)
}

fn u64_at(elf: &[u8], at: u64) -> Result<u64, String> {
    array(elf, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::check;

    const NOP: u32 = 0x13;

    /// A header, one executable segment and its two instructions at its end.
    fn program() -> Vec<u8> {
        let mut elf = vec![0; 64 + 56];
        let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &2u16.to_le_bytes());
        put(18, &243u16.to_le_bytes());
        put(24, &0x7800_0004u64.to_le_bytes()); // entry
        put(32, &64u64.to_le_bytes()); // segment headers
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(64, &1u32.to_le_bytes()); // load
        put(68, &5u32.to_le_bytes()); // read, execute
        put(72, &120u64.to_le_bytes()); // offset
        put(80, &0x7800_0000u64.to_le_bytes()); // address
        put(96, &8u64.to_le_bytes()); // in the file
        put(104, &8u64.to_le_bytes()); // in memory
        elf.extend(NOP.to_le_bytes());
        elf.extend(NOP.to_le_bytes());
        elf
    }

    #[test]
    fn what_sp1_runs_passes() {
        assert_eq!(check(&program()), Ok(()));
    }

    #[test]
    fn every_cut_is_refused() {
        let whole = program();
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let cases: [(usize, &[u8], &str); 20] = [
            (0, b"\x7fELG", "not an ELF"),
            (4, &[1], "not an ELF"), // 32 bits
            (5, &[2], "not an ELF"), // big-endian
            (16, &[3], "fixed addresses"),
            (18, &[62], "not for RISC-V"),
            (48, &[1], "compressed instructions"),
            (48, &[4], "floats"),
            (24, &[2], "does not begin"),
            (24, &[8], "does not begin"),
            (32, &[255; 8], "ends too early"),
            (54, &[32], "another size"),
            (56, &[1, 2], "too many"),
            (56, &[0], "does not begin"),
            (64, &[2], "dynamic linker"),
            (64, &[3], "dynamic linker"),
            (68, &[7], "writable"),
            (72, &[121], "beyond the file's end"),
            (83, &[0x77], "out of range"), // below the stack's top
            (104, &[4], "larger than its memory"),
            (104, &[255; 8], "out of range"),
        ];
        for (at, bytes, expected) in cases {
            let mut elf = program();
            elf[at..at + bytes.len()].copy_from_slice(bytes);
            let said = check(&elf).expect_err(expected);
            assert!(said.contains(expected), "{at}: {said:?}, not {expected:?}");
        }
    }

    #[test]
    fn foreign_instructions_are_refused() {
        let cases = [
            (0x0000_0001u32, "compressed"),      // c.nop
            (0, "compressed or no instruction"), // padding
            (0x1005_22af, "atomic"),             // lr.w
            (0x00b5_22af, "atomic"),             // amoadd.w
        ];
        for (word, expected) in cases {
            let mut elf = program();
            elf[124..128].copy_from_slice(&word.to_le_bytes());
            let said = check(&elf).expect_err(expected);
            assert!(said.contains(expected), "{said}");
            assert!(said.contains("0x78000004"), "{said}");
        }
    }
}
