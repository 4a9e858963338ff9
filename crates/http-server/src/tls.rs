//! TLS (aws-lc-rs) with a key made in this process, or with given files.
//! Clients pin the key by its digest; WebPKI is not needed.

use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
};
use soundproof_protocol::digest::Digest;
use std::{net::IpAddr, path::Path, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// Why there is no identity. Holds neither a file's text nor a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be used.
    #[error("{path}: {why}")]
    File {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
    /// The certificate cannot be made, or does not go with its key.
    #[error("TLS: {0}")]
    Certificate(String),
}

/// What a TLS listener needs.
pub struct Identity {
    config: Arc<ServerConfig>,
    spki: Digest,
}

impl Identity {
    /// A fresh key, and a certificate for `name` that it signs itself, valid
    /// for `localhost` and the address.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn self_signed(name: &str, listen: IpAddr) -> Result<Self, TlsError> {
        let failed = |error: rcgen::Error| TlsError::Certificate(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), listen.to_string()])
            .map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(failed)?;
        let spki = Digest::of(&key.subject_public_key_info());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self::new(vec![certificate.der().clone()], key.into(), spki)
    }

    /// PEM files: a certificate chain, leaf first, and its private key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unusable = |path: &Path, why: String| TlsError::File {
            path: path.display().to_string(),
            why,
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unusable(certificate, error.to_string()))?;
        // Neither the text nor the key may end up in an error.
        let no_key = || unusable(key, "not a private key in PEM".into());
        let private = PrivateKeyDer::from_pem_file(key).map_err(|_| no_key())?;
        let spki = aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|_| no_key())?
            .public_key()
            .map(|spki| Digest::of(&spki))
            .ok_or_else(no_key)?;
        Self::new(chain, private, spki)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        spki: Digest,
    ) -> Result<Self, TlsError> {
        // The provider is named: nothing is installed for the whole process.
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            spki,
        })
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki(&self) -> Digest {
        self.spki
    }

    /// Takes connections under it.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_are_read_and_their_text_is_in_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("chain"), folder.path().join("key"));
        let made = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .self_signed(&made)
            .unwrap();
        fs::write(&certificate, signed.pem()).unwrap();
        fs::write(&key, made.serialize_pem()).unwrap();
        let identity = Identity::from_files(&certificate, &key).unwrap();
        let expected = Digest::of(&made.subject_public_key_info());
        assert_eq!(identity.spki(), expected);
        // A key of another certificate, no key, no certificate.
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let wrong = Identity::from_files(&certificate, &key);
        assert!(matches!(wrong, Err(TlsError::Certificate(_))));
        for text in ["", "secret words", &signed.pem()] {
            fs::write(&key, text).unwrap();
            let why = match Identity::from_files(&certificate, &key) {
                Err(error @ TlsError::File { .. }) => error.to_string(),
                _ => panic!("{text}"),
            };
            assert!(why.ends_with("not a private key in PEM"), "{why}");
        }
        assert!(Identity::from_files(&folder.path().join("none"), &key).is_err());
    }

    #[test]
    fn every_start_has_another_key() {
        let identity = || Identity::self_signed("one", [127, 0, 0, 1].into()).unwrap();
        assert_ne!(identity().spki(), identity().spki());
    }
}
