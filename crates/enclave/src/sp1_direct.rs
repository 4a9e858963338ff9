//! The direct path: SP1's own clients served at the gateway's own address, in
//! the gateway's process. Nobody appraises for them; their inputs arrive in
//! clear inside TLS and are sealed as they stream in, under keys that are
//! gone with the keeper. Off unless the operator turns it on, and attested.
//!
//! | module | what |
//! |---|---|
//! | `keys` | keys, from the keeper's secret |
//! | `stash` | inputs, programs and proofs on disk, as ciphertext |
//! | `journal` | records of requests, likewise |
//!
//! Jobs go to the gateway's inner listener as any client's do, by the client
//! library; receipts say `client_appraised: false`.

mod journal;
mod keys;
mod stash;

use crate::Error;
use axum::{Router, extract::Request};
use journal::SealedJournal;
use keys::Keys;
use soundproof::{Client, Policy};
use soundproof_gateway::{
    GatewayConfig,
    direct::{Build, Inner},
};
use soundproof_sp1_network::{
    Address, Config, Network, Parts, Requesters, SystemClock, SystemEntropy,
};
use soundproof_sp1_proxy::{ClientBackend, Receipts, Rhythm, Standing};
use stash::SealedStash;
use std::{path::PathBuf, sync::Arc};
use tower::ServiceExt as _;

/// The folder inside the store's.
const FOLDER: &str = "sp1-direct";

/// What the gateway calls if the keeper has the direct path on.
///
/// # Errors
/// A setting that cannot be used.
pub(crate) fn build(config: &GatewayConfig) -> Result<Build, Error> {
    let settings = Settings {
        folder: config.data.join(FOLDER),
        min_free: config.storage.min_free_bytes,
        base_url: config.sp1_public_url.as_deref().map(base).transpose()?,
        requesters: requesters(&config.sp1_requesters)?,
    };
    Ok(Box::new(|inner| Box::pin(router(settings, inner))))
}

struct Settings {
    folder: PathBuf,
    min_free: u64,
    base_url: Option<String>,
    requesters: Requesters,
}

async fn router(settings: Settings, inner: Inner) -> Result<Router, Error> {
    let base_url = match settings.base_url {
        Some(url) => url,
        None if inner.public.address.ip().is_unspecified() => {
            return Err(
                "set sp1_public_url: nobody can be sent to the address that is listened on".into(),
            );
        }
        None => inner.public.url(),
    };
    // Its own server is what it stands in: there is nothing to appraise that
    // would not be asking itself.
    let client = Client::builder(inner.url, Policy::default())
        .api_key(inner.key.as_str())
        .danger_unappraised()
        .build()?;
    // Who turned this path on acknowledged for its users; an operator who
    // refuses such modes refuses them here too.
    let standing = Standing::watch(client.clone(), true, Rhythm::default());
    let receipts = Arc::new(Receipts::in_memory());
    let backend = ClientBackend::new(client, standing, receipts.clone());
    let keys = Arc::new(Keys::new(inner.secret));
    let mut config = Config::default();
    config.base_url = Some(base_url);
    config.requesters = settings.requesters;
    let stash = SealedStash::open(
        settings.folder.join("stash"),
        keys.clone(),
        settings.min_free,
    )?;
    let network = Network::open(Parts {
        backend: Arc::new(backend),
        stash: Arc::new(stash),
        journal: Arc::new(SealedJournal::open(settings.folder.join("journal"), keys)?),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        config,
    })
    .await?;
    let router = afresh(network.router().merge(receipts.router()));
    tokio::spawn(async move {
        inner.stopping.cancelled().await;
        network.stop().await;
    });
    Ok(router)
}

/// A router that sees requests as they came: what the gateway's own router
/// noted of a path is not this one's.
fn afresh(router: Router) -> Router {
    Router::new().fallback(move |mut request: Request| {
        request.extensions_mut().clear();
        router.clone().oneshot(request)
    })
}

/// How URLs begin, without a slash at the end.
fn base(text: &str) -> Result<String, Error> {
    let url = text.trim_end_matches('/');
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['?', '#', '@', ' ']) => Ok(url.into()),
        _ => Err(format!("sp1_public_url is no URL to begin with: {text}").into()),
    }
}

fn requesters(listed: &[String]) -> Result<Requesters, Error> {
    if listed.is_empty() {
        return Ok(Requesters::Any);
    }
    let address = |text: &String| -> Result<Address, Error> {
        let wrong = || format!("sp1_requesters: {text} is not 0x and 40 hexadecimal digits").into();
        text.strip_prefix("0x")
            .and_then(Address::from_hex)
            .ok_or_else(wrong)
    };
    Ok(Requesters::Only(
        listed.iter().map(address).collect::<Result<_, _>>()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_used_are_refused() {
        assert_eq!(base("https://a.example/").unwrap(), "https://a.example");
        assert_eq!(base("http://127.0.0.1:80").unwrap(), "http://127.0.0.1:80");
        for wrong in [
            "",
            "a.example",
            "ftp://a",
            "https://",
            "https://u@a",
            "https://a?b",
        ] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
        let one = format!("0x{}", "aB".repeat(20));
        let Requesters::Only(these) = requesters(core::slice::from_ref(&one)).unwrap() else {
            panic!("everybody");
        };
        assert!(these.contains(&Address([0xab; 20])));
        assert_eq!(requesters(&[]).unwrap(), Requesters::Any);
        for wrong in ["", "0x", &one[2..], &one[..41], "0xzz"] {
            assert!(requesters(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
