//! Readers of what interfaces answer, for fuzzing: each must refuse or accept,
//! and never panic.

use crate::Device;
use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

/// Which reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// An answer over HTTP.
    Http,
    /// An SEV-SNP host's certificate table.
    Certificates,
    /// The report of Azure's paravisor.
    HclReport,
    /// A Nitro attestation document.
    Document,
    /// An answer of the Nitro Security Module.
    Nsm,
    /// An answer of a TPM, to any command.
    Tpm,
}

impl Reader {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Http,
        Self::Certificates,
        Self::HclReport,
        Self::Document,
        Self::Nsm,
        Self::Tpm,
    ];

    /// Reads; says whether it accepted.
    pub fn read(self, bytes: &[u8]) -> bool {
        match self {
            Self::Http => {
                let request = crate::http::Request {
                    body: None,
                    path: "/",
                    host: "fuzz",
                    headers: &[],
                    max_body: 4096,
                    limit: Duration::from_secs(60),
                };
                crate::http::ask(Said(bytes), &request).is_ok()
            }
            Self::Certificates => crate::tsm::fuzz_certificates(bytes),
            Self::HclReport => crate::azure::fuzz_hcl_report(bytes),
            Self::Document => crate::carried::by_nitro_document(bytes).is_some(),
            Self::Nsm => crate::nsm::fuzz(Arc::new(Always(bytes.to_vec()))),
            Self::Tpm => {
                let tpm = crate::tpm::Tpm::new(Arc::new(Always(bytes.to_vec())), once());
                tpm.fuzz()
            }
        }
    }
}

/// One try, without pauses.
fn once() -> crate::Retry {
    crate::Retry {
        tries: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        limit: Duration::from_secs(60),
    }
}

/// A peer that says this, whatever it is asked.
struct Said<'a>(&'a [u8]);

impl Read for Said<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Said<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl crate::http::Connection for Said<'_> {
    fn bound(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

struct Always(Vec<u8>);

impl Device for Always {
    fn place(&self) -> String {
        "fuzz".into()
    }

    fn exchange(&self, _: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}
