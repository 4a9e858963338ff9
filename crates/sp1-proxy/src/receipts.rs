//! Receipts of the proofs that passed through: public, kept in memory, and in
//! a folder where one was named. The only thing that is ever written.

use soundproof::{Proven, protocol::id::JobId};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Receipts that are kept in memory at most; the oldest goes first.
const MOST: usize = 256;

/// The receipt of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The SDK's request id.
    pub request: [u8; 32],
    /// The job that made the proof.
    pub job: JobId,
    /// The bundle: receipt, evidence and endorsements, for anybody to check.
    pub bundle: Vec<u8>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Receipts {
    folder: Option<PathBuf>,
    kept: Mutex<VecDeque<Kept>>,
}

impl Receipts {
    /// In memory only.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// In `folder` too, as `<request id in hexadecimal>.bundle`. Makes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn in_folder(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder: Some(folder),
            kept: Mutex::default(),
        })
    }

    /// Those that are kept, oldest first.
    pub fn list(&self) -> Vec<Kept> {
        self.lock().iter().cloned().collect()
    }

    /// Keeps a proof's receipt, once for each request. A folder that cannot
    /// be written to costs the receipt there, not the proof.
    pub(crate) async fn keep(&self, request: [u8; 32], proven: &Proven) {
        let kept = Kept {
            request,
            job: proven.job,
            bundle: proven.bundle_bytes(),
        };
        if let Some(folder) = self.folder.clone() {
            let (name, bundle) = (hex(&request), kept.bundle.clone());
            let written =
                tokio::task::spawn_blocking(move || write(&folder, &name, &bundle)).await;
            if !matches!(written, Ok(Ok(()))) {
                tracing::error!(?written, "a receipt could not be written");
            }
        }
        let mut list = self.lock();
        list.retain(|other| other.request != request);
        if list.len() >= MOST {
            list.pop_front();
        }
        list.push_back(kept);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole or not at all.
fn write(folder: &std::path::Path, name: &str, bundle: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bundle)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(format!("{name}.bundle")))
        .map_err(|error| error.error)?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
