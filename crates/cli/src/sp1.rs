//! SP1 jobs on the command line: the program, what it may use, and an outside
//! verifier for a proof that this command does not verify itself.

use crate::{failure::Failure, files};
use clap::{Args, ValueEnum};
use soundproof::{
    JobOptions, Program, Proven, Sp1Mode,
    protocol::{description::Limits, error::Code},
};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Exit code of the verifier for a proof that is not valid.
const INVALID: i32 = 3;

/// An SP1 program, and how to prove it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sp1 {
    /// An SP1 program: its ELF, built for SP1 6
    #[arg(long, value_name = "ELF", requires_all = ["stdin", "mode"],
        conflicts_with_all = ["circuit", "wasm", "zkey", "vkey", "input", "wtns"])]
    sp1: Option<PathBuf>,
    /// Its input: the SDK's stdin, bincode of SP1Stdin or zstd of that; - for
    /// stdin
    #[arg(long, value_name = "FILE", requires = "sp1")]
    pub(crate) stdin: Option<PathBuf>,
    /// Kind of proof. core and compressed may reveal the input to whoever
    /// gets the proof
    #[arg(long, value_enum, requires = "sp1")]
    mode: Option<Mode>,
    /// The program's vk.hash_bytes(), 64 hex digits: another program is
    /// refused before it gets the input
    #[arg(long, value_name = "HEX", value_parser = key, requires = "sp1")]
    verifying_key: Option<Key>,
    /// Whoever gets the proof may learn the input, and that is known
    #[arg(long, requires = "sp1")]
    acknowledge_not_hiding: bool,
    /// Cycles that the program may take [default: what the server allows]
    #[arg(long, value_name = "N", requires = "sp1")]
    cycle_limit: Option<u64>,
    /// Prover gas that the proof may take [default: likewise]
    #[arg(long, value_name = "N", requires = "sp1")]
    gas_limit: Option<u64>,
    /// Verify the proof here too, with this executable: soundproof-prover-sp1
    #[arg(long, value_name = "FILE", requires = "sp1")]
    verifier: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Shards' proofs; not zero-knowledge
    Core,
    /// One proof of constant size; not zero-knowledge
    Compressed,
    /// PLONK over BN254
    Plonk,
    /// Groth16 over BN254
    Groth16,
}

impl From<Mode> for Sp1Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Core => Self::Core,
            Mode::Compressed => Self::Compressed,
            Mode::Plonk => Self::Plonk,
            Mode::Groth16 => Self::Groth16,
        }
    }
}

/// A verifying key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// 64 hex digits, with or without `0x`.
pub(crate) fn key(text: &str) -> Result<Key, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wrong = || "64 hex digits, as vk.hash_bytes() is written".to_owned();
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = core::str::from_utf8(pair).map_err(|_| wrong())?;
        // A sign is no digit.
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Key(bytes))
}

impl Sp1 {
    /// The program, where there is one.
    pub(crate) fn program(&self) -> Result<Option<Program>, Failure> {
        let (Some(elf), Some(mode)) = (&self.sp1, self.mode) else {
            return Ok(None);
        };
        let mode = Sp1Mode::from(mode);
        if !mode.hides() && !self.acknowledge_not_hiding {
            let what = format!(
                "a proof of mode {} is not zero-knowledge: whoever gets it may learn the input. \
                 Nothing was sent",
                mode.name()
            );
            return Err(Failure::new(Code::ModeNotHiding, what).remedy(
                "Keep such a proof as secret as the input and add --acknowledge-not-hiding, or \
                 use --mode groth16 or plonk where the server offers it (`soundproof doctor`).",
            ));
        }
        let key = self.verifying_key.map(|Key(bytes)| bytes);
        Ok(Some(Program::sp1(elf.as_path(), mode, key)?))
    }

    /// What the job may use, into its options.
    pub(crate) fn set(&self, options: &mut JobOptions) {
        options.acknowledges_not_hiding = self.acknowledge_not_hiding;
        options.limits = Limits {
            cycles: self.cycle_limit.unwrap_or(0),
            gas: self.gas_limit.unwrap_or(0),
            ..options.limits
        };
    }

    /// Has the outside verifier, if there is one, look at the proof; whether
    /// it did.
    pub(crate) fn verify(&self, proof: &[u8]) -> Result<bool, Failure> {
        let (Some(verifier), Some(elf)) = (&self.verifier, &self.sp1) else {
            return Ok(false);
        };
        let failed = |error: &std::io::Error| Failure::file(verifier, error);
        // For its owner only: a proof that does not hide is a secret.
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let file = folder.path().join("proof.bin");
        files::write(&file, proof, true)?;
        // What it prints is not this command's to pass on.
        let status = Command::new(verifier)
            .arg("verify")
            .arg("--elf")
            .arg(elf)
            .arg("--proof")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| failed(&error))?;
        match status.code() {
            Some(0) => Ok(true),
            Some(INVALID) => Err(Failure::new(
                Code::ProofRejected,
                "the proof that arrived does not verify under the program's verifying key",
            )),
            _ => Err(Failure::new(
                Code::Internal,
                format!("{} could not verify: {status}", verifier.display()),
            )
            .remedy("Run it by hand: verify --elf FILE --proof FILE.")),
        }
    }
}

/// Whether a proof may reveal its input to whoever reads it.
pub(crate) fn is_secret(proven: &Proven) -> bool {
    let mode = |mode: &Sp1Mode| mode.name() == proven.receipt.mode;
    proven.receipt.system == soundproof::SP1
        && !Sp1Mode::ALL
            .iter()
            .find(|m| mode(m))
            .is_some_and(|mode| mode.hides())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Broken if a verifier that finds a proof invalid, or that cannot say,
    /// were taken for one that finds it valid.
    #[cfg(unix)]
    #[test]
    fn only_a_verifier_that_says_so_has_verified() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let script = |name: &str, body: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            Sp1 {
                sp1: Some("program.elf".into()),
                verifier: Some(path),
                ..Sp1::default()
            }
        };
        let looks = r#"test "$1 $2 $3 $4" = "verify --elf program.elf --proof" || exit 9
            test "$(cat "$5")" = "the proof" || exit 3"#;
        assert!(script("valid", looks).verify(b"the proof").unwrap());
        assert!(!Sp1::default().verify(b"the proof").unwrap());
        let code = |sp1: Sp1, proof: &[u8]| {
            let failure = serde_json::to_value(sp1.verify(proof).unwrap_err()).unwrap();
            failure["code"].as_str().unwrap().to_owned()
        };
        assert_eq!(code(script("invalid", looks), b"another"), "proof_rejected");
        for (name, body) in [("other", "exit 1"), ("killed", "kill -9 $$")] {
            assert_eq!(code(script(name, body), b"the proof"), "internal");
        }
        let nowhere = Sp1 {
            verifier: Some("/nowhere/at/all".into()),
            ..script("unused", "")
        };
        assert_eq!(code(nowhere, b"the proof"), "file_unreadable");
    }

    #[test]
    fn a_key_is_64_hex_digits() {
        let text = "5a".repeat(32);
        assert_eq!(key(&text), Ok(Key([0x5a; 32])));
        assert_eq!(
            key(&format!("0x{}", text.to_uppercase())),
            Ok(Key([0x5a; 32]))
        );
        for wrong in [
            "",
            "5a",
            &text[1..],
            &format!("{text}0"),
            &text.replace('5', "g"),
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert!(key(&format!("+1{}", "0".repeat(62))).is_err());
        assert!(key(&"é".repeat(32)).is_err());
    }
}
