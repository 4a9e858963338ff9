//! What a process does for itself when it has folders and may start programs:
//! it watches how much memory all of them use, and says by its exit code what
//! no signal can say, since the first process of a namespace is not ended by a
//! signal that it, or one that it started, sent.
//!
//! May touch: `/proc`, which shows its own processes, and the exit.
//!
//! `unsafe` for `sigaction(2)`, with a handler that only exits, `_exit(2)` and `sysconf(3)`.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use crate::wire::{EXIT_MEMORY, EXIT_SIGNAL};

/// How often memory is looked at. A program that fills memory as fast as one
/// core can gets a few hundred MiB further in that time.
const PERIOD: Duration = Duration::from_millis(50);

/// Watches that all processes together keep within `budget` bytes of private
/// memory; ends them all, with [`EXIT_MEMORY`], when they do not, or when that
/// cannot be known.
///
/// # Errors
/// When there can be no thread, or a signal no handler.
pub(super) fn start(budget: u64) -> io::Result<()> {
    for signal in [libc::SIGABRT, libc::SIGXCPU] {
        exit_on(signal)?;
    }
    let page = page_size();
    thread::Builder::new()
        .name("memory".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            while private_pages().is_ok_and(|pages| pages.saturating_mul(page) <= budget) {
                thread::sleep(PERIOD);
            }
            // SAFETY: ends the process without running anything of it.
            unsafe { libc::_exit(EXIT_MEMORY) }
        })?;
    Ok(())
}

/// Pages of all processes that belong to no file.
fn private_pages() -> io::Result<u64> {
    let mut sum = 0u64;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        // One that has just ended has none.
        if let Ok(text) = fs::read_to_string(entry.path().join("statm")) {
            sum = sum.saturating_add(private(&text).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(sum)
}

/// From `/proc/PID/statm`: what is resident, less what is shared with a file.
fn private(statm: &str) -> Option<u64> {
    let mut numbers = statm.split_ascii_whitespace().skip(1);
    let resident: u64 = numbers.next()?.parse().ok()?;
    let shared: u64 = numbers.next()?.parse().ok()?;
    Some(resident.saturating_sub(shared))
}

fn page_size() -> u64 {
    // SAFETY: asks for a number that the C library knows from the start.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(u64::MAX)
}

extern "C" fn exit(signal: libc::c_int) {
    // SAFETY: safe in a handler, and nothing of the process runs after it.
    unsafe { libc::_exit(EXIT_SIGNAL + signal) }
}

fn exit_on(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: zeros are a valid sigaction, with an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = exit as extern "C" fn(libc::c_int) as usize;
    // SAFETY: `action` is valid and its handler calls only what a handler may.
    match unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_file() {
        assert_eq!(private("5000 1200 200 10 0 3000 0\n"), Some(1000));
        assert_eq!(private("5000 1 2"), Some(0));
        for malformed in ["", "5000", "5000 1200", "5000 x 200"] {
            assert_eq!(private(malformed), None, "{malformed}");
        }
    }

    /// The machine's own `/proc` will do: this process is in it.
    #[test]
    fn what_is_used_is_counted() {
        let mut held = vec![0u8; 64 << 20];
        held.fill(7);
        assert!(private_pages().unwrap() * page_size() >= 64 << 20);
        std::hint::black_box(held);
    }
}
