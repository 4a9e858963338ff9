//! What is kept: uploads, programs, requests, and how they stand in the
//! journal (CBOR; one record each, its key a letter and 32 bytes).

use crate::{
    backend::{StashId, Token},
    signature::Address,
    wire::RequestBody,
};
use minicbor::{Decode, Encode};
use sha3::{Digest as _, Sha3_256};
use soundproof_protocol::error::Code;
use std::time::Instant;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// 32 bytes that name something.
pub(crate) type Id = [u8; 32];

/// An upload, from `CreateArtifact` until it is used up.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Artifact {
    #[n(0)]
    pub(crate) requester: Address,
    /// Whether it is an input; otherwise a program.
    #[n(1)]
    pub(crate) stdin: bool,
    /// Digest of the capability in its URL.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) place: Id,
    #[n(3)]
    pub(crate) created_ms: u64,
    /// Its bytes, once all have come.
    #[n(4)]
    pub(crate) done: Option<Done>,
    /// The request that it is the input of; found again from its record.
    #[cbor(skip)]
    pub(crate) used_by: Option<Id>,
    /// Counts the attempts to send it; the last one wins.
    #[cbor(skip)]
    pub(crate) epoch: u64,
}

/// Bytes in the stash.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Done {
    #[n(0)]
    pub(crate) stash: StashId,
    #[n(1)]
    pub(crate) len: u64,
}

/// Names a program: who registered it, and its key's hash.
pub(crate) type ProgramKey = (Address, Id);

/// A registered program.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Program {
    #[n(0)]
    pub(crate) owner: Address,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) vk_hash: Id,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) vk: Vec<u8>,
    /// The ELF.
    #[n(3)]
    pub(crate) elf: Done,
    #[n(4)]
    pub(crate) created_ms: u64,
    #[n(5)]
    pub(crate) used_ms: u64,
    /// A proof was made with it, so the prover found that ELF and hash belong
    /// together, and anybody may use it.
    #[n(6)]
    pub(crate) proven: bool,
}

impl Program {
    pub(crate) fn key(&self) -> ProgramKey {
        (self.owner, self.vk_hash)
    }
}

/// What is durable of a request.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RequestRecord {
    #[n(0)]
    pub(crate) requester: Address,
    /// The body that was signed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) body: Vec<u8>,
    #[n(2)]
    pub(crate) created_ms: u64,
    #[n(3)]
    pub(crate) updated_ms: u64,
    /// The client's deadline, or as late as this server allows.
    #[n(4)]
    pub(crate) deadline_ms: u64,
    /// Who registered the program that it uses.
    #[n(5)]
    pub(crate) program_owner: Address,
    /// The upload that it uses.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(crate) artifact: Id,
    #[n(7)]
    pub(crate) stdin: StashId,
    #[n(8)]
    pub(crate) attempt: u32,
    #[cbor(n(9), with = "token")]
    pub(crate) token: Option<Token>,
    #[n(10)]
    pub(crate) cancelled: bool,
    #[n(11)]
    pub(crate) end: Option<End>,
}

/// How a request ended.
#[derive(Clone, Encode, Decode)]
pub(crate) enum End {
    /// With a proof in the stash.
    #[n(0)]
    Proved(#[n(0)] Done),
    /// Without.
    #[n(1)]
    Failed(#[n(0)] Code, #[n(1)] String),
}

/// A request.
pub(crate) struct Request {
    pub(crate) record: RequestRecord,
    /// `record.body`, decoded.
    pub(crate) body: RequestBody,
    /// Becomes true at the end.
    pub(crate) ended: watch::Sender<bool>,
    /// Stops its driver.
    pub(crate) stop: CancellationToken,
    /// Status calls that wait.
    pub(crate) polls: usize,
    /// When the last status call was answered.
    pub(crate) polled: Option<Instant>,
}

impl Request {
    /// `None` if the body does not decode, which it did when it was taken.
    pub(crate) fn new(record: RequestRecord) -> Option<Self> {
        let body = RequestBody::decode(&record.body).ok()?;
        let (ended, _) = watch::channel(record.end.is_some());
        let stop = CancellationToken::new();
        if record.cancelled {
            stop.cancel();
        }
        Some(Self {
            record,
            body,
            ended,
            stop,
            polls: 0,
            polled: None,
        })
    }

    /// What makes two requests one.
    pub(crate) fn natural_key(&self) -> NaturalKey {
        natural_key(self.record.requester, &self.body)
    }

    pub(crate) fn program(&self) -> ProgramKey {
        (self.record.program_owner, self.body.vk_hash)
    }
}

/// Requester, program, mode and input, as a digest.
pub(crate) type NaturalKey = Id;

/// See [`NaturalKey`].
pub(crate) fn natural_key(requester: Address, body: &RequestBody) -> NaturalKey {
    digest(&[
        b"request",
        &requester.0,
        &body.vk_hash,
        &body.mode.to_be_bytes(),
        body.stdin_uri.as_bytes(),
    ])
}

/// SHA3-256 of parts; the parts but the last have fixed lengths.
pub(crate) fn digest(parts: &[&[u8]]) -> Id {
    let mut hash = Sha3_256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Keys of the journal.
pub(crate) mod key {
    use super::{Id, ProgramKey, digest};

    pub(crate) const ARTIFACT: u8 = b'a';
    pub(crate) const PROGRAM: u8 = b'p';
    pub(crate) const REQUEST: u8 = b'r';

    pub(crate) fn artifact(id: &Id) -> Vec<u8> {
        of(ARTIFACT, id)
    }

    pub(crate) fn program((owner, vk_hash): &ProgramKey) -> Vec<u8> {
        of(PROGRAM, &digest(&[b"program", &owner.0, vk_hash]))
    }

    pub(crate) fn request(id: &Id) -> Vec<u8> {
        of(REQUEST, id)
    }

    fn of(letter: u8, id: &Id) -> Vec<u8> {
        let mut key = vec![letter];
        key.extend_from_slice(id);
        key
    }
}

/// A record's bytes.
pub(crate) fn encode<T: Encode<()>>(record: &T) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    // Writing to a vector does not fail.
    let _ = minicbor::encode(record, &mut *bytes);
    bytes
}

/// A record from its bytes.
pub(crate) fn decode<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    minicbor::decode(bytes).ok()
}

mod token {
    use super::Token;
    use minicbor::{
        Decoder, Encoder,
        decode::Error as DecodeError,
        encode::{Error as EncodeError, Write},
    };
    use zeroize::Zeroizing;

    pub(super) fn encode<C, W: Write>(
        token: &Option<Token>,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match token {
            Some(token) => e.bytes(&token.0)?.ok(),
            None => e.null()?.ok(),
        }
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Option<Token>, DecodeError> {
        if d.datatype()? == minicbor::data::Type::Null {
            return d.null().map(|()| None);
        }
        Ok(Some(Token(Zeroizing::new(d.bytes()?.to_vec()))))
    }
}
