//! The child's side over a socket pair, with the test as the keeper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover::child::{Abandon, Channel, Loader, Reporter, Stage, StageOutput, serve};
use soundproof_prover::wire::{
    Entropy, Form, Frame, Job, Need, Output, OutputKind, Part, Program, ToKeeper, ToProver,
    WireError, decode_message, read_frame, write_data, write_message,
};
use zeroize::Zeroizing;

/// Repeats its part and its input.
struct Echo(Vec<u8>);

impl Stage for Echo {
    fn load(&mut self, program: &Program, loader: &mut Loader<'_>) -> Result<(), Abandon> {
        self.0 = loader.source(&program.parts[0].digest, 16)?.to_vec();
        Ok(())
    }

    fn run(
        &mut self,
        _: &Job,
        input: Zeroizing<Vec<u8>>,
        reporter: &mut Reporter<'_>,
    ) -> Result<StageOutput, Abandon> {
        reporter.progress(&"é".repeat(100), 5000)?;
        if input.as_slice() == b"fail" {
            return Err(Failure::new(Code::WasmTrap, "x".repeat(10_000)).into());
        }
        Ok(StageOutput::Intermediate(Zeroizing::new(
            [self.0.as_slice(), &input].concat(),
        )))
    }
}

struct Keeper {
    stream: UnixStream,
    child: JoinHandle<Result<(), WireError>>,
}

const DIGEST: Digest = Digest([1; 32]);

impl Keeper {
    fn start() -> Self {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let child =
            std::thread::spawn(move || serve(&mut Channel::new(theirs), &mut Echo(Vec::new())));
        Self { stream, child }
    }

    fn say(&mut self, message: &ToProver) {
        write_message(&mut self.stream, message).unwrap();
    }

    fn data(&mut self, bytes: &[u8]) {
        write_data(&mut self.stream, bytes).unwrap();
    }

    /// Data that is not in order: the other side may hang up at its length.
    fn stray(&mut self, bytes: &[u8]) {
        let _ = write_data(&mut self.stream, bytes);
    }

    fn hear(&mut self) -> ToKeeper {
        match read_frame(&mut self.stream).unwrap() {
            Frame::Message(body) => decode_message(&body).unwrap(),
            Frame::Data(_) => panic!("data"),
        }
    }

    fn hear_data(&mut self) -> Vec<u8> {
        match read_frame(&mut self.stream).unwrap() {
            Frame::Data(data) => data.to_vec(),
            Frame::Message(_) => panic!("a message"),
        }
    }

    fn program(&mut self) {
        let parts = vec![ProgramPart {
            role: "key".into(),
            digest: DIGEST,
        }];
        self.say(&ToProver::Program(Program {
            parts,
            derived: Vec::new(),
        }));
        assert_eq!(
            self.hear(),
            ToKeeper::Need(Need {
                digest: DIGEST,
                form: Form::Source
            })
        );
    }

    fn part(&mut self, bytes: &[u8]) {
        self.say(&ToProver::Part(Part {
            digest: DIGEST,
            form: Form::Source,
            len: bytes.len() as u64,
        }));
        self.data(bytes);
        self.say(&ToProver::End);
    }

    fn load(&mut self) {
        self.program();
        self.part(b"key ");
        assert_eq!(self.hear(), ToKeeper::Ready);
    }

    fn job(&mut self, input_len: u64) {
        self.say(&ToProver::Job(Job {
            mode: "plain".into(),
            limits: Limits {
                memory_bytes: 1 << 20,
                time_ms: 1000,
                cycles: 0,
                gas: 0,
            },
            entropy: Entropy(Zeroizing::new([0; 32])),
            description: DIGEST,
            input_len,
        }));
    }

    fn hear_echo(&mut self, expected: &[u8]) {
        assert!(
            matches!(self.hear(), ToKeeper::Progress(at) if at.permille == 1000 && at.phase.len() <= 64)
        );
        let len = expected.len() as u64;
        assert_eq!(
            self.hear(),
            ToKeeper::Output(Output {
                kind: OutputKind::Intermediate,
                len
            })
        );
        assert_eq!(self.hear_data(), expected);
        assert_eq!(self.hear(), ToKeeper::End);
        assert!(matches!(self.hear(), ToKeeper::Done(done) if !done.verified));
    }

    /// Fails the test if the child did not give up by itself.
    fn broken(self) -> WireError {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        self.child.join().unwrap().unwrap_err()
    }
}

#[test]
fn job_after_job() {
    let mut keeper = Keeper::start();
    keeper.load();
    for _ in 0..2 {
        keeper.job(5);
        keeper.data(b"in");
        keeper.data(b"put");
        keeper.say(&ToProver::End);
        keeper.hear_echo(b"key input");
    }
    drop(keeper.stream);
    assert!(matches!(
        keeper.child.join().unwrap(),
        Err(WireError::Closed)
    ));
}

#[test]
fn a_failed_job_leaves_the_process_usable() {
    let mut keeper = Keeper::start();
    keeper.load();
    keeper.job(4);
    keeper.data(b"fail");
    keeper.say(&ToProver::End);
    assert!(matches!(keeper.hear(), ToKeeper::Progress(_)));
    match keeper.hear() {
        ToKeeper::Failed(failure) => {
            assert!(failure.code == Code::WasmTrap && failure.detail.len() == 4096)
        }
        other => panic!("{other:?}"),
    }
    keeper.job(0);
    keeper.say(&ToProver::End);
    keeper.hear_echo(b"key ");
}

/// Fails if a stream that was cut, whose bytes nobody stands by, is used.
#[test]
fn what_was_cut_is_forgotten() {
    let mut keeper = Keeper::start();
    keeper.program();
    keeper.say(&ToProver::Part(Part {
        digest: DIGEST,
        form: Form::Source,
        len: 9,
    }));
    keeper.data(b"half");
    keeper.say(&ToProver::Cut);
    keeper.program();
    keeper.say(&ToProver::Cut);
    keeper.load();
    keeper.job(9);
    keeper.data(b"half");
    keeper.say(&ToProver::Cut);
    keeper.job(1);
    keeper.data(b"!");
    keeper.say(&ToProver::End);
    keeper.hear_echo(b"key !");
}

#[test]
fn what_is_too_large_is_refused_and_read_past() {
    let mut keeper = Keeper::start();
    keeper.program();
    keeper.part(&[0; 17]);
    assert!(
        matches!(keeper.hear(), ToKeeper::Failed(failure) if failure.code == Code::MemoryLimit)
    );
    keeper.load();
    keeper.job((1 << 20) + 1);
    keeper.data(&vec![0; (1 << 20) + 1]);
    keeper.say(&ToProver::End);
    assert!(
        matches!(keeper.hear(), ToKeeper::Failed(failure) if failure.code == Code::InputTooLarge)
    );
    keeper.job(0);
    keeper.say(&ToProver::End);
    keeper.hear_echo(b"key ");
}

#[test]
fn a_keeper_that_breaks_the_order_is_left() {
    // A job before a program; a stream too long, too short, or with something else in it.
    let mut keeper = Keeper::start();
    keeper.job(0);
    assert!(matches!(keeper.broken(), WireError::Order(_)));

    let mut keeper = Keeper::start();
    keeper.load();
    keeper.job(1);
    keeper.stray(b"two");
    assert!(matches!(keeper.broken(), WireError::Order(_)));

    let mut keeper = Keeper::start();
    keeper.load();
    keeper.job(2);
    keeper.data(b"1");
    keeper.say(&ToProver::End);
    assert!(matches!(keeper.broken(), WireError::Order(_)));

    let mut keeper = Keeper::start();
    keeper.program();
    keeper.say(&ToProver::Part(Part {
        digest: Digest([2; 32]),
        form: Form::Source,
        len: 0,
    }));
    assert!(matches!(keeper.broken(), WireError::Order(_)));

    let mut keeper = Keeper::start();
    keeper.stray(b"?");
    assert!(matches!(keeper.broken(), WireError::Order(_)));
}

/// A job for a program whose loading failed must not run with the one before.
#[test]
fn no_job_without_its_program() {
    let mut keeper = Keeper::start();
    keeper.load();
    keeper.program();
    keeper.part(&[0; 17]);
    assert!(matches!(keeper.hear(), ToKeeper::Failed(_)));
    keeper.job(0);
    assert!(matches!(keeper.broken(), WireError::Order(_)));
}
