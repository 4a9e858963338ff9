//! Inputs of the guests in `guests/`, and what the SDK makes of them on the
//! wire, so that others can look for it.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sp1_sdk::SP1Stdin;
use std::path::{Path, PathBuf};

/// An input; the options are one group each for a kind of program.
#[derive(Args)]
pub(crate) struct Input {
    /// Solvency: the balances
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', group = "input")]
    balances: Vec<u64>,
    /// Solvency: so many random balances, of 48 bits each
    #[arg(long, value_name = "N", group = "input")]
    random_balances: Option<usize>,
    /// Solvency: what they must reach [default: what they add up to]
    #[arg(long, value_name = "N")]
    threshold: Option<u64>,
    /// Fibonacci: which number
    #[arg(long, value_name = "N", group = "input")]
    number: Option<u32>,
    /// Any program: one part of so many random bytes
    #[arg(long, value_name = "N", group = "input")]
    random_stdin_bytes: Option<usize>,
    /// Keep what is uploaded: DIR/stdin.bin (bincode) and DIR/stdin.zst
    #[arg(long, value_name = "DIR")]
    write_stdin: Option<PathBuf>,
}

/// Bytes of a random input at most.
const MAX_RANDOM: usize = 1 << 28;

impl Input {
    pub(crate) fn stdin(&self) -> Result<SP1Stdin> {
        let stdin = self.make()?;
        if let Some(folder) = &self.write_stdin {
            write(&stdin, folder)?;
        }
        Ok(stdin)
    }

    fn make(&self) -> Result<SP1Stdin> {
        let mut stdin = SP1Stdin::new();
        if let Some(number) = self.number {
            stdin.write(&number);
        } else if let Some(count) = self.random_stdin_bytes {
            stdin.write_slice(&random(count)?);
        } else if let Some(count) = self.random_balances {
            let six = |bytes: &[u8]| {
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            };
            let balances: Vec<_> = random(count.saturating_mul(6))?
                .chunks(6)
                .map(six)
                .collect();
            self.solvency(&mut stdin, &balances)?;
        } else if !self.balances.is_empty() {
            self.solvency(&mut stdin, &self.balances)?;
        }
        Ok(stdin)
    }

    /// `threshold: u64`, `salt: [u8; 32]`, `balances: Vec<u64>`.
    fn solvency(&self, stdin: &mut SP1Stdin, balances: &[u64]) -> Result<()> {
        let sum = balances
            .iter()
            .try_fold(0u64, |sum, balance| sum.checked_add(*balance));
        let sum = sum.context("the balances' sum does not fit 64 bits")?;
        let mut salt = [0; 32];
        salt.copy_from_slice(&random(32)?);
        stdin.write(&self.threshold.unwrap_or(sum));
        stdin.write(&salt);
        stdin.write(&balances);
        Ok(())
    }
}

fn random(count: usize) -> Result<Vec<u8>> {
    ensure!(count <= MAX_RANDOM, "at most {MAX_RANDOM} random bytes");
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).context("no randomness")?;
    Ok(bytes)
}

/// As the SDK serializes and compresses it (`create_artifact_with_content`).
fn write(stdin: &SP1Stdin, folder: &Path) -> Result<()> {
    let serialized = bincode::serialize(stdin)?;
    let compressed = zstd::encode_all(&serialized[..], 3)?;
    for (name, bytes) in [("stdin.bin", serialized), ("stdin.zst", compressed)] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
