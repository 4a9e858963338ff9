//! `soundproof measure`: what a deployment will measure, before there is one.
//! Uses no network: everything is computed from files.

mod dstack;
mod nitro;
mod snp;

use crate::{failure::Failure, output::Output};
use soundproof::evidence::policy::Release;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Compose hash, application id, RTMR3; MRTD and RTMR0 to 2 of a published
    /// OS image
    Dstack(Box<dstack::Args>),
    /// Launch measurement of an SEV-SNP guest
    Snp(Box<snp::Args>),
    /// PCR 0 to 4 and 8 of a Nitro enclave
    Nitro(nitro::Args),
}

pub(crate) fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Dstack(args) => dstack::run(args, output),
        Command::Snp(args) => snp::run(args, output),
        Command::Nitro(args) => nitro::run(args, output),
    }
}

/// Bytes in hex, `0x` before it or not.
fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut out = [0; N];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut out)
        .map(|()| out)
        .map_err(|_| format!("expected {} hex digits", 2 * N))
}

/// Writes a release as it stands in a policy, and nothing else: the rest of a
/// policy is not for this command to say.
fn write_release(release: Release, output: Output) -> Result<(), Failure> {
    let policy = soundproof::Policy {
        release: vec![release],
        ..Default::default()
    };
    let toml = policy
        .to_toml()
        .map_err(|error| Failure::usage(error.to_string(), "Give it another name."))?;
    let release = toml.find("[[release]]").and_then(|at| toml.get(at..));
    output.raw(release.unwrap_or_default().as_bytes());
    Ok(())
}
