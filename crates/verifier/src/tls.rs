//! TLS with a key made in this process, or with given files.

use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
};
use soundproof_protocol::digest::Digest;
use std::{net::IpAddr, path::PathBuf, sync::Arc};

/// What a TLS listener needs.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) spki: Digest,
}

impl Identity {
    /// Given files, or off loopback a key made here; `None` for plain HTTP.
    pub(crate) fn choose(
        files: Option<&(PathBuf, PathBuf)>,
        listen: IpAddr,
    ) -> Result<Option<Self>, String> {
        match files {
            Some((certificate, key)) => Self::from_files(certificate, key).map(Some),
            None if listen.is_loopback() => Ok(None),
            None => Self::self_signed(listen).map(Some),
        }
    }

    fn self_signed(listen: IpAddr) -> Result<Self, String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), listen.to_string()])
            .map_err(|error| error.to_string())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "soundproof verifier");
        let certificate = params
            .self_signed(&key)
            .map_err(|error| error.to_string())?;
        let spki = Digest::of(&key.subject_public_key_info());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self::new(vec![certificate.der().clone()], key.into(), spki)
    }

    fn from_files(certificate: &PathBuf, key: &PathBuf) -> Result<Self, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| format!("{}: {error}", certificate.display()))?;
        // Neither the text nor the key may end up in an error.
        let unreadable = || format!("{}: not a private key in PEM", key.display());
        let private = PrivateKeyDer::from_pem_file(key).map_err(|_| unreadable())?;
        let spki = aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|_| unreadable())?
            .public_key()
            .map(|spki| Digest::of(&spki))
            .ok_or_else(unreadable)?;
        Self::new(chain, private, spki)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        spki: Digest,
    ) -> Result<Self, String> {
        // The provider is named: nothing is installed for the whole process.
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            spki,
        })
    }
}
