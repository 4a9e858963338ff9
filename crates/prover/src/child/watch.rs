//! What a process does for itself when it has folders and may start programs:
//! it watches how much memory all of them use, and says by its exit code what
//! no signal can say, since the first process of a namespace is not ended by a
//! signal that it, or one that it started, sent.
//!
//! May touch: `/proc`, which shows its own processes, and the exit.
//!
//! `unsafe` for `sigaction(2)`, with a handler that only exits, and `_exit(2)`.
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
/// memory, and of what they share in memory if that is to count too; ends them all, with [`EXIT_MEMORY`], when they do not, or when that
/// cannot be known.
///
/// # Errors
/// When there can be no thread, or a signal no handler.
pub(super) fn start(budget: u64, shared: bool) -> io::Result<()> {
    for signal in [libc::SIGABRT, libc::SIGXCPU] {
        exit_on(signal)?;
    }
    thread::Builder::new()
        .name("memory".into())
        .stack_size(64 * 1024)
        .spawn(move || {
            while bytes(shared).is_ok_and(|bytes| bytes <= budget) {
                thread::sleep(PERIOD);
            }
            // SAFETY: ends the process without running anything of it.
            unsafe { libc::_exit(EXIT_MEMORY) }
        })?;
    Ok(())
}

/// Memory of all processes that belongs to no file, and the tables that map what
/// does: with a page here and there in a large file these can be as large.
fn bytes(shared: bool) -> io::Result<u64> {
    let mut sum = 0u64;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let is_process = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process {
            continue;
        }
        // One that has just ended has none.
        if let Ok(text) = fs::read_to_string(entry.path().join("status")) {
            sum = sum.saturating_add(counted(&text, shared).ok_or(io::ErrorKind::InvalidData)?);
        }
    }
    Ok(sum)
}

/// From `/proc/PID/status`; one that has ended, and is not collected, has none.
fn counted(status: &str, shared: bool) -> Option<u64> {
    let mut kib = 0u64;
    for line in status.lines() {
        let private = ["RssAnon:", "VmPTE:", "VmSwap:"];
        let mut names = private.iter().chain(shared.then_some(&"RssShmem:"));
        if let Some(value) = names.find_map(|name| line.strip_prefix(name)) {
            let number = value.trim().strip_suffix(" kB")?;
            kib = kib.checked_add(number.parse().ok()?)?;
        }
    }
    kib.checked_mul(1024)
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
        let status = "Name:\tx\nVmPeak:\t   99 kB\nRssAnon:\t   12 kB\nRssShmem:\t    7 kB\n\
                      VmPTE:\t    3 kB\nVmSwap:\t    0 kB\n";
        assert_eq!(counted(status, false), Some(15 * 1024));
        assert_eq!(counted(status, true), Some(22 * 1024));
        assert_eq!(counted("Name:\tx\nState:\tZ (zombie)\n", true), Some(0));
        for malformed in [
            "RssAnon:\t12",
            "RssAnon:\tx kB",
            "VmPTE:\t-1 kB",
            "VmPTE:\t18446744073709551615 kB",
        ] {
            assert_eq!(counted(malformed, false), None, "{malformed}");
        }
    }

    /// The machine's own `/proc` will do: this process is in it.
    #[test]
    fn what_is_used_is_counted() {
        let mut held = vec![0u8; 64 << 20];
        held.fill(7);
        assert!(bytes(false).unwrap() >= 64 << 20);
        std::hint::black_box(held);
    }
}
