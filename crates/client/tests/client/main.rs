//! The client library against a server that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests, too

mod appraisal;
mod fake;
mod jobs;
mod outcome;
mod sp1;
mod tls;

use fake::{Fake, VKEY};
use soundproof::{Client, Program, Retry};
use std::{sync::Arc, time::Duration};

/// Quick to try again, so that tests are.
const QUICK: Retry = Retry {
    attempts: 3,
    first: Duration::from_millis(1),
    longest: Duration::from_millis(5),
};

fn program() -> Program {
    Program::circom(b"wasm".to_vec(), b"zkey".to_vec(), VKEY.to_vec()).unwrap()
}

async fn client(fake: &Arc<Fake>) -> Client {
    Client::builder(fake.listen().await, fake.policy())
        .retry(QUICK)
        .build()
        .unwrap()
}
