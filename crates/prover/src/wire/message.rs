//! The messages, in the order in which a job meets them.

use core::fmt;

use minicbor::{Decode, Encode};
use soundproof_protocol::cbor::Bytes;
use soundproof_protocol::description::{Limits, ProgramPart};
use soundproof_protocol::digest::Digest;
use soundproof_protocol::error::Failure;
use soundproof_protocol::mode::ModeInfo;
use zeroize::Zeroizing;

use crate::sandbox::SandboxLevel;

/// Version of this protocol. Keeper and prover are built together; a prover
/// that says another number is not used.
pub const PROTOCOL: u32 = 3;
/// Bytes of a verifying key that a [`Done`] carries, at most.
pub const MAX_VERIFYING_KEY: usize = 1024;
/// Exit code of a process with folders whose programs used more memory than it
/// was given.
pub const EXIT_MEMORY: i32 = 102;
/// Exit code, less the signal's number, of a process with folders that ended by
/// a signal of its own: the kernel shields the first process of a namespace.
pub const EXIT_SIGNAL: i32 = 128;

/// From a prover to its keeper.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToKeeper {
    /// The first message, sent once the sandbox holds.
    #[n(0)]
    Hello(#[n(0)] Hello),
    /// Asks for a part of the program that was named.
    #[n(1)]
    Need(#[n(0)] Need),
    /// Something public that was computed from a part and is worth keeping for
    /// later processes (a compiled module). A stream follows. Only before a job.
    #[n(2)]
    Derived(#[n(0)] Part),
    /// The program is loaded; a job may come.
    #[n(3)]
    Ready,
    /// How far the job is. Secret: it goes to the client, sealed.
    #[n(4)]
    Progress(#[n(0)] Progress),
    /// One piece of the job's output. A stream follows.
    #[n(5)]
    Output(#[n(0)] Output),
    /// All output was sent.
    #[n(6)]
    Done(#[n(0)] Done),
    /// The program could not be loaded, or the job failed.
    #[n(7)]
    Failed(#[n(0)] Failure),
    /// Ends a stream.
    #[n(8)]
    End,
    /// Before the hello, from a process that needs a process namespace of its
    /// own: another child of the keeper's, with this id, goes on in its place.
    #[n(9)]
    Moved(#[n(0)] u32),
}

/// From the keeper to a prover.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToProver {
    /// Load this program.
    #[n(0)]
    Program(#[n(0)] Program),
    /// A part that was asked for. A stream follows.
    #[n(1)]
    Part(#[n(0)] Part),
    /// Do this, with the program that is loaded. The input follows as a stream.
    #[n(2)]
    Job(#[n(0)] Job),
    /// Ends a stream: its bytes were checked.
    #[n(3)]
    End,
    /// Ends a stream, or stands in the place of a part: forget it all and wait
    /// for the next program.
    #[n(4)]
    Cut,
}

/// Who a prover is and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// [`PROTOCOL`].
    #[n(0)]
    pub protocol: u32,
    /// The proof system, such as `groth16`.
    #[n(1)]
    pub system: String,
    /// Name and version of the prover, for the receipt.
    #[n(2)]
    pub version: String,
    /// The stage that this process is for; empty in a process that was only
    /// started to describe itself.
    #[n(3)]
    pub stage: String,
    /// The layers of the sandbox that hold.
    #[n(4)]
    pub sandbox: SandboxLevel,
    /// All stages, in the order in which a job passes them.
    #[n(5)]
    pub stages: Vec<StageInfo>,
    /// Modes in which the system can prove, those too that are not offered.
    #[n(6)]
    pub modes: Vec<ModeInfo>,
}

/// One step of a job's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StageInfo {
    /// Its name, such as `witness`.
    #[n(0)]
    pub name: String,
    /// Whether it runs code that came with a job. Then a process serves one job
    /// and is killed.
    #[n(1)]
    pub runs_program: bool,
    /// Roles of the program parts that it uses. With none of them in a job's
    /// description the stage is skipped.
    #[n(2)]
    pub parts: Vec<String>,
    /// Bytes of memory-backed folders of its own that a process of this stage
    /// needs; 0: it may open no file at all. With them it may also start
    /// programs that it wrote there, confined as it is.
    #[n(3)]
    pub folder_bytes: u64,
    /// Whether a process of this stage puts a job's secrets on a GPU. It has
    /// folders then, and the supervisor refuses it unless that is allowed.
    #[n(4)]
    pub gpu: bool,
}

/// The program that the next job is for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Program {
    /// Those of its parts that the stage uses.
    #[n(0)]
    pub parts: Vec<ProgramPart>,
    /// Digests of those parts for which the keeper holds derived data.
    #[n(1)]
    pub derived: Vec<Digest>,
}

/// In which form a part is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Form {
    /// The part itself, whose SHA-256 is the digest.
    #[n(0)]
    Source,
    /// What an earlier process of the same executable and stage derived from it.
    #[n(1)]
    Derived,
}

/// Asks for a part.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Need {
    /// Which, by the digest of the source.
    #[n(0)]
    pub digest: Digest,
    /// In which form.
    #[n(1)]
    pub form: Form,
}

/// Announces the bytes of a part, or of what was derived from it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Part {
    /// Which, by the digest of the source.
    #[n(0)]
    pub digest: Digest,
    /// In which form.
    #[n(1)]
    pub form: Form,
    /// Bytes in the stream.
    #[n(2)]
    pub len: u64,
}

/// What to do with the input that follows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Job {
    /// The mode, one of the hello's.
    #[n(0)]
    pub mode: String,
    /// What the stage may use, never nought for memory and time; the
    /// supervisor's kill comes a little after the time.
    #[n(1)]
    pub limits: Limits,
    /// The client's entropy, to be mixed with the operating system's.
    #[n(2)]
    pub entropy: Entropy,
    /// Digest of the job's description.
    #[n(3)]
    pub description: Digest,
    /// Bytes in the input stream.
    #[n(4)]
    pub input_len: u64,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Progress {
    /// A name for what is being done, at most 64 bytes.
    #[n(0)]
    pub phase: String,
    /// How much of the stage is done, 0 to 1000.
    #[n(1)]
    pub permille: u16,
}

/// What a stream of output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum OutputKind {
    /// The next stage's input: secret and opaque. The only output of any stage but the last.
    #[n(0)]
    Intermediate,
    /// The public values, as the last stage's verifier takes them.
    #[n(1)]
    Public,
    /// The proof.
    #[n(2)]
    Proof,
}

/// Announces output.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Output {
    /// What it is.
    #[n(0)]
    pub kind: OutputKind,
    /// Bytes in the stream.
    #[n(1)]
    pub len: u64,
}

/// The job is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Done {
    /// Last stage: the proof was verified under the verifying key that the
    /// description names. Always false in any other stage.
    #[n(0)]
    pub verified: bool,
    /// Last stage: the verifying key, where the system computes it from the
    /// program; at most [`MAX_VERIFYING_KEY`] bytes.
    #[n(1)]
    pub verifying_key: Option<Bytes>,
}

/// Thirty-two secret bytes of the client's; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Entropy(pub Zeroizing<[u8; 32]>);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(…)")
    }
}

impl<C> Encode<C> for Entropy {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0[..])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Entropy {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        let given = d.bytes()?;
        if given.len() != bytes.len() {
            return Err(minicbor::decode::Error::message("entropy is not 32 bytes"));
        }
        bytes.copy_from_slice(given);
        Ok(Self(bytes))
    }
}
