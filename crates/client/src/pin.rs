//! TLS by key, not by name: any certificate is taken, its key is recorded,
//! and nothing that matters is sent before evidence vouched for exactly that
//! key. The handshake's signature is checked as ever, so whoever answers
//! holds the key.

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use soundproof_protocol::digest::Digest;
use std::sync::{Arc, Mutex, PoisonError};

/// Which key the connections of one transport may have.
#[derive(Debug)]
pub(crate) struct Pin {
    state: Mutex<State>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// SHA-256 of the SubjectPublicKeyInfo: the first that was seen, or the
    /// one that was given. No other is taken on any later connection.
    key: Option<Digest>,
    refused: bool,
}

impl Pin {
    /// Takes the first key that it sees if `key` is `None`.
    pub(crate) fn new(key: Option<Digest>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                key,
                refused: false,
            }),
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        })
    }

    /// The key of every connection so far.
    pub(crate) fn key(&self) -> Option<Digest> {
        self.lock().key
    }

    /// Whether a connection was refused for its key.
    pub(crate) fn has_refused(&self) -> bool {
        self.lock().refused
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A TLS configuration that obeys this pin. No resumption: each
    /// connection shows its key.
    pub(crate) fn client_config(self: &Arc<Self>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let found = Digest::of(certificate.subject_public_key_info().as_ref());
        let mut state = self.lock();
        if *state.key.get_or_insert(found) == found {
            Ok(ServerCertVerified::assertion())
        } else {
            state.refused = true;
            Err(rustls::Error::General("another key than the pinned".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
