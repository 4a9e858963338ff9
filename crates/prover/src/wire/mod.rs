//! What keeper and prover say to each other, over one Unix stream socket that
//! is the prover's standard input and output.
//!
//! # Frames
//!
//! ```text
//! length  u32, big-endian: bytes that follow, 1..=MAX_FRAME
//! kind    u8: 0 message, 1 data
//! body    length - 1 bytes
//! ```
//!
//! A *message* is deterministic CBOR ([`ToKeeper`], [`ToProver`]), at most
//! [`MAX_MESSAGE`] bytes. *Data* is raw bytes, 1 to [`MAX_DATA`] of them. A
//! header is judged before memory is taken for its body.
//!
//! # Streams
//!
//! [`ToProver::Part`], [`ToProver::Job`], [`ToKeeper::Derived`] and
//! [`ToKeeper::Output`] name a length and are followed by a *stream*: data
//! frames of exactly that many bytes in all, then `End`. `End` says that the
//! sender stands by the bytes: the keeper sends it only after the SHA-256 of a
//! part, or the seal of an input, was checked, so a prover uses nothing before
//! it. The keeper may say [`ToProver::Cut`] instead, anywhere in a stream or in
//! the place of a reply to [`ToKeeper::Need`]: forget it, the job is off.
//!
//! # Order
//!
//! ```text
//! prover                               keeper
//!   Moved                        ->              only with folders of its own
//!   Hello                        ->
//!                                <-    Program
//!   Need                         ->              } as often as the prover
//!                                <-    Part …    } wants, or not at all
//!   Derived …                    ->              if it made something to keep
//!   Ready | Failed               ->
//!                                <-    Job …     the input follows it
//!   Progress, Output …, Done | Failed  ->
//! ```
//!
//! A process that ran a program's code is killed after `Done` or `Failed`; any
//! other goes back to the line `Program`. `Derived` is refused once a job was
//! given: nothing that saw an input may be kept. Loading a program before there
//! is a job (pre-starting) is the same exchange, stopped after `Ready`.
//!
//! Every decoder here is a function of a byte slice and takes no more memory
//! than a small multiple of it.

mod frame;
mod message;

pub(crate) use frame::read_header;
pub use frame::{
    Frame, FrameKind, HEADER_LEN, Header, MAX_DATA, MAX_FRAME, MAX_MESSAGE, WireError,
    decode_header, decode_message, encode_header, encode_message, read_frame, write_data,
    write_message,
};
pub use message::{
    Done, EXIT_MEMORY, EXIT_SIGNAL, Entropy, Form, Hello, Job, MAX_VERIFYING_KEY, Need, Output,
    OutputKind, PROTOCOL, Part, Program, Progress, StageInfo, ToKeeper, ToProver,
};
