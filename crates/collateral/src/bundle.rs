//! Endorsements in a file: for machines without a network, and to judge a
//! file's evidence by newer endorsements. Deterministic CBOR; the collateral
//! that DCAP tools exchange as JSON is read too.

use crate::{
    cache::Stored,
    fault::CollateralError,
    gpu::{self, Wanted},
    item::{self, Item, SnpBody},
    target::Target,
};
use minicbor::{Decode, Encode};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence},
    cbor,
};
use std::{io::Read as _, path::Path, sync::Arc};

/// Bytes of a file at most.
pub const MAX_BUNDLE: usize = 16 * 1024 * 1024;
/// Items in one at most.
const MAX_ITEMS: usize = 256;
/// The version of the format.
const VERSION: u16 = 1;

#[derive(Encode, Decode)]
#[cbor(map)]
struct File {
    #[n(0)]
    version: u16,
    #[n(1)]
    items: Vec<Stored>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    items: Vec<Item>,
}

impl Bundle {
    /// Of items, one a target.
    pub fn new(items: impl IntoIterator<Item = Item>) -> Self {
        Self {
            items: items.into_iter().collect(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is malformed.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_BUNDLE {
            return Err("it is too long");
        }
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            return Ok(Self::new([item::bare_dcap(bytes)?]));
        }
        let file: File = cbor::from_slice(bytes, MAX_BUNDLE)
            .map_err(|_| "it is neither a bundle of endorsements nor DCAP collateral in JSON")?;
        if file.version != VERSION {
            return Err("it is of another version");
        }
        if file.items.len() > MAX_ITEMS {
            return Err("it has too many items");
        }
        let items = file.items.into_iter().map(Stored::read);
        Ok(Self::new(items.collect::<Result<Vec<_>, _>>()?))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`CollateralError::Bundle`].
    pub fn read(path: &Path) -> Result<Self, CollateralError> {
        let wrong = |why: String| CollateralError::Bundle {
            path: path.display().to_string(),
            why,
        };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BUNDLE as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| wrong(error.to_string()))?;
        Self::from_slice(&bytes).map_err(|why| wrong(why.to_owned()))
    }

    /// As a file has it.
    pub fn to_vec(&self) -> Vec<u8> {
        cbor::to_vec(&File {
            version: VERSION,
            items: self.items.iter().map(Stored::from).collect(),
        })
    }

    /// What is in it.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Endorsements for evidence, instead of those that came with it where it
    /// has some. Nothing is verified here.
    ///
    /// # Errors
    /// [`CollateralError`], where it has none of that machine. What it lacks of
    /// the machine's GPUs is for the verdict to say.
    pub fn endorse(
        &self,
        evidence: &Evidence,
        given: Option<&Endorsements>,
    ) -> Result<Endorsements, CollateralError> {
        let item = match Target::of_machine(evidence, given)? {
            None => None,
            Some(target) => Some(
                self.newest(&target)
                    .ok_or_else(|| CollateralError::Bundle {
                        path: "the bundle".into(),
                        why: format!("it has no endorsements of {}", target.name()),
                    })?,
            ),
        };
        let mut endorsements = join(evidence, given, item);
        if let Some(wanted) = Wanted::of(evidence) {
            let find = |target| self.newest(&target).cloned().map(Arc::new);
            let room = endorsements.body.0.len();
            endorsements.gpu = gpu::stapled(&wanted.find(find), gpu::given(given), room);
        }
        Ok(endorsements)
    }

    fn newest(&self, target: &Target) -> Option<&Item> {
        let items = self.items.iter().filter(|item| item.target == *target);
        items.max_by_key(|item| item.fetched_ms)
    }
}

/// Endorsements of what was fetched and what the host gave.
pub(crate) fn join(
    evidence: &Evidence,
    given: Option<&Endorsements>,
    item: Option<&Item>,
) -> Endorsements {
    let mut endorsements = given
        .cloned()
        .unwrap_or_else(|| Endorsements::new(evidence.platform, Vec::new()));
    let Some(item) = item else {
        return endorsements;
    };
    endorsements.body = match &item.target {
        Target::Vlek { .. } | Target::Chain { .. } => {
            let read = |bytes: &[u8]| SnpBody::from_slice(bytes).unwrap_or_default();
            let given = read(&endorsements.body.0);
            SnpBody::beside(given, read(&item.body)).to_vec().into()
        }
        _ => item.body.clone().into(),
    };
    endorsements
}
