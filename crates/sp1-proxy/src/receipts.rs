//! Receipts of the proofs that passed through: public, kept in memory, and in
//! a folder where one was named. The only thing that is ever written.

use axum::{
    Router,
    extract::{Path as UrlPath, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use soundproof::{
    Proven,
    protocol::{api::CBOR, id::JobId},
};
use std::{
    collections::VecDeque,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subtle::ConstantTimeEq as _;

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

    /// Answers `GET /sp1/receipts/<request id in hexadecimal>`: whoever knows
    /// a request's id may have its receipt.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/sp1/receipts/{request}", get(receipt))
            .with_state(self)
    }

    fn of(&self, request: &[u8; 32]) -> Option<Vec<u8>> {
        let list = self.lock();
        let kept = list
            .iter()
            .find(|kept| kept.request.ct_eq(request).into())?;
        Some(kept.bundle.clone())
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
            let (name, bundle) = (hex::encode(request), kept.bundle.clone());
            let written = tokio::task::spawn_blocking(move || write(&folder, &name, &bundle)).await;
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

async fn receipt(
    State(receipts): State<Arc<Receipts>>,
    UrlPath(request): UrlPath<String>,
) -> Response {
    let mut id = [0; 32];
    let found = hex::decode_to_slice(request, &mut id)
        .ok()
        .and_then(|()| receipts.of(&id));
    match found {
        Some(bundle) => ([(header::CONTENT_TYPE, CBOR)], bundle).into_response(),
        None => (StatusCode::NOT_FOUND, "no receipt of this request is kept").into_response(),
    }
}

/// Whole or not at all.
fn write(folder: &Path, name: &str, bundle: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bundle)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(format!("{name}.bundle")))
        .map_err(|error| error.error)?;
    Ok(())
}
