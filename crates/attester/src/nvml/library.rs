//! `libnvidia-ml.so.1`, loaded at run time: seven of its functions, and the
//! structures that they fill (`nvml.h`, CUDA 12.2 and later, whose sizes are
//! fixed by the library's interface).
//!
//! Unsafe code: a foreign library is loaded and called. Signatures are those
//! of `nvml.h`; every pointer given is to a value of ours that outlives the
//! call, is zeroed before it, and whose size the function knows by its type;
//! lengths that it leaves are checked before use. The library runs code of its
//! own in this process, which is why the keeper does not load it: see
//! [`collector`](crate::collector).
#![allow(unsafe_code)]

use libloading::Library as Loaded;
use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void},
    ptr,
};

const REPORT: usize = 0x2000;
const CEC_REPORT: usize = 0x1000;
const CHAIN: usize = 0x1000;
const ATTESTATION_CHAIN: usize = 0x1400;

/// `nvmlConfComputeSystemState_t`
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct State {
    environment: c_uint,
    /// 0: off.
    pub(super) feature: c_uint,
    /// 0: off.
    pub(super) developer_tools: c_uint,
}

/// `nvmlConfComputeGpuAttestationReport_t`
#[repr(C)]
struct Report {
    has_cec: c_uint,
    size: c_uint,
    cec_size: c_uint,
    nonce: [u8; 32],
    report: [u8; REPORT],
    cec_report: [u8; CEC_REPORT],
}

/// `nvmlConfComputeGpuCertificate_t`
#[repr(C)]
struct Certificate {
    chain_size: c_uint,
    attestation_chain_size: c_uint,
    chain: [u8; CHAIN],
    attestation_chain: [u8; ATTESTATION_CHAIN],
}

/// `nvmlDevice_t`
type Device = *mut c_void;

type Init = unsafe extern "C" fn() -> c_int;
type Shutdown = unsafe extern "C" fn() -> c_int;
type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;
type Count = unsafe extern "C" fn(*mut c_uint) -> c_int;
type Handle = unsafe extern "C" fn(c_uint, *mut Device) -> c_int;
type GetState = unsafe extern "C" fn(*mut State) -> c_int;
type GetReport = unsafe extern "C" fn(Device, *mut Report) -> c_int;
type GetCertificate = unsafe extern "C" fn(Device, *mut Certificate) -> c_int;

/// Why the library did not do it.
#[derive(Debug)]
pub(super) enum Failed {
    NoLibrary,
    NoFunction(&'static str),
    Malformed(&'static str),
    /// `nvmlReturn_t`, and its text.
    Code(c_int, String),
}

/// The library, started.
pub(super) struct Library {
    shutdown: Shutdown,
    error_string: ErrorString,
    count: Count,
    handle: Handle,
    state: GetState,
    report: GetReport,
    certificate: GetCertificate,
    /// Last: the functions are in it.
    _loaded: Loaded,
}

impl Library {
    pub(super) fn start(name: &OsStr) -> Result<Self, Failed> {
        // SAFETY: NVIDIA's library has no constructors with conditions.
        let loaded = unsafe { Loaded::new(name) }.map_err(|_| Failed::NoLibrary)?;
        // SAFETY: the types are those of nvml.h.
        let (init, library) = unsafe {
            let init: Init = function(&loaded, "nvmlInit_v2")?;
            let library = Self {
                shutdown: function(&loaded, "nvmlShutdown")?,
                error_string: function(&loaded, "nvmlErrorString")?,
                count: function(&loaded, "nvmlDeviceGetCount_v2")?,
                handle: function(&loaded, "nvmlDeviceGetHandleByIndex_v2")?,
                state: function(&loaded, "nvmlSystemGetConfComputeState")?,
                report: function(&loaded, "nvmlDeviceGetConfComputeGpuAttestationReport")?,
                certificate: function(&loaded, "nvmlDeviceGetConfComputeGpuCertificate")?,
                _loaded: loaded,
            };
            (init, library)
        };
        // SAFETY: it takes nothing. If it fails, `Drop` shuts down what was
        // not started, which the library answers with an error code.
        let code = unsafe { init() };
        library.check(code)?;
        Ok(library)
    }

    pub(super) fn state(&self) -> Result<State, Failed> {
        let mut state = State::default();
        // SAFETY: see the module.
        self.check(unsafe { (self.state)(&mut state) })?;
        Ok(state)
    }

    pub(super) fn count(&self) -> Result<u32, Failed> {
        let mut count = 0;
        // SAFETY: see the module.
        self.check(unsafe { (self.count)(&mut count) })?;
        Ok(count)
    }

    pub(super) fn report(&self, index: u32, nonce: &[u8; 32]) -> Result<Vec<u8>, Failed> {
        let mut report = Box::new(Report {
            has_cec: 0,
            size: 0,
            cec_size: 0,
            nonce: *nonce,
            report: [0; REPORT],
            cec_report: [0; CEC_REPORT],
        });
        let device = self.device(index)?;
        // SAFETY: see the module; the handle is one that the library gave.
        self.check(unsafe { (self.report)(device, &mut *report) })?;
        cut(&report.report, report.size)
            .ok_or(Failed::Malformed("a report has a size that it cannot have"))
    }

    /// In PEM, leaf first.
    pub(super) fn chain(&self, index: u32) -> Result<Vec<u8>, Failed> {
        let mut certificate = Box::new(Certificate {
            chain_size: 0,
            attestation_chain_size: 0,
            chain: [0; CHAIN],
            attestation_chain: [0; ATTESTATION_CHAIN],
        });
        let device = self.device(index)?;
        // SAFETY: see the module; the handle is one that the library gave.
        self.check(unsafe { (self.certificate)(device, &mut *certificate) })?;
        cut(
            &certificate.attestation_chain,
            certificate.attestation_chain_size,
        )
        .ok_or(Failed::Malformed("a chain has a size that it cannot have"))
    }

    fn device(&self, index: u32) -> Result<Device, Failed> {
        let mut device = ptr::null_mut();
        // SAFETY: see the module.
        self.check(unsafe { (self.handle)(index, &mut device) })?;
        Ok(device)
    }

    fn check(&self, code: c_int) -> Result<(), Failed> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: it gives a string that is never freed, or null.
        let text = unsafe {
            let text = (self.error_string)(code);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        Err(Failed::Code(code, text.unwrap_or_default()))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: it takes nothing, and nothing of the library's is held.
        let _ = unsafe { (self.shutdown)() };
    }
}

/// # Safety
/// `T` must be the function's type.
unsafe fn function<T: Copy>(loaded: &Loaded, name: &'static str) -> Result<T, Failed> {
    // SAFETY: the caller's.
    unsafe { loaded.get::<T>(name.as_bytes()) }
        .map(|function| *function)
        .map_err(|_| Failed::NoFunction(name))
}

/// What the library says that it filled; nothing filled is an error too.
fn cut(buffer: &[u8], size: c_uint) -> Option<Vec<u8>> {
    let filled = buffer.get(..usize::try_from(size).ok()?)?;
    (!filled.is_empty()).then(|| filled.to_vec())
}
