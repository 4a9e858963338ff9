//! Short-lived keys that sign receipts. A session's transcript vouches for the
//! one that is current when it is opened; a job keeps it for its receipt; the
//! last to let go wipes it.

use crate::random;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::Generate as _;
use soundproof_protocol::{
    digest::Digest,
    receipt::Receipt,
    transcript::{KeyAlgorithm, KeyPurpose, VouchedKey},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A P-256 key; wiped when dropped.
pub(crate) struct ReceiptKey {
    secret: SigningKey,
    public: Vec<u8>,
}

impl ReceiptKey {
    fn generate() -> Self {
        let secret = SigningKey::generate_from_rng(&mut random::rng());
        let public = secret
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec();
        Self { secret, public }
    }

    /// SEC1 point, uncompressed.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// As a transcript vouches for it.
    pub(crate) fn vouched(&self) -> VouchedKey {
        VouchedKey {
            purpose: KeyPurpose::Receipt,
            algorithm: KeyAlgorithm::Es256,
            digest: Digest::of(&self.public),
        }
    }

    /// Signs a receipt.
    pub(crate) fn sign(&self, receipt: &Receipt) -> Vec<u8> {
        receipt.sign(&self.secret)
    }
}

/// The current one.
pub(crate) struct ReceiptKeys {
    lifetime: Duration,
    current: Mutex<(Arc<ReceiptKey>, Instant)>,
}

impl ReceiptKeys {
    pub(crate) fn new(lifetime: Duration) -> Self {
        let current = Mutex::new((Arc::new(ReceiptKey::generate()), Instant::now()));
        Self { lifetime, current }
    }

    /// The key for a session opened now.
    pub(crate) fn current(&self) -> Arc<ReceiptKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.elapsed() >= self.lifetime {
            *current = (Arc::new(ReceiptKey::generate()), Instant::now());
        }
        current.0.clone()
    }
}
