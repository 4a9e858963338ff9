//! Searches for a 32-byte secret in every form that it might leak in:
//! decimal, hexadecimal, base64, raw, in both byte orders, and in Montgomery
//! form as an element of BN254's scalar field.

use aho_corasick::AhoCorasick;
use ark_bn254::Fr;
use ark_ff::PrimeField as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

const WINDOW: usize = 1024 * 1024;

/// The forms of one or more secrets, to search for.
pub struct Needles {
    names: Vec<String>,
    longest: usize,
    search: AhoCorasick,
}

/// A form that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where: a file, or an address range of a process.
    pub place: String,
    /// Offset of the first byte.
    pub offset: u64,
    /// Which secret, in which form.
    pub form: String,
}

/// What was searched and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Bytes that were searched.
    pub bytes: u64,
    /// Everything that was found.
    pub hits: Vec<Hit>,
}

impl Report {
    /// Adds another's.
    pub fn merge(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.hits.extend(other.hits);
    }
}

/// The forms of `secret`, the big-endian bytes of a number, by name.
pub fn forms(secret: &[u8; 32]) -> Vec<(String, Vec<u8>)> {
    let reversed = |bytes: &[u8; 32]| {
        let mut bytes = *bytes;
        bytes.reverse();
        bytes
    };
    let little = reversed(secret);
    let limbs = Fr::from_be_bytes_mod_order(secret).0.0;
    let mut montgomery_little = [0; 32];
    for (bytes, limb) in montgomery_little.chunks_exact_mut(8).zip(limbs) {
        bytes.copy_from_slice(&limb.to_le_bytes());
    }
    let mut forms = Vec::new();
    for (order, bytes) in [
        ("big endian", *secret),
        ("little endian", little),
        ("Montgomery, little endian", montgomery_little),
        ("Montgomery, big endian", reversed(&montgomery_little)),
    ] {
        forms.push((format!("raw, {order}"), bytes.to_vec()));
        forms.push((format!("hex, {order}"), hex::encode(bytes).into_bytes()));
        forms.push((
            format!("HEX, {order}"),
            hex::encode_upper(bytes).into_bytes(),
        ));
        forms.push((format!("decimal, {order}"), decimal(&bytes).into_bytes()));
        for shift in 0..3 {
            forms.push((
                format!("base64 shifted by {shift}, {order}"),
                aligned(&STANDARD, &bytes, shift),
            ));
            forms.push((
                format!("base64url shifted by {shift}, {order}"),
                aligned(&URL_SAFE, &bytes, shift),
            ));
        }
    }
    forms
}

/// The characters that `bytes` alone decide, if `shift` others precede them.
fn aligned(engine: &impl base64::Engine, bytes: &[u8; 32], shift: usize) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend(bytes);
    let text = engine.encode(&padded).into_bytes();
    let from = (shift * 8).div_ceil(6);
    let until = padded.len() * 8 / 6;
    text.get(from..until).unwrap_or_default().to_vec()
}

/// A big-endian number in decimal.
fn decimal(bytes: &[u8; 32]) -> String {
    let mut number = *bytes;
    let mut digits = Vec::new();
    while number.iter().any(|byte| *byte != 0) {
        let mut rest: u16 = 0;
        for byte in &mut number {
            let value = rest << 8 | u16::from(*byte);
            *byte = (value / 10) as u8; // below 256: rest is below 10
            rest = value % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

impl Needles {
    /// Of named secrets. `None` if one is so small a number that its decimal
    /// form would be found by chance.
    pub fn new(secrets: &[(&str, [u8; 32])]) -> Option<Self> {
        let (mut names, mut patterns): (Vec<String>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
        for (name, secret) in secrets {
            for (form, bytes) in forms(secret) {
                if bytes.len() < 16 {
                    return None;
                }
                names.push(format!("{name}: {form}"));
                patterns.push(bytes);
            }
        }
        let longest = patterns.iter().map(Vec::len).max()?;
        let search = AhoCorasick::new(&patterns).ok()?;
        Some(Self {
            names,
            longest,
            search,
        })
    }

    /// Searches bytes.
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Report {
        let mut report = Report {
            bytes: bytes.len() as u64,
            hits: Vec::new(),
        };
        self.window(place, 0, bytes, &mut report);
        report
    }

    fn window(&self, place: &str, base: u64, bytes: &[u8], report: &mut Report) {
        for found in self.search.find_overlapping_iter(bytes) {
            let hit = Hit {
                place: place.to_owned(),
                offset: base + found.start() as u64,
                form: self
                    .names
                    .get(found.pattern().as_usize())
                    .cloned()
                    .unwrap_or_default(),
            };
            // Windows overlap, so the same hit may come twice.
            if report.hits.last() != Some(&hit) && !report.hits.contains(&hit) {
                report.hits.push(hit);
            }
        }
    }

    /// Searches a file, in windows, and its name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn file(&self, path: &Path) -> io::Result<Report> {
        let place = path.display().to_string();
        let mut report = self.bytes(&format!("name of {place}"), place.as_bytes());
        let mut file = File::open(path)?;
        self.stream(&place, &mut file, &mut report)?;
        Ok(report)
    }

    fn stream(&self, place: &str, input: &mut impl Read, report: &mut Report) -> io::Result<()> {
        let keep = self.longest - 1;
        let mut buffer = Vec::with_capacity(WINDOW + keep);
        let mut base = 0;
        loop {
            let read = input
                .by_ref()
                .take(WINDOW as u64)
                .read_to_end(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            report.bytes += read as u64;
            self.window(place, base, &buffer, report);
            let gone = buffer.len().saturating_sub(keep);
            buffer.drain(..gone);
            base += gone as u64;
        }
    }

    /// Searches every regular file below `dir`. A file that goes away while
    /// it is searched is left out.
    ///
    /// # Errors
    /// If a folder or file cannot be read.
    pub fn folder(&self, dir: &Path) -> io::Result<Report> {
        let mut report = Report::default();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    match self.file(&entry.path()) {
                        Ok(found) => report.merge(found),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(report)
    }

    /// Searches the memory of a live process, all that is readable, as root
    /// or its parent may. Never this process: it holds the needles.
    ///
    /// # Errors
    /// If it is not there, may not be read, or is this process.
    pub fn process(&self, pid: u32) -> io::Result<Report> {
        if pid == std::process::id() {
            return Err(io::Error::other("this process holds the needles"));
        }
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut report = Report::default();
        for line in maps.lines() {
            let Some((from, until, name)) = readable(line) else {
                continue;
            };
            let place = format!("process {pid}, {name}");
            self.range(&place, &memory, from, until, &mut report);
        }
        Ok(report)
    }

    /// Pages that cannot be read (device memory, a guard) are left out.
    fn range(&self, place: &str, memory: &File, from: u64, until: u64, report: &mut Report) {
        let keep = self.longest as u64 - 1;
        let mut buffer = vec![0; WINDOW + self.longest];
        let mut at = from;
        while at < until {
            let want = (until - at).min(WINDOW as u64 + keep) as usize;
            let Some(window) = buffer.get_mut(..want) else {
                return;
            };
            match memory.read_at(window, at) {
                Ok(0) | Err(_) => at += 4096,
                Ok(read) => {
                    let fresh = (read as u64).min(WINDOW as u64);
                    report.bytes += fresh;
                    self.window(place, at, window.get(..read).unwrap_or_default(), report);
                    at += fresh;
                }
            }
        }
    }
}

/// Address range and name of a line of /proc/PID/maps, if it is readable
/// memory of the process's own.
fn readable(line: &str) -> Option<(u64, u64, &str)> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with('r') {
        return None;
    }
    let name = rest.splitn(5, ' ').nth(4).unwrap_or_default().trim();
    if matches!(name, "[vvar]" | "[vvar_vclock]" | "[vsyscall]") {
        return None;
    }
    let (from, until) = range.split_once('-')?;
    Some((
        u64::from_str_radix(from, 16).ok()?,
        u64::from_str_radix(until, 16).ok()?,
        name,
    ))
}

/// Core files below any of `dirs`: names that begin with `core`, or whose
/// content begins as an ELF core file does.
///
/// # Errors
/// If a folder cannot be read.
pub fn core_files(dirs: &[&Path]) -> io::Result<Vec<PathBuf>> {
    const ET_CORE: u8 = 4;
    let mut cores = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            let mut head = [0; 18];
            let is_core = File::open(entry.path())
                .and_then(|mut file| file.read_exact(&mut head))
                .is_ok()
                && head.starts_with(b"\x7fELF")
                && head.get(16) == Some(&ET_CORE);
            if is_core {
                cores.push(entry.path());
            }
        }
    }
    Ok(cores)
}

#[cfg(test)]
mod tests;
