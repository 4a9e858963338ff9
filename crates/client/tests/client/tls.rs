//! TLS by key: the evidence must vouch for the key of the connection.

use crate::{
    QUICK,
    fake::{Fake, PROOF},
    program,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use soundproof::{
    Client,
    protocol::{digest::Digest, error::Code},
};
use std::sync::{Arc, Mutex};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// A self-signed certificate; SHA-256 of its SubjectPublicKeyInfo.
fn certificate() -> (Arc<rustls::ServerConfig>, Digest) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["soundproof".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    (Arc::new(config), Digest::of(&spki))
}

/// Listens with TLS; each connection with the configuration that is current.
async fn listen(fake: &Arc<Fake>, config: &Arc<Mutex<Arc<rustls::ServerConfig>>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (router, config) = (fake.router(), Arc::clone(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(config.lock().unwrap().clone());
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = auto::Builder::new(TokioExecutor::new())
                    .http1()
                    .keep_alive(false) // every call is a new connection
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}

#[tokio::test]
async fn the_key_that_is_vouched_for_is_taken_and_no_other() {
    let fake = Fake::new();
    let (config, key) = certificate();
    let config = Arc::new(Mutex::new(config));
    let url = listen(&fake, &config).await;
    let client = Client::builder(url, fake.policy())
        .retry(QUICK)
        .build()
        .unwrap();

    // The evidence vouches for no key, or for another: whoever answers is not
    // the enclave. It would pass if the pin were not compared.
    for vouched in [None, Some(Digest([5; 32]))] {
        *fake.tls_key.lock().unwrap() = vouched;
        fake.seen.lock().unwrap().clear();
        let error = client.prove(&program(), b"{}".to_vec()).await.unwrap_err();
        assert_eq!(error.code(), Code::TlsPinMismatch, "{error}");
        let seen = fake.seen.lock().unwrap();
        assert!(seen.iter().all(|call| call.path == "/v1/sessions"));
    }

    *fake.tls_key.lock().unwrap() = Some(key);
    let proven = client.prove(&program(), b"{}".to_vec()).await.unwrap();
    assert_eq!(proven.proof, PROOF);
}

#[tokio::test]
async fn a_key_that_changes_within_a_session_gets_nothing() {
    let fake = Fake::new();
    let (first, key) = certificate();
    let config = Arc::new(Mutex::new(first));
    let url = listen(&fake, &config).await;
    let client = Client::builder(url, fake.policy())
        .retry(QUICK)
        .build()
        .unwrap();
    *fake.tls_key.lock().unwrap() = Some(key);
    let session = Arc::new(client.open_session().await.unwrap());

    // Somebody else answers now, under another key.
    let (second, other) = certificate();
    *config.lock().unwrap() = second;
    fake.seen.lock().unwrap().clear();
    let mut upload = client
        .upload(
            &session,
            &program(),
            &soundproof::Input::bytes(b"{}".to_vec()),
            &soundproof::JobOptions::default(),
        )
        .unwrap();
    let error = upload.run(soundproof::Observer::NONE).await.unwrap_err();
    assert_eq!(error.code(), Code::TlsPinMismatch, "{error}");
    assert!(
        fake.seen.lock().unwrap().is_empty(),
        "not one call got through"
    );

    // It was the enclave itself, restarted: new evidence vouches for the new
    // key, and a new session is accepted.
    *fake.tls_key.lock().unwrap() = Some(other);
    client.prove(&program(), b"{}".to_vec()).await.unwrap();
}
