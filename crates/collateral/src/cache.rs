//! Items on disk: one file each, written whole or not at all, and read again
//! with as much doubt as an answer from the network.

use crate::{item::Item, target::Target};
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use soundproof_protocol::{
    attestation::MAX_ENDORSEMENTS,
    cbor::{self, Bytes},
};
use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Bytes of a file at most.
pub(crate) const MAX_FILE: usize = MAX_ENDORSEMENTS + 4096;
/// What their names end in.
const EXTENSION: &str = "item";
/// The first bytes of a file's digest's input.
const TAG: &[u8] = b"soundproof/1/collateral-item";

/// An item, as files and bundles have it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Stored {
    #[n(0)]
    pub(crate) target: String,
    #[n(1)]
    pub(crate) body: Bytes,
    #[n(2)]
    pub(crate) fetched_ms: u64,
    #[n(3)]
    pub(crate) source: String,
}

impl From<&Item> for Stored {
    fn from(item: &Item) -> Self {
        Self {
            target: item.target.key(),
            body: item.body.clone().into(),
            fetched_ms: item.fetched_ms,
            source: item.source.clone(),
        }
    }
}

impl Stored {
    /// # Errors
    /// What is malformed.
    pub(crate) fn read(self) -> Result<Item, &'static str> {
        let target = Target::from_key(&self.target).ok_or("name of a target")?;
        let source = self.source.chars().filter(|c| !c.is_control());
        let source: String = source.take(200).collect();
        Item::new(target, self.body.0, self.fetched_ms, source)
    }
}

/// A folder of items.
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder if need be.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, target: &Target) -> PathBuf {
        self.folder.join(name(target))
    }

    /// The item of a target; one that was damaged is removed.
    pub(crate) fn read(&self, target: &Target) -> Option<Item> {
        let path = self.path(target);
        if !path.exists() {
            return None;
        }
        let item = read_file(&path).filter(|item| item.target == *target);
        if item.is_none() {
            tracing::warn!(target = target.name(), "a cached copy was damaged; removed");
            let _ = std::fs::remove_file(&path);
        }
        item
    }

    /// Keeps it; what was kept before is there until then.
    pub(crate) fn write(&self, item: &Item) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&write(item))?;
        file.as_file().sync_all()?;
        file.persist(self.path(&item.target))
            .map_err(|error| error.error)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }
}

/// The name of a target's file.
pub(crate) fn name(target: &Target) -> String {
    let digest = Sha256::digest(target.key().as_bytes());
    format!("{}.{EXTENSION}", hex::encode(digest))
}

/// Whether it is the name of an item's file.
pub(crate) fn is_item(name: &str) -> bool {
    Path::new(name).extension() == Some(EXTENSION.as_ref())
}

/// The item in a file; `None` if it is damaged, or cannot be read.
pub(crate) fn read_file(path: &Path) -> Option<Item> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(MAX_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    read(&bytes)
}

fn digest(body: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(TAG)
        .chain_update(body)
        .finalize()
        .into()
}

pub(crate) fn write(item: &Item) -> Vec<u8> {
    let body = cbor::to_vec(&Stored::from(item));
    [digest(&body).as_slice(), &body].concat()
}

pub(crate) fn read(bytes: &[u8]) -> Option<Item> {
    let (expected, body) = bytes.split_first_chunk::<32>()?;
    if digest(body) != *expected {
        return None;
    }
    let stored: Stored = cbor::from_slice(body, MAX_FILE).ok()?;
    stored.read().ok()
}
