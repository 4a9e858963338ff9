//! A child process: killed and waited for by a descriptor of it, which no other
//! process can come to stand for.
//!
//! `unsafe` for one call, which trusts that what it is given is an open
//! descriptor for as long as it lives; an owned descriptor is.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child of this process. Dropped before it was collected, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    pid: u32,
    process: AsyncFd<OwnedFd>,
    status: Option<ExitStatus>,
}

impl Child {
    /// Takes charge of the child with this id. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When there is no such process, or it is not a child of this one.
    pub(super) fn adopt(pid: u32) -> io::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or(io::ErrorKind::NotFound)?;
        let process = pidfd_open(raw, PidfdFlags::empty())?;
        // SAFETY: `AsyncFd` owns the descriptor, and an `OwnedFd` is never another.
        let process = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE)? };
        let mut child = Self {
            pid,
            process,
            status: None,
        };
        child.try_wait()?;
        Ok(child)
    }

    pub(super) fn id(&self) -> u32 {
        self.pid
    }

    /// Sends the signal that cannot be refused.
    pub(super) fn kill(&self) -> io::Result<()> {
        match self.status {
            Some(_) => Ok(()),
            None => Ok(pidfd_send_signal(self.process.get_ref(), Signal::KILL)?),
        }
    }

    /// How it ended, if it has; nothing is left of it then, nor of any process
    /// in a process namespace that it was the first of.
    ///
    /// # Errors
    /// When it is not a child of this process.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            let id = WaitId::PidFd(self.process.get_ref().as_fd());
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let ended = rustix::process::waitid(id, options)?;
            self.status = ended.as_ref().and_then(status);
        }
        Ok(self.status)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait).
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            self.process.readable().await?.clear_ready();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.try_wait(), Ok(None)) {
            let _ = self.kill();
            // It has nothing to say in this any more, so this is short.
            let id = WaitId::PidFd(self.process.get_ref().as_fd());
            let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
        }
    }
}

/// As `wait(2)` encodes it.
fn status(ended: &WaitIdStatus) -> Option<ExitStatus> {
    let code = ended.exit_status().map(|code| (code & 0xff) << 8);
    let raw = code.or_else(|| ended.terminating_signal())?;
    Some(ExitStatus::from_raw(raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn spawn(script: &str) -> Child {
        let child = Command::new("/bin/sh").args(["-c", script]).spawn();
        Child::adopt(child.unwrap().id()).unwrap()
    }

    #[tokio::test]
    async fn ends_of_every_kind() {
        assert_eq!(spawn("exit 0").wait().await.unwrap().code(), Some(0));
        assert_eq!(spawn("exit 102").wait().await.unwrap().code(), Some(102));
        let mut child = spawn("kill -ABRT $$");
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGABRT));
        // Again, and killing what is gone is no error.
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGABRT));
        child.kill().unwrap();
        let mut child = spawn("sleep 3600");
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGKILL));
    }

    #[tokio::test]
    async fn what_is_dropped_is_gone() {
        let child = spawn("sleep 3600");
        let pid = child.id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn another_processs_child_is_not_adopted() {
        assert!(Child::adopt(std::os::unix::process::parent_id()).is_err());
        assert!(Child::adopt(0).is_err());
        assert!(Child::adopt(u32::MAX).is_err());
    }
}
