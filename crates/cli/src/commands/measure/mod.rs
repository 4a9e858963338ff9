//! `soundproof measure`: what a deployment will measure, before there is one.
//! Uses no network: everything is computed from files.

mod dstack;
mod nitro;
mod snp;

use crate::{failure::Failure, output::Output};

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
