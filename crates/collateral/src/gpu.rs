//! What a session's GPUs are judged with: the manifests of the driver and the
//! video BIOS that they say they run, and whether certificates of their chains
//! and of the manifests' signers were revoked. With a source that is NVIDIA's
//! attestation service, its results too.
//!
//! What cannot be had is left out, and warned of: a policy may do without it,
//! and where it does not, the verdict names what is missing.

use crate::{
    item::Item,
    nvidia::{self, RimId},
    target::Target,
};
use futures_util::future::join_all;
use soundproof_evidence::gpu::{
    Gpu, GpuEndorsements, GpuEvidence, MAX_ENDORSED, Needs, device::Architecture, ocsp::CertId,
};
use soundproof_protocol::{
    attestation::{Endorsements, Evidence, MAX_ENDORSEMENTS},
    cbor::{self, Bytes},
    digest::Digest,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// What the GPUs of one session need.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) manifests: BTreeSet<RimId>,
    pub(crate) certificates: BTreeSet<CertId>,
    /// Those whose evidence verifies, with what they are.
    pub(crate) gpus: Vec<(Gpu, Needs)>,
}

impl Wanted {
    /// `None` where there is no GPU, or nothing that is signed by one.
    pub(crate) fn of(evidence: &Evidence) -> Option<Self> {
        let gpus = GpuEvidence::from_slice(&evidence.gpu.as_ref()?.0).ok()?;
        let with_needs = |gpu: Gpu| Needs::of(&gpu).map(|needs| (gpu, needs));
        let gpus: Vec<_> = gpus.gpus.into_iter().filter_map(with_needs).collect();
        if gpus.is_empty() {
            return None;
        }
        let needs = || gpus.iter().map(|(_, needs)| needs);
        let names = needs().flat_map(|needs| &needs.manifests);
        let manifests = names.filter_map(|name| RimId::new(name)).collect();
        let certificates = needs().flat_map(|needs| &needs.certificates).cloned();
        Some(Self {
            manifests,
            certificates: certificates.take(MAX_ENDORSED).collect(),
            gpus,
        })
    }

    /// What the attestation service is asked about at once: GPUs of one
    /// architecture and nonce.
    pub(crate) fn groups(&self) -> BTreeMap<(Architecture, [u8; 32]), Vec<&Gpu>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for (gpu, needs) in &self.gpus {
            let key = (needs.architecture, needs.nonce);
            groups.entry(key).or_default().push(gpu);
        }
        groups
    }

    fn rims(&self) -> impl Iterator<Item = Target> {
        self.manifests.iter().cloned().map(Target::Rim)
    }

    fn chains(&self) -> impl Iterator<Item = Target> {
        self.certificates.iter().cloned().map(Target::Ocsp)
    }

    /// Certificates of the manifests' signers.
    fn signers(&self, manifests: &[Arc<Item>]) -> impl Iterator<Item = Target> + use<> {
        let room = MAX_ENDORSED.saturating_sub(self.certificates.len());
        let chains = manifests
            .iter()
            .filter_map(|item| nvidia::manifest(&item.body));
        let all: BTreeSet<CertId> = chains
            .flat_map(|(_, chain)| CertId::of_chain(&chain).collect::<Vec<_>>())
            .filter(|id| !self.certificates.contains(id))
            .collect();
        all.into_iter().take(room).map(Target::Ocsp)
    }

    /// Those that there are, in the order in which they are stapled.
    pub(crate) fn find(&self, find: impl Fn(Target) -> Option<Arc<Item>>) -> Vec<Arc<Item>> {
        let mut items: Vec<_> = self.rims().filter_map(&find).collect();
        let signers = self.signers(&items);
        items.extend(self.chains().filter_map(&find));
        items.extend(signers.filter_map(&find));
        items
    }

    /// The same, asked for all at once.
    pub(crate) async fn fetch<F: Future<Output = Option<Arc<Item>>>>(
        &self,
        get: impl Fn(Target) -> F,
    ) -> Vec<Arc<Item>> {
        let rims = join_all(self.rims().map(&get));
        let chains = join_all(self.chains().map(&get));
        let (rims, chains) = tokio::join!(rims, chains);
        let mut items: Vec<_> = rims.into_iter().flatten().collect();
        let signers = join_all(self.signers(&items).map(&get)).await;
        items.extend(chains.into_iter().flatten());
        items.extend(signers.into_iter().flatten());
        items
    }
}

/// Items as endorsements carry them, instead of what was `given` where there
/// are some of that kind, beside a body of that length. `None` if there is
/// nothing.
pub(crate) fn stapled(
    items: &[Arc<Item>],
    given: GpuEndorsements,
    body_len: usize,
) -> Option<Bytes> {
    let instead = |given: Vec<Bytes>, is: fn(&Target) -> bool| {
        let items = items.iter().filter(|item| is(&item.target));
        let items: Vec<_> = items.map(|item| Bytes(item.body.clone())).collect();
        if items.is_empty() { given } else { items }
    };
    let endorsements = GpuEndorsements {
        manifests: instead(given.manifests, |target| matches!(target, Target::Rim(_))),
        revocation: instead(given.revocation, |target| matches!(target, Target::Ocsp(_))),
        results: given.results,
    };
    if endorsements == GpuEndorsements::default() {
        return None;
    }
    let bytes = cbor::to_vec(&endorsements);
    let room = MAX_ENDORSEMENTS.saturating_sub(body_len);
    if bytes.len() > room {
        let len = bytes.len();
        tracing::warn!(len, room, "the GPUs' endorsements are too long to be sent");
        return None;
    }
    Some(bytes.into())
}

/// What was given already.
pub(crate) fn given(endorsements: Option<&Endorsements>) -> GpuEndorsements {
    endorsements
        .and_then(|given| given.gpu.as_ref())
        .and_then(|bytes| GpuEndorsements::from_slice(&bytes.0).ok())
        .unwrap_or_default()
}

/// What was found out lately, by the evidence that it is about: many sessions
/// are opened with the same.
pub(crate) struct Recent<T>(Mutex<VecDeque<(Digest, Arc<OnceCell<T>>)>>);

/// Evidence that is remembered at most.
const MAX_RECENT: usize = 16;

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    /// Of that evidence, by `find` unless that was done.
    pub(crate) async fn get(&self, evidence: Digest, find: impl Future<Output = T>) -> T {
        let cell = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.iter().find(|(digest, _)| *digest == evidence);
            match known {
                Some((_, cell)) => cell.clone(),
                None => {
                    all.truncate(MAX_RECENT - 1);
                    let cell = Arc::new(OnceCell::new());
                    all.push_front((evidence, cell.clone()));
                    cell
                }
            }
        };
        cell.get_or_init(|| find).await.clone()
    }
}
