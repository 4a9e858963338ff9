//! Attestation reports of NVIDIA GPUs in confidential-computing mode, from
//! NVIDIA's management library (NVML API reference, "Confidential Compute"):
//! for each GPU the SPDM measurement request and response with our nonce, and
//! the attestation certificate chain. All GPUs of the machine, 16 at most: one
//! that is left out could be used all the same.

mod library;

use crate::{
    carried::{self, Gpu},
    error::{DeviceError, Interface, Problem},
};
use library::{Failed, Library};
use soundproof_protocol::binding::GpuNonce;
use std::{ffi::OsString, path::Path, sync::Mutex};

/// GPUs at most.
pub const MAX_GPUS: u32 = 16;
/// The library, as the loader finds it.
pub const LIBRARY: &str = "libnvidia-ml.so.1";
/// Where a measurement request has its nonce (SPDM 1.1, 10.11: version, code,
/// attributes and index before it).
const NONCE_AT: usize = 4;
/// Kinds of GPUs in evidence: NVIDIA's, and software in their format.
const NVIDIA: u8 = 0;
const SOFTWARE_NVIDIA: u8 = 16;

/// Makes evidence of a machine's GPUs.
pub trait Gpus: Send + Sync {
    /// Evidence of all of them, in the form that evidence carries it.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn evidence(&self, nonce: &GpuNonce) -> Result<Vec<u8>, DeviceError>;
}

/// The GPUs of this machine, asked in this process.
pub struct Nvml {
    name: OsString,
    retry: crate::Retry,
    kind: u8,
    /// Loaded once and kept: starting it takes a second. The lock, since
    /// reports are made one at a time.
    library: Mutex<Option<Library>>,
}

impl Nvml {
    /// By the library's name or path: [`LIBRARY`].
    pub fn new(library: impl AsRef<Path>, retry: crate::Retry) -> Self {
        Self {
            name: library.as_ref().into(),
            retry,
            kind: NVIDIA,
            library: Mutex::default(),
        }
    }

    /// The same under the name of its software kind: for tests over a fake,
    /// since nobody accepts that for hardware.
    #[must_use]
    pub fn as_software(mut self) -> Self {
        self.kind = SOFTWARE_NVIDIA;
        self
    }

    /// [`Gpus::evidence`], with the nonce as it came over the pipe from the
    /// keeper, which had it in its type.
    pub(crate) fn reports(&self, nonce: &[u8; 32]) -> Result<Vec<u8>, DeviceError> {
        self.with(|library| {
            self.check_mode(library)?;
            let gpus = (0..self.count(library)?)
                .map(|index| self.one(library, index, nonce))
                .collect::<Result<_, _>>()?;
            Ok(carried::gpus(gpus))
        })
    }

    fn with<T>(&self, work: impl Fn(&Library) -> Result<T, DeviceError>) -> Result<T, DeviceError> {
        let mut held = self
            .library
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.retry.run(|| {
            if held.is_none() {
                *held = Some(Library::start(&self.name).map_err(|error| self.error(error))?);
            }
            match &*held {
                Some(library) => work(library),
                None => Err(self.problem(Problem::NoDevice)),
            }
        })
    }

    fn check_mode(&self, library: &Library) -> Result<(), DeviceError> {
        let state = library.state().map_err(|error| self.error(error))?;
        let off = |why: &str| Err(self.problem(Problem::NotConfidential(why.into())));
        if state.feature == 0 {
            return off("the GPU's confidential computing mode is off");
        }
        if state.developer_tools != 0 {
            return off("the GPU runs with developer tools: whoever uses them reads its memory");
        }
        Ok(())
    }

    fn count(&self, library: &Library) -> Result<u32, DeviceError> {
        match library.count().map_err(|error| self.error(error))? {
            0 => Err(self.problem(Problem::NoDevice)),
            count if count > MAX_GPUS => Err(self.problem(Problem::Refused(format!(
                "{count} GPUs, and evidence has room for {MAX_GPUS}"
            )))),
            count => Ok(count),
        }
    }

    fn one(&self, library: &Library, index: u32, nonce: &[u8; 32]) -> Result<Gpu, DeviceError> {
        let report = library
            .report(index, nonce)
            .map_err(|error| self.error(error))?;
        let carried = report.get(NONCE_AT..).and_then(<[u8]>::first_chunk);
        if carried != Some(nonce) {
            let why = format!("the report of GPU {index} carries another nonce than it was given");
            return Err(self.problem(Problem::Malformed(why)));
        }
        let chain = library.chain(index).map_err(|error| self.error(error))?;
        Ok(Gpu {
            kind: self.kind,
            report: report.into(),
            chain: chain.into(),
        })
    }

    fn problem(&self, problem: Problem) -> DeviceError {
        DeviceError::new(
            Interface::Nvml,
            Path::new(&self.name).display().to_string(),
            problem,
        )
    }

    fn error(&self, failed: Failed) -> DeviceError {
        self.problem(match failed {
            // UNINITIALIZED comes from a driver that was taken away.
            Failed::NoLibrary => Problem::NoDevice,
            Failed::NoFunction(name) => Problem::Refused(format!(
                "the library has no {name}: its driver is too old for confidential computing"
            )),
            Failed::Malformed(why) => Problem::Malformed(why.into()),
            Failed::Code(code, text) => match code {
                // NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND
                6 | 9 | 12 => Problem::NoDevice,
                4 => Problem::NoPermission,
                // TIMEOUT
                10 => Problem::TimedOut(std::time::Duration::ZERO),
                // IN_USE, INSUFFICIENT_RESOURCES, NOT_READY
                19 | 23 | 27 => Problem::Throttled { tries: 1 },
                // NOT_SUPPORTED
                3 => Problem::NotConfidential("the GPU has no confidential computing".into()),
                _ => Problem::Refused(format!("{} (NVML error {code})", crate::shown(&text))),
            },
        })
    }
}

impl Gpus for Nvml {
    fn evidence(&self, nonce: &GpuNonce) -> Result<Vec<u8>, DeviceError> {
        self.reports(nonce.as_bytes())
    }
}
