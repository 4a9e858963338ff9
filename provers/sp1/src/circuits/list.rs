//! The list of SP1's circuit files that an executable is built with, as
//! `sha256sum groth16/* plonk/*` writes it.
//!
//! The build script includes this file too and refuses a list that makes no
//! sense, so it uses nothing but the standard library.

/// The proof systems that need circuit files; the folders they lie in.
pub const SYSTEMS: [&str; 2] = ["groth16", "plonk"];
/// Files of one system at most.
const MAX_FILES: usize = 32;

/// A file and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which proof system it is for: its folder.
    pub system: &'static str,
    /// Its name in there.
    pub name: String,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

/// Reads a list. A system may be absent; one that is there has all files that
/// gnark opens.
///
/// # Errors
/// Which line, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Listed>, String> {
    let mut files: Vec<Listed> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let listed = file(line).ok_or_else(|| {
            format!("line {number} is not what `sha256sum groth16/* plonk/*` writes")
        })?;
        let twice = |other: &Listed| (other.system, &other.name) == (listed.system, &listed.name);
        if files.iter().any(twice) {
            return Err(format!("line {number} names a file a second time"));
        }
        files.push(listed);
    }
    for system in SYSTEMS {
        let of_system = || files.iter().filter(|file| file.system == system);
        if of_system().count() > MAX_FILES {
            return Err(format!("more than {MAX_FILES} files in {system}"));
        }
        let missing = needed(system)
            .into_iter()
            .find(|name| of_system().all(|file| file.name != *name));
        if let (Some(name), true) = (missing, of_system().next().is_some()) {
            return Err(format!("{system}/{name} is missing"));
        }
    }
    Ok(files)
}

/// What gnark opens: `sp1.go` of `sp1-recursion-gnark-ffi` 6.10.
fn needed(system: &str) -> [String; 4] {
    [
        "constraints.json".to_owned(),
        format!("{system}_circuit.bin"),
        format!("{system}_pk.bin"),
        format!("{system}_vk.bin"),
    ]
}

/// One line: the digest, two characters of which the second may be `*`, the path.
fn file(line: &str) -> Option<Listed> {
    let (digest, path) = line.split_at_checked(64)?;
    let path = path
        .strip_prefix("  ")
        .or_else(|| path.strip_prefix(" *"))?;
    let (folder, name) = path.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // No hidden file, so none is taken for SP1's own marker.
    if name.is_empty() || name.starts_with('.') || name.len() > 64 || !name.bytes().all(plain) {
        return None;
    }
    Some(Listed {
        system: SYSTEMS.into_iter().find(|system| *system == folder)?,
        name: name.to_owned(),
        digest: bytes(digest)?,
    })
}

/// From 64 lower-case hexadecimal digits.
pub fn bytes(hex: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut all = [0; 32];
    for (byte, [high, low]) in all.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(all)
}
