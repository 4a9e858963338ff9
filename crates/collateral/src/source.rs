//! One source: what it can be asked for, whether it wants to be left alone,
//! and how it did.

use crate::{
    config::{Evaluation, Kind, SourceConfig},
    fault::{Failure, Fault},
    http::{self, Http},
    kds, nvidia, pcs,
    target::Target,
};
use reqwest::Url;
use soundproof_evidence::gpu::{Gpu, device::Architecture};
use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};

/// Milliseconds that a source is left alone which does not say how long.
const HOLD_MS: u64 = 60_000;

/// See the module.
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    http: Http,
    root_crl: Url,
    timeout: std::time::Duration,
    /// Until when it is left alone; ms since 1970.
    held_until_ms: AtomicU64,
    pub(crate) fetched: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) throttled: AtomicU64,
}

impl Source {
    /// # Errors
    /// What is wrong with the setting.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, String> {
        let root_crl = config.root_crl.as_deref().unwrap_or(pcs::ROOT_CRL);
        // The URL names a file: no slash is added to it.
        http::base(root_crl)?;
        let root_crl = Url::parse(root_crl).map_err(|error| error.to_string())?;
        let http = Http::new(config)?;
        Ok(Self {
            kind: config.kind,
            name: http.base.as_str().trim_end_matches('/').to_owned(),
            http,
            root_crl,
            timeout: config.timeout(),
            held_until_ms: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        })
    }

    /// Whether it speaks of such targets.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        match target {
            Target::Dcap { .. } => matches!(self.kind, Kind::Pcs | Kind::Pccs),
            Target::Vcek { .. } | Target::Vlek { .. } | Target::Chain { .. } => {
                self.kind == Kind::Kds
            }
            Target::Rim(_) => self.kind == Kind::Rim,
            Target::Ocsp(_) => self.kind == Kind::Ocsp,
        }
    }

    /// Seconds that it is to be left alone yet.
    pub(crate) fn held_s(&self, now_ms: u64) -> Option<u64> {
        let left = self
            .held_until_ms
            .load(Ordering::Relaxed)
            .saturating_sub(now_ms);
        (left > 0).then(|| left.div_ceil(1000))
    }

    /// Fetches all that belongs to a target, in the source's time.
    pub(crate) async fn fetch(
        &self,
        target: &Target,
        evaluation: Evaluation,
        now_ms: u64,
    ) -> Result<Vec<u8>, Failure> {
        self.bounded(self.documents(target, evaluation, now_ms), now_ms)
            .await
    }

    /// Has GPUs of one architecture judged, in the source's time.
    pub(crate) async fn appraise(
        &self,
        architecture: Architecture,
        nonce: &[u8; 32],
        gpus: &[&Gpu],
        now_ms: u64,
    ) -> Result<Vec<u8>, Failure> {
        let work = nvidia::nras(&self.http, architecture, nonce, gpus, now_ms);
        self.bounded(work, now_ms).await
    }

    /// Does it in the source's time, and keeps count.
    async fn bounded(
        &self,
        work: impl Future<Output = Result<Vec<u8>, Failure>>,
        now_ms: u64,
    ) -> Result<Vec<u8>, Failure> {
        let result = match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure {
                document: "all documents",
                fault: Fault::Slow {
                    ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
                },
            }),
        };
        match &result {
            Ok(_) => count(&self.fetched),
            Err(failure) => {
                count(&self.failed);
                if let Fault::Throttled { retry_after_s } = failure.fault {
                    count(&self.throttled);
                    let wait = retry_after_s.map_or(HOLD_MS, |seconds| seconds * 1000);
                    let until = now_ms.saturating_add(wait);
                    self.held_until_ms.fetch_max(until, Ordering::Relaxed);
                }
            }
        }
        result
    }

    async fn documents(
        &self,
        target: &Target,
        evaluation: Evaluation,
        now_ms: u64,
    ) -> Result<Vec<u8>, Failure> {
        let http = &self.http;
        let body = match target {
            Target::Dcap { tee, fmspc, ca } => {
                let ask = pcs::Ask {
                    tee: *tee,
                    fmspc: *fmspc,
                    ca: *ca,
                    evaluation,
                };
                return pcs::fetch(http, self.kind, &self.root_crl, &ask, now_ms).await;
            }
            Target::Vcek {
                product,
                chip_id,
                tcb,
            } => kds::vcek(http, *product, chip_id, *tcb, now_ms).await?,
            Target::Rim(id) => return nvidia::rim(http, id, now_ms).await,
            Target::Ocsp(id) => return nvidia::ocsp(http, id, now_ms).await,
            Target::Vlek { product } => kds::chain(http, kds::Keys::Vlek, *product, now_ms).await?,
            Target::Chain { product } => {
                kds::chain(http, kds::Keys::Vcek, *product, now_ms).await?
            }
        };
        Ok(body.to_vec())
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
