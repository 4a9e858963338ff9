//! Every hardware module against a fake of its interface: what it asks, what
//! it makes of the answers, and the name of every failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]
#![cfg(feature = "hardware")]

mod appraisal;
mod azure;
mod collector;
mod detect;
mod dstack;
mod mutations;
mod nitro;
mod nvml;
mod tsm;

use soundproof_attester::{AttestError, DeviceError};
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::Binding,
    digest::Digest,
};

fn binding(platform: Platform) -> Binding {
    Binding::new(platform, Role::Keeper, Digest([0x5a; 32]), None, None)
}

/// The failure's code; its text and remedy must be fit to be shown.
fn code(error: &DeviceError) -> &'static str {
    let text = error.to_string();
    assert!(text.starts_with(error.interface.name()), "{text}");
    assert!(text.contains(&error.place), "{text}");
    assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
    assert!(!error.remedy().is_empty(), "no remedy: {text}");
    error.problem.code()
}

fn device<T>(result: Result<T, AttestError>) -> DeviceError {
    match result {
        Err(AttestError::Device(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it worked"),
    }
}
