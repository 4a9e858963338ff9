//! A piece of bytes with its length in front: four bytes, big endian.

use std::io::{self, Read, Write};

pub(super) fn write_frame(output: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let frame = [&length.to_be_bytes() as &[u8], bytes].concat();
    output.write_all(&frame)?;
    output.flush()
}

/// None at the end of the stream.
pub(super) fn read_frame(input: &mut impl Read, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let [first, rest @ ..] = &mut length;
    let read = loop {
        match input.read(std::slice::from_mut(first)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if read == 0 {
        return Ok(None);
    }
    input.read_exact(rest)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "too long a frame",
        ));
    }
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}
