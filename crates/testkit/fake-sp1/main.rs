//! Stands for the SP1 prover in tests of everything around it: it checks the
//! program's parts as the real one does, and what it gives for a proof is a
//! digest of its input. It proves nothing, and is never installed.
//!
//! A "verifying key" is the ELF's SHA-256. An input that begins with `sleep`
//! takes an hour, one that begins with `panic` fails as a guest's panic does.

use soundproof_protocol::{
    digest::{Digest, Hasher},
    error::{Code, Failure},
    mode::ModeInfo,
};
use soundproof_prover::{
    child::{self, Abandon, Loader, Prover, Reporter, Stage, StageOutput},
    wire::{Job, Program, StageInfo},
};
use std::{process::ExitCode, time::Duration};
use zeroize::Zeroizing;

/// Bytes of an ELF at most.
const MAX_ELF: u64 = 64 << 20;

fn main() -> ExitCode {
    let mode = |name: &str, hides| ModeInfo {
        hides,
        ..ModeInfo::hiding(name)
    };
    let prover = Prover {
        system: "sp1".into(),
        version: "fake, proves nothing".into(),
        modes: vec![
            mode("core", false),
            mode("compressed", false),
            ModeInfo {
                unavailable: Some("the fake has no circuit files".into()),
                ..mode("plonk", true)
            },
            mode("groth16", true),
        ],
        stages: vec![StageInfo {
            name: "prove".into(),
            runs_program: true,
            parts: vec!["elf".into(), "verifying_key".into()],
            folder_bytes: 0,
            gpu: false,
        }],
    };
    child::main(prover, |_| Box::new(Fake { key: None }))
}

struct Fake {
    key: Option<Digest>,
}

impl Stage for Fake {
    fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        let part = |role: &str| program.parts.iter().find(|part| part.role == role);
        let elf = part("elf").ok_or_else(|| failed(Code::ProgramPartMissing))?;
        let elf = loader.source(&elf.digest, MAX_ELF)?;
        if !elf.starts_with(b"\x7fELF") {
            return Err(failed(Code::ElfInvalid));
        }
        let key = Digest::of(&elf);
        if let Some(named) = part("verifying_key")
            && *loader.source(&named.digest, 32)? != key.0
        {
            return Err(failed(Code::ProgramMismatch));
        }
        self.key = Some(key);
        Ok(())
    }

    fn run(
        &mut self,
        job: &Job,
        input: Zeroizing<Vec<u8>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        reporter.progress("prove", 500)?;
        let key = self.key.ok_or_else(|| failed(Code::Internal))?;
        if input.starts_with(b"sleep") {
            std::thread::sleep(Duration::from_secs(3600));
        }
        if input.starts_with(b"panic") {
            return Err(Failure::new(Code::GuestPanicked, "the guest's own words").into());
        }
        let public = Digest::of(&input);
        let mut hasher = Hasher::new();
        for piece in [job.mode.as_bytes(), &key.0, &public.0] {
            hasher.update(piece);
        }
        let mut proof = b"a fake proof ".to_vec();
        proof.extend_from_slice(&hasher.finish().0);
        Ok(StageOutput::Result {
            proof: Zeroizing::new(proof),
            public: Zeroizing::new(public.0.to_vec()),
            verified: true,
            verifying_key: Some(key.0.to_vec()),
        })
    }
}

fn failed(code: Code) -> Abandon {
    Failure::new(code, "").into()
}
