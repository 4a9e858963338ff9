//! A keeper of one prover process.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::Failure;
use soundproof_prover::child::Start;
use soundproof_prover::wire::{
    Entropy, Form, Frame, Hello, Job, OutputKind, Part, Program, ToKeeper, ToProver,
    decode_message, read_frame, write_data, write_message,
};
use zeroize::Zeroizing;

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The next stage's input.
    Intermediate(Vec<u8>),
    /// A proof.
    Result {
        proof: Vec<u8>,
        public: Vec<u8>,
        verified: bool,
    },
    /// None.
    Failed(Failure),
}

/// The process is killed when this is dropped.
pub(crate) struct Keeper {
    stream: UnixStream,
    child: Child,
    hello: Hello,
}

impl Keeper {
    pub(crate) fn start(stage: &str) -> Self {
        let start = Start {
            stage: stage.into(),
            parent: std::process::id(),
            user: None,
            memory_bytes: 1 << 30,
            threads: 16,
            cpu_seconds: None,
            folder_bytes: 0,
            gpu: false,
        };
        let (mut stream, theirs) = UnixStream::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let child = Command::new(env!("CARGO_BIN_EXE_soundproof-prover-groth16"))
            .args(start.arguments())
            .env_clear()
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ToKeeper::Hello(hello) = hear(&mut stream) else {
            panic!("no hello");
        };
        Self {
            stream,
            child,
            hello,
        }
    }

    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Loads a program of these (role, bytes). Gives back in which form parts
    /// were asked for, and what was derived.
    pub(crate) fn load(
        &mut self,
        parts: &[(&str, &[u8])],
        derived: Option<&[u8]>,
    ) -> Result<(Vec<Form>, Option<Vec<u8>>), Failure> {
        let digest = |bytes: &[u8]| Digest::of(bytes);
        let named = parts.iter().map(|(role, bytes)| ProgramPart {
            role: (*role).into(),
            digest: digest(bytes),
        });
        let known = derived.iter().flat_map(|_| parts).map(|(_, b)| digest(b));
        let program = Program {
            parts: named.collect(),
            derived: known.collect(),
        };
        self.say(&ToProver::Program(program));
        let (mut asked, mut kept) = (Vec::new(), None);
        loop {
            match hear(&mut self.stream) {
                ToKeeper::Ready => return Ok((asked, kept)),
                ToKeeper::Failed(failure) => return Err(failure),
                ToKeeper::Derived(part) => kept = Some(self.stream_of(part.len)),
                ToKeeper::Need(need) => {
                    asked.push(need.form);
                    let source = parts.iter().find(|(_, b)| digest(b) == need.digest);
                    let bytes = match need.form {
                        Form::Source => source.unwrap().1,
                        _ => derived.unwrap(),
                    };
                    self.say(&ToProver::Part(Part {
                        digest: need.digest,
                        form: need.form,
                        len: bytes.len() as u64,
                    }));
                    self.data(bytes);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn job(&mut self, input: &[u8]) -> Outcome {
        self.say(&ToProver::Job(Job {
            mode: "groth16".into(),
            limits: Limits {
                memory_bytes: 512 << 20,
                time_ms: 120_000,
                cycles: 0,
                gas: 0,
            },
            entropy: Entropy(Zeroizing::new([7; 32])),
            description: Digest([8; 32]),
            input_len: input.len() as u64,
        }));
        self.data(input);
        let (mut next, mut proof, mut public) = (None, None, None);
        loop {
            match hear(&mut self.stream) {
                ToKeeper::Progress(_) => {}
                ToKeeper::Failed(failure) => return Outcome::Failed(failure),
                ToKeeper::Output(output) => {
                    let bytes = self.stream_of(output.len);
                    match output.kind {
                        OutputKind::Intermediate => next = Some(bytes),
                        OutputKind::Proof => proof = Some(bytes),
                        OutputKind::Public => public = Some(bytes),
                    }
                }
                ToKeeper::Done(done) => {
                    return match next {
                        Some(next) => Outcome::Intermediate(next),
                        None => Outcome::Result {
                            proof: proof.unwrap(),
                            public: public.unwrap(),
                            verified: done.verified,
                        },
                    };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn say(&mut self, message: &ToProver) {
        write_message(&mut self.stream, message).unwrap();
    }

    /// A stream's bytes and its end.
    fn data(&mut self, bytes: &[u8]) {
        write_data(&mut self.stream, bytes).unwrap();
        self.say(&ToProver::End);
    }

    fn stream_of(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            match read_frame(&mut self.stream).unwrap() {
                Frame::Data(data) => bytes.extend_from_slice(&data),
                Frame::Message(body) => {
                    assert_eq!(decode_message::<ToKeeper>(&body).unwrap(), ToKeeper::End);
                    assert_eq!(bytes.len() as u64, len);
                    return bytes;
                }
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hear(stream: &mut UnixStream) -> ToKeeper {
    match read_frame(stream).unwrap() {
        Frame::Message(body) => decode_message(&body).unwrap(),
        Frame::Data(_) => panic!("data"),
    }
}
