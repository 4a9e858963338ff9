//! TDX quotes and SEV-SNP reports through configfs-tsm
//! (Linux, Documentation/ABI/testing/configfs-tsm-report): one folder a
//! report, `inblob` written, `outblob` read, `generation` compared so that
//! nobody else's question was answered. Beside a TDX quote goes the CC event
//! log, as firmware left it (ACPI table CCEL).

mod certificates;
mod configfs;

pub use configfs::{Configfs, Kernel};

use crate::{
    AttestError, Attester, Machine, carried,
    error::{DeviceError, Interface, Problem},
};
use certificates::{MAX_TABLE, Table};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, Platform},
    binding::Binding,
    cbor::Bytes,
};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes of a quote or report at most: what the kernel allows.
const MAX_REPORT: usize = 32 * 1024;
/// Bytes of an event log at most.
const MAX_EVENT_LOG: u64 = 256 * 1024;
/// Bytes of a text attribute at most: a page.
const MAX_TEXT: usize = 4096;
/// Bytes of an SEV-SNP report (SEV-SNP firmware ABI, table 23).
const SNP_REPORT: usize = 1184;
/// Names that are tried for a folder, if others' are in the way.
const MAX_NAMES: u32 = 16;

/// Who makes reports behind the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Tdx,
    Snp,
}

impl Provider {
    fn platform(self) -> Platform {
        match self {
            Self::Tdx => Platform::Tdx,
            Self::Snp => Platform::Snp,
        }
    }
}

/// See the module.
pub struct Tsm {
    configfs: Arc<dyn Configfs>,
    retry: crate::Retry,
    provider: Provider,
    platform: Platform,
    event_log: Option<Vec<u8>>,
    /// The last certificate table, already as endorsements.
    certificates: Mutex<Vec<u8>>,
}

impl Tsm {
    /// Looks who makes reports on this machine, and reads the event log.
    ///
    /// # Errors
    /// [`DeviceError`]: there is no interface, it may not be used, its
    /// provider is none that we know; or the event log is there and cannot be
    /// read.
    pub fn open(machine: &Machine) -> Result<Self, DeviceError> {
        let configfs = machine.configfs.clone();
        let provider = machine.retry.run(|| {
            let folder = Folder::make(&*configfs)?;
            folder.text("provider")
        })?;
        let provider = match provider.as_str() {
            "tdx_guest" => Provider::Tdx,
            "sev_guest" => Provider::Snp,
            other => {
                let problem = Problem::WrongProvider {
                    expected: "tdx_guest or sev_guest",
                    found: crate::shown(other),
                };
                return Err(DeviceError::new(Interface::Tsm, configfs.place(), problem));
            }
        };
        let event_log = match provider {
            Provider::Tdx => event_log(machine)?,
            Provider::Snp => None,
        };
        Ok(Self {
            configfs,
            retry: machine.retry,
            provider,
            platform: provider.platform(),
            event_log,
            certificates: Mutex::default(),
        })
    }

    /// The same under the name of its platform's software kind: for tests over
    /// a fake, since nobody accepts that for hardware.
    #[must_use]
    pub fn as_software(mut self) -> Self {
        self.platform = match self.provider {
            Provider::Tdx => Platform::Software,
            Provider::Snp => Platform::SoftwareSnp,
        };
        self
    }

    /// Whether firmware left an event log.
    pub fn has_event_log(&self) -> bool {
        self.event_log.is_some()
    }

    /// One report that carries `data`, with what came beside it.
    fn report(&self, data: &[u8; 64]) -> Result<(Vec<u8>, Vec<u8>), DeviceError> {
        let folder = Folder::make(&*self.configfs)?;
        let before = folder.number("generation")?;
        let mut writes = 0;
        // The least privileged level that this guest may speak for: the only
        // one there is without a paravisor.
        if self.provider == Provider::Snp
            && let Some(floor) = folder.optional(|| folder.number("privlevel_floor"))?
            && floor > 0
        {
            folder.write("privlevel", floor.to_string().as_bytes())?;
            writes += 1;
        }
        folder.write("inblob", data)?;
        writes += 1;
        let report = folder.read("outblob", MAX_REPORT)?;
        let beside = match self.provider {
            Provider::Snp => folder.optional(|| folder.read("auxblob", MAX_TABLE))?,
            Provider::Tdx => None,
        };
        // configfs hands a written blob over when the file is closed, and
        // tells nobody if that fails: this number does.
        if folder.number("generation")? != before.wrapping_add(writes) {
            let busy = io::Error::from(io::ErrorKind::ResourceBusy);
            return Err(folder.error(busy));
        }
        Ok((report, beside.unwrap_or_default()))
    }

    fn check(&self, report: &[u8], data: &[u8; 64]) -> Result<(), DeviceError> {
        let carried = match self.provider {
            Provider::Tdx => carried::by_tdx_quote(report),
            Provider::Snp => carried::by_snp_report(report).filter(|_| report.len() == SNP_REPORT),
        };
        let why = match carried {
            Some(carried) if carried == data => return Ok(()),
            Some(_) => "the report carries other data than it was asked to",
            None => "it is no report of this platform",
        };
        Err(DeviceError::malformed(
            Interface::Tsm,
            self.configfs.place(),
            why,
        ))
    }
}

impl Attester for Tsm {
    fn platform(&self) -> Platform {
        self.platform
    }

    fn evidence(&self, binding: &Binding) -> Result<Evidence, AttestError> {
        let data = binding.as_bytes();
        let (report, beside) = self.retry.run(|| self.report(data))?;
        self.check(&report, data)?;
        if self.provider == Provider::Snp {
            let table = Table::parse(&beside).map_err(|why| {
                DeviceError::malformed(Interface::Tsm, self.configfs.place(), why)
            })?;
            *self
                .certificates
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = endorsements(table);
        }
        Ok(Evidence {
            platform: self.platform,
            statement: Bytes(report),
            event_log: self.event_log.clone().map(Bytes),
            gpu: None,
            runtime: None,
        })
    }

    fn endorsements(&self) -> Result<Endorsements, AttestError> {
        let certificates = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Endorsements::new(self.platform, certificates.clone()))
    }
}

/// What the host handed out, in the form of SNP endorsements; empty without
/// the certificate of the key that signs.
fn endorsements(table: Table) -> Vec<u8> {
    let Some(signer) = table.vlek.or(table.vcek) else {
        return Vec::new();
    };
    let chain = [table.ask, table.ark].into_iter().flatten().collect();
    crate::carried::snp_endorsements(signer, chain, table.crl)
}

fn event_log(machine: &Machine) -> Result<Option<Vec<u8>>, DeviceError> {
    let path = &machine.event_log;
    let place = path.display().to_string();
    let read = std::fs::File::open(path).and_then(|file| {
        let mut log = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_EVENT_LOG + 1), &mut log)?;
        Ok(log)
    });
    match read {
        Ok(log) if log.len() as u64 > MAX_EVENT_LOG => Err(DeviceError::malformed(
            Interface::EventLog,
            place,
            "the event log is longer than it may be",
        )),
        Ok(log) => Ok(Some(log).filter(|log| !log.is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DeviceError::system(Interface::EventLog, place, error)),
    }
}

/// A folder of ours for one report; removed when dropped.
struct Folder<'a> {
    configfs: &'a dyn Configfs,
    name: String,
}

impl<'a> Folder<'a> {
    fn make(configfs: &'a dyn Configfs) -> Result<Self, DeviceError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..MAX_NAMES {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("soundproof-{}-{next}", std::process::id());
            match configfs.make(&name) {
                Ok(()) => return Ok(Self { configfs, name }),
                // Left behind by a process that had our number before us.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => {
                    return Err(DeviceError::system(Interface::Tsm, configfs.place(), error));
                }
            }
        }
        Err(DeviceError::system(Interface::Tsm, configfs.place(), last))
    }

    fn error(&self, error: io::Error) -> DeviceError {
        DeviceError::system(Interface::Tsm, self.configfs.place(), error)
    }

    fn malformed(&self, why: String) -> DeviceError {
        DeviceError::malformed(Interface::Tsm, self.configfs.place(), why)
    }

    fn write(&self, attribute: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        self.configfs
            .write(&self.name, attribute, bytes)
            .map_err(|error| self.error(error))
    }

    fn read(&self, attribute: &str, limit: usize) -> Result<Vec<u8>, DeviceError> {
        let bytes = self
            .configfs
            .read(&self.name, attribute, limit)
            .map_err(|error| self.error(error))?;
        if bytes.len() > limit {
            return Err(self.malformed(format!("{attribute} is longer than {limit} bytes")));
        }
        Ok(bytes)
    }

    fn text(&self, attribute: &str) -> Result<String, DeviceError> {
        let bytes = self.read(attribute, MAX_TEXT)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| self.malformed(format!("{attribute} is no text")))?;
        Ok(text.trim_end().to_owned())
    }

    fn number(&self, attribute: &str) -> Result<u64, DeviceError> {
        let text = self.text(attribute)?;
        text.parse().map_err(|_| {
            self.malformed(format!("{attribute} is no number: {}", crate::shown(&text)))
        })
    }

    /// An attribute that not every provider has.
    fn optional<T>(
        &self,
        read: impl FnOnce() -> Result<T, DeviceError>,
    ) -> Result<Option<T>, DeviceError> {
        match read() {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        // Left behind it costs the kernel a page, and nothing else.
        let _ = self.configfs.remove(&self.name);
    }
}

/// For [`fuzz`](crate::fuzz).
#[cfg(feature = "hardware")]
pub(crate) fn fuzz_certificates(bytes: &[u8]) -> bool {
    Table::parse(bytes).is_ok()
}
