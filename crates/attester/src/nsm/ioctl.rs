//! `/dev/nsm`: one ioctl with two buffers.
//!
//! Unsafe code: the kernel is given pointers. Both buffers outlive the call,
//! and the kernel writes no more than the length that stands beside each.
#![allow(unsafe_code)]

use crate::Device;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};
use std::{
    ffi::c_void,
    fs::OpenOptions,
    io::{self, IoSlice, IoSliceMut},
    path::PathBuf,
};

/// Bytes of a request at most (`NSM_REQUEST_MAX_SIZE`).
const MAX_REQUEST: usize = 0x1000;
/// Bytes of an answer at most (`NSM_RESPONSE_MAX_SIZE`).
const MAX_ANSWER: usize = 0x3000;

/// The Nitro Security Module.
#[derive(Debug)]
pub struct Nsm(PathBuf);

impl Nsm {
    /// The device at `path`: `/dev/nsm`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Device for Nsm {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        if request.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let device = OpenOptions::new().read(true).write(true).open(&self.0)?;
        let mut answer = vec![0; MAX_ANSWER];
        let message = Message {
            request: IoSlice::new(request),
            answer: IoSliceMut::new(&mut answer),
        };
        // SAFETY: the opcode's argument is a `struct nsm_message`, which
        // `Message` is; see the module for its pointers.
        let written = unsafe { ioctl::ioctl(&device, Exchange(message)) }?;
        if written > answer.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        answer.truncate(written);
        Ok(answer)
    }
}

/// `struct nsm_message`: two `struct iovec`, whose layout std guarantees for
/// these two types.
#[repr(C)]
struct Message<'a> {
    request: IoSlice<'a>,
    answer: IoSliceMut<'a>,
}

/// `NSM_IOCTL`: `_IOWR(0x0A, 0, struct nsm_message)`.
struct Exchange<'a>(Message<'a>);

// SAFETY: the opcode is the one whose argument the pointer points to, and the
// output is the length that the kernel left in the second iovec.
unsafe impl<'a> Ioctl for Exchange<'a> {
    type Output = usize;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Message<'a>>(0x0A, 0)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, message: *mut c_void) -> rustix::io::Result<usize> {
        // SAFETY: `message` is what `as_ptr` gave. The kernel sets the length
        // of the second iovec to that of the answer; it stands after the two
        // words of the first and its own pointer.
        Ok(unsafe { message.cast::<usize>().add(3).read() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opcode_is_the_kernels() {
        let mut answer = [0; 8];
        let exchange = Exchange(Message {
            request: IoSlice::new(&[]),
            answer: IoSliceMut::new(&mut answer),
        });
        // include/uapi/linux/nsm.h on 64-bit: sizeof(struct nsm_message) = 32.
        assert_eq!(exchange.opcode() as u64, 0xc020_0a00);
    }

    #[test]
    fn what_is_no_such_device_says_so() {
        let absent = Nsm::at("/nonexistent/nsm").exchange(&[]).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        // Not our ioctl: ENOTTY.
        let other = Nsm::at("/dev/null").exchange(&[1]).unwrap_err();
        assert_eq!(other.raw_os_error(), Some(25));
    }
}
