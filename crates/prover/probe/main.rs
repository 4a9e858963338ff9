//! A prover for the tests, in two stages. What it does is in its input: the
//! first stage (`run`, which stands for a program's code) can be told to try
//! every way out of the sandbox, or to break the protocol; so can the second
//! (`finish`, which stays). Some things happen before there is an input, and
//! are chosen by the executable's file name.
//!
//! `unsafe`: it calls the system directly, as hostile code would.
#![allow(unsafe_code)]

mod escape;
mod folders;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_protocol::mode::ModeInfo;
use soundproof_prover::child::{
    self, Abandon, Loader, Prover, Reporter, Stage, StageOutput, Start,
};
use soundproof_prover::wire::{
    Job, Output, OutputKind, Program, StageInfo, ToKeeper, encode_message,
};
use zeroize::Zeroizing;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if arguments.next().is_some_and(|first| first == "child") {
        let mut word = || arguments.next().unwrap_or_default();
        folders::child(&word(), &word());
        return ExitCode::SUCCESS;
    }
    match name.as_str() {
        "probe-silent" => std::thread::sleep(Duration::from_secs(3600)),
        "probe-dies" => {
            eprintln!("this probe dies");
            return ExitCode::FAILURE;
        }
        "probe-floods" => raw_to(1, &[0xff; 4096]),
        _ => {}
    }
    let gpu = name == "probe-gpu";
    let folder_bytes = if name == "probe-folders" || gpu {
        32 << 20
    } else {
        0
    };
    let stage = |name: &str, runs_program, parts: &[&str]| StageInfo {
        name: name.into(),
        runs_program,
        parts: parts.iter().map(|part| (*part).into()).collect(),
        folder_bytes: if runs_program { folder_bytes } else { 0 },
        gpu: runs_program && gpu,
    };
    let mut modes = vec![ModeInfo::hiding("plain")];
    if name == "probe-large" {
        modes.push(ModeInfo {
            memory_bytes: 1 << 40,
            ..ModeInfo::hiding("large")
        });
    }
    let prover = Prover {
        system: "probe".into(),
        version: "probe 1".into(),
        modes,
        stages: vec![
            stage("run", true, &["script", "extra"]),
            stage("finish", false, &["key"]),
        ],
    };
    child::main(prover, |start| {
        Box::new(Probe {
            start: start.clone(),
            loads: 0,
            have: Vec::new(),
            log: String::new(),
        })
    })
}

struct Probe {
    start: Start,
    loads: u32,
    /// The parts that are loaded.
    have: Vec<Digest>,
    /// How parts were got, for the tests to see.
    log: String,
}

impl Stage for Probe {
    fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        self.loads += 1;
        for part in &program.parts {
            if self.have.contains(&part.digest) {
                continue;
            }
            if program.derived.contains(&part.digest) {
                let bytes = loader.derived(&part.digest, 1 << 20)?;
                self.log += &format!("derived-{},", bytes.len());
                continue;
            }
            let bytes = loader.source(&part.digest, 1 << 20)?;
            self.log += &format!("source-{},", bytes.len());
            match bytes.as_slice() {
                b"bad program" => return Err(Failure::new(Code::WasmInvalid, "it is bad").into()),
                b"dies while loading" => std::process::exit(3),
                b"spins while loading" => std::thread::sleep(Duration::from_secs(3600)),
                _ if bytes.starts_with(b"derive") => loader.keep(&part.digest, b"derived data")?,
                _ => {}
            }
        }
        self.have = program.parts.iter().map(|part| part.digest).collect();
        Ok(())
    }

    fn run(
        &mut self,
        _: &Job,
        input: Zeroizing<Vec<u8>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        let text = String::from_utf8_lossy(&input).into_owned();
        let (here, rest) = text.split_once('|').unwrap_or((&text, ""));
        reporter.progress("probing", 500)?;
        let report = match here {
            "escape" => escape::all(self.start.parent, self.start.folder_bytes > 0),
            "threads" => escape::threads(),
            "who" => format!(
                "pid={} loads={} log={}",
                std::process::id(),
                self.loads,
                self.log
            ),
            "fail" => return Err(Failure::new(Code::ConstraintFailed, "line 7").into()),
            "echo" => String::new(),
            other => folders::run(other, self.start.parent).unwrap_or_else(|| {
                misbehave(other);
                String::new()
            }),
        };
        if self.start.stage == "run" {
            // The report rides along; the rest is the next stage's to do.
            return Ok(StageOutput::Intermediate(Zeroizing::new(
                format!("{rest}|{report}").into_bytes(),
            )));
        }
        let key_bytes = here.strip_prefix("vkey ").and_then(|n| n.parse().ok());
        let mine = format!(
            "pid={} loads={} log={}",
            std::process::id(),
            self.loads,
            self.log
        );
        Ok(StageOutput::Result {
            proof: Zeroizing::new(format!("{rest}{report}").into_bytes()),
            public: Zeroizing::new(mine.into_bytes()),
            verified: true,
            verifying_key: key_bytes.map(|n| vec![1; n]),
        })
    }
}

fn misbehave(how: &str) {
    match how {
        "panic" => panic!("as told"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "nap" => std::thread::sleep(Duration::from_millis(300)),
        "segfault" => {
            // SAFETY: none; the point is to crash.
            unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }
        }
        "gobble" => {
            let mut all = Vec::new();
            loop {
                let mut block = vec![0u8; 1 << 20];
                block.fill(7);
                all.push(std::hint::black_box(block));
            }
        }
        "stderr" => {
            let line = [b'e'; 65536];
            for _ in 0..160 {
                let _ = std::io::stderr().write_all(&line);
            }
        }
        // What a library prints is not between two messages.
        "stdout" => {
            let mut output = std::io::stdout();
            for _ in 0..160 {
                let _ = output.write_all(&[0x55; 65536]);
            }
            let _ = output.flush();
            let read = std::io::Read::read(&mut std::io::stdin(), &mut [0; 8]);
            assert!(matches!(read, Ok(0)), "standard input is at its end");
        }
        // Protocol: frames that are too long, of no kind, empty; messages that
        // are none; streams that are longer or shorter than they said.
        "oversized" => raw(&[0xff, 0xff, 0xff, 0xff, 1]),
        "kind" => raw(&[0, 0, 0, 2, 9, 0]),
        "empty" => raw(&[0, 0, 0, 1, 1]),
        "garbage" => raw(&[0, 0, 0, 4, 0, 0xff, 0xff, 0xff]),
        "torn" => {
            raw(&[0, 0, 1, 0, 1, 1, 2, 3]);
            std::process::exit(0);
        }
        "flood" => loop {
            raw(&[0x55; 65536]);
        },
        "long" => lie(4, 5),
        "short" => lie(5, 4),
        "huge" => announce(OutputKind::Intermediate, u64::MAX),
        "huge-proof" => announce(OutputKind::Proof, u64::MAX),
        "derived-late" => raw_message(&ToKeeper::Derived(soundproof_prover::wire::Part {
            digest: Digest([0; 32]),
            form: soundproof_prover::wire::Form::Derived,
            len: 1,
        })),
        "hello-again" => raw_message(&ToKeeper::Ready),
        _ => {}
    }
}

/// To the wire, past what knows its rules.
fn raw(bytes: &[u8]) {
    raw_to(3, bytes);
}

fn raw_to(descriptor: i32, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: reads `bytes`, which is valid for its length.
        let n = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(_) => std::process::exit(0),
        }
    }
}

fn raw_message(message: &ToKeeper) {
    if let Ok(frame) = encode_message(message) {
        raw(&frame);
    }
}

fn announce(kind: OutputKind, len: u64) {
    raw_message(&ToKeeper::Output(Output { kind, len }));
}

/// Announces some bytes of output for the next stage and sends others.
fn lie(announced: u64, sent: u8) {
    announce(OutputKind::Intermediate, announced);
    raw(&[0, 0, 0, sent + 1, 1]);
    raw(&vec![7; usize::from(sent)]);
    raw_message(&ToKeeper::End);
}
