//! Every failure that crosses an interface: a stable code, whose fault it is,
//! whether trying again can help, and what to do.
//!
//! The title and remedy are public. A [`Failure`]'s `detail` is not: it may
//! say where in a circuit an assertion failed, and travels only inside a
//! sealed outcome.

use minicbor::{Decode, Encode};

/// Whose side a failure is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Fault {
    /// Whoever asked: the request, the input, the policy.
    #[n(0)]
    Client,
    /// The program: circuit, guest, keys.
    #[n(1)]
    Program,
    /// Soundproof itself.
    #[n(2)]
    Server,
    /// The machine's operator: store, network, hardware, clock.
    #[n(3)]
    Host,
}

impl Fault {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Program => "program",
            Self::Server => "server",
            Self::Host => "host",
        }
    }
}

macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $fault:ident, $retry:literal, $title:literal, $remedy:literal; )*) => {
        /// A failure's code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $( #[doc = $title] $variant, )*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// HTTP status of a problem document with this code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whose side it is on.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault),* }
            }

            /// Whether trying again, unchanged, can help.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$variant => $retry),* }
            }

            /// What happened.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy),* }
            }
        }
    };
}

codes! {
    // === Requests ===
    RequestMalformed = "request_malformed", 400, Client, false, "The request is not well formed.", "Use a client of this server's version; see /openapi.json.";
    VersionUnsupported = "version_unsupported", 400, Client, false, "This protocol version is not spoken here.", "Use a client of this server's version.";
    SuiteUnsupported = "suite_unsupported", 400, Client, false, "No suite of the offer is spoken here.", "Offer X-Wing (0x647a) or X25519 (0x0020).";
    BodyTooLarge = "body_too_large", 413, Client, false, "The body is larger than this call accepts.", "Send large inputs in parts.";
    HeadersTooLarge = "headers_too_large", 431, Client, false, "The headers are larger than accepted.", "Send fewer or shorter headers.";
    NotFound = "not_found", 404, Client, false, "There is nothing here, or nothing that these credentials may see.", "Check the id and the credentials.";
    MethodNotAllowed = "method_not_allowed", 405, Client, false, "This call does not exist here.", "See /openapi.json.";
    Unauthenticated = "unauthenticated", 401, Client, false, "Credentials are missing or unknown.", "Send a valid API key as a bearer token.";
    OriginRefused = "origin_refused", 403, Client, false, "Requests from this web origin are not accepted.", "Ask the operator to list the origin.";
    RateLimited = "rate_limited", 429, Client, true, "Too many requests from this source.", "Wait as long as Retry-After says.";
    QuotaExceeded = "quota_exceeded", 429, Client, true, "This tenant's quota is used up.", "Wait for jobs to end, delete old ones, or ask the operator for more.";
    RequestTimeout = "request_timeout", 408, Client, true, "The request did not arrive in time.", "Send again; parts that arrived are kept.";
    // === Sessions ===
    SessionUnknown = "session_unknown", 410, Client, true, "The session has ended or was never here.", "Open a new session, appraise it, and seal anew.";
    SessionsFull = "sessions_full", 503, Server, true, "No more sessions can be opened at present.", "Wait as long as Retry-After says.";
    QuoteFailed = "quote_failed", 503, Host, true, "The machine could not make evidence.", "Try again; the operator should look at the quoting service.";
    EndorsementsUnavailable = "endorsements_unavailable", 503, Host, true, "The server has no valid endorsements for its machine.", "Try again later; the operator should look at the log: the sources of endorsements do not answer.";
    KeeperUnavailable = "keeper_unavailable", 503, Server, true, "The keeper does not answer.", "Try again in a moment.";
    // === Jobs ===
    DescriptionInvalid = "description_invalid", 400, Client, false, "The job description breaks a rule.", "See the detail.";
    HeaderInvalid = "header_invalid", 400, Client, false, "The sealed header breaks a rule.", "See the detail.";
    SealInvalid = "seal_invalid", 400, Client, false, "The data key does not open with this session and this description.", "Seal for exactly this session, program, mode and job.";
    CommitmentMismatch = "commitment_mismatch", 400, Client, false, "The data key is not the one that the header commits to.", "Seal anew; every recipient must get the same data key.";
    JobConflict = "job_conflict", 409, Client, false, "A job with this id and another description or ciphertext exists.", "Use a new job id for a new job.";
    JobReplayed = "job_replayed", 409, Client, false, "A job with this id has already ended here.", "Use a new job id.";
    JobNotFound = "job_not_found", 404, Client, false, "No job with this id that these credentials may see.", "Check the id; send the job's access secret or the tenant's key.";
    JobsFull = "jobs_full", 503, Server, true, "No more jobs can be taken at present.", "Wait as long as Retry-After says.";
    ModeUnavailable = "mode_unavailable", 422, Client, false, "This proof system or mode is not offered here.", "Ask for a mode that /v1/info offers; its detail says what is missing for the others.";
    DurableUnavailable = "durable_unavailable", 422, Client, false, "This server offers no durable key of that scope.", "Submit without durability.";
    DelegationUnavailable = "delegation_unavailable", 422, Client, false, "This server hands no job to other enclaves by that policy.", "Submit without a delegation policy.";
    DeadlinePassed = "deadline_passed", 422, Client, false, "The job's not-after time has passed.", "Submit a new job with a later time.";
    ModeNotHiding = "mode_not_hiding", 422, Client, false, "A proof of this mode may reveal its witness, and the description does not acknowledge it.", "Choose a mode that hides, or acknowledge.";
    PartConflict = "part_conflict", 409, Client, false, "This part was already sent with other bytes.", "Compare digests; if the source changed, start over with a new job.";
    PartLength = "part_length", 400, Client, false, "The part does not have the length that the header gives it.", "Send parts of whole chunks, as the create call said.";
    PartOutOfRange = "part_out_of_range", 404, Client, false, "The job has no such part.", "See GET …/input.";
    InputClosed = "input_closed", 409, Client, false, "The input is complete; no part can change.", "Submit a new job.";
    JobNotEnded = "job_not_ended", 409, Client, true, "The job has not ended, so it cannot be deleted.", "Cancel it first.";
    OutcomeNotReady = "outcome_not_ready", 425, Client, true, "The job has not ended.", "Watch its events, or ask with ?wait=seconds.";
    OutcomeGone = "outcome_gone", 410, Client, false, "There is no outcome any more, or never was one.", "See the job's end.";
    // === Blobs ===
    BlobMissing = "blob_missing", 409, Client, true, "A program part is not in the store.", "PUT it to /v1/blobs/{sha256} first.";
    BlobDigestMismatch = "blob_digest_mismatch", 422, Client, false, "The bytes do not have the digest they were sent under.", "Send the right bytes.";
    BlobCorrupt = "blob_corrupt", 500, Host, true, "A stored program part no longer has its digest.", "Upload it again; the operator should check the disk.";
    // === Host and server ===
    StorageFull = "storage_full", 507, Host, true, "The server's disk is full.", "Try again later; the operator must free room.";
    StorageFailed = "storage_failed", 500, Host, true, "The store failed.", "Try again; the operator should look at the log.";
    Internal = "internal", 500, Server, true, "Something failed inside.", "Try again; report it if it stays.";
    ShuttingDown = "shutting_down", 503, Server, true, "The server is stopping.", "Try again in a moment.";
    // === Ends of jobs, inside the sealed outcome (or host_end) ===
    KeyLost = "key_lost", 410, Host, true, "The enclave that held the job's key is gone.", "Appraise anew, seal anew, submit anew; the client library does.";
    Cancelled = "cancelled", 409, Client, false, "The job was cancelled.", "Submit a new job.";
    Expired = "expired", 410, Client, false, "The input was not complete in time.", "Submit a new job.";
    ChunkInvalid = "chunk_invalid", 400, Client, false, "A chunk is not what was sealed: changed, moved, missing or of another job.", "Submit again; if it repeats, the host or network alters data.";
    PrologueInvalid = "prologue_invalid", 400, Client, false, "The sealed plaintext does not begin as it must.", "Use the client library.";
    InputTooLarge = "input_too_large", 413, Client, false, "The input is larger than the prover accepts.", "Send a smaller input; see /v1/info.";
    OutputTooLarge = "output_too_large", 422, Program, false, "The proof is larger than the prover hands out.", "Ask for a mode whose proofs are short (SP1: compressed), or have the operator raise max_output_bytes.";
    ProgramPartMissing = "program_part_missing", 422, Client, false, "The description lacks a part that the mode needs.", "Name every part.";
    ProverDied = "prover_died", 500, Server, true, "The prover process died.", "Try again; report it if it stays.";
    ProverPanic = "prover_panic", 500, Server, false, "The prover failed on this job.", "Report it with the program's digests.";
    ProverProtocol = "prover_protocol", 500, Server, true, "The prover process broke its protocol.", "Report it.";
    ProverUnavailable = "prover_unavailable", 503, Server, true, "No prover process could be started.", "Try again; the operator should look at the log.";
    TimeLimit = "time_limit", 422, Program, false, "The job ran into its time limit.", "Allow more time, or make the program faster.";
    MemoryLimit = "memory_limit", 422, Program, false, "The job ran into its memory limit.", "Allow more memory, or use less.";
    CyclesLimit = "cycles_limit", 422, Program, false, "The program ran into its cycle limit.", "Allow more cycles.";
    ProofInvalid = "proof_invalid", 500, Program, false, "The proof that was made does not verify under the description's verifying key.", "Check that proving key, verifying key and witness generator belong together.";
    GasLimit = "gas_limit", 422, Program, false, "The program ran into its limit on prover gas.", "Allow more gas.";
    ModeRefused = "mode_refused", 422, Server, false, "The operator refuses modes whose proofs may reveal their witness.", "Ask for a mode that hides, or another server.";
    // === SP1 ===
    ElfInvalid = "elf_invalid", 422, Program, false, "The program is not an ELF that SP1 6 runs.", "Build it with SP1 6's toolchain.";
    ProgramMismatch = "program_mismatch", 422, Program, false, "The program is not the one that the verifying key belongs to.", "Somebody changed it, or it was built anew: register the program again.";
    StdinInvalid = "stdin_invalid", 422, Client, false, "The input is not SP1's stdin, in bincode or zstd of it.", "Use SP1Stdin of SP1 6.";
    GuestPanicked = "guest_panicked", 422, Program, false, "The program ended with an error: a panic, or a non-zero exit code.", "Execute it locally with the same input.";
    GuestFault = "guest_fault", 422, Program, false, "The program did what SP1 does not allow: an invalid memory access, system call or instruction.", "Execute it locally with the same input.";
    // === Groth16 and circom ===
    ZkeyInvalid = "zkey_invalid", 422, Program, false, "The proving key is not a well-formed snarkjs Groth16 zkey.", "See the detail.";
    ZkeyCurve = "zkey_curve", 422, Program, false, "The proving key is for another curve than BN254.", "Use a bn128 zkey.";
    ZkeyPoint = "zkey_point", 422, Program, false, "The proving key holds a point that is off the curve, out of the subgroup, or infinite where it must not be.", "Get the key from its maker again.";
    ZkeySize = "zkey_size", 422, Program, false, "The proving key claims sizes that its bytes do not have, or that are too large.", "Get the key from its maker again.";
    VkeyInvalid = "vkey_invalid", 422, Program, false, "The verifying key is not a well-formed snarkjs Groth16 verification key.", "See the detail.";
    VkeyMismatch = "vkey_mismatch", 422, Program, false, "The proving key was not made for this verifying key.", "Use keys of the same set-up.";
    WtnsInvalid = "wtns_invalid", 422, Client, false, "The witness is not a well-formed wtns file for this circuit.", "See the detail.";
    WasmInvalid = "wasm_invalid", 422, Program, false, "The witness generator is not a WebAssembly module that circom 2 makes.", "Compile the circuit with circom 2.";
    WasmForbiddenImport = "wasm_forbidden_import", 422, Program, false, "The witness generator imports what no circom circuit needs.", "Compile the circuit with circom 2.";
    WasmTrap = "wasm_trap", 422, Program, false, "The witness generator trapped.", "See the detail.";
    ConstraintFailed = "constraint_failed", 422, Client, false, "The inputs do not satisfy the circuit.", "See the detail for the circuit's line.";
    SignalMissing = "signal_missing", 422, Client, false, "An input signal is missing.", "See the detail for its name.";
    SignalUnknown = "signal_unknown", 422, Client, false, "The circuit has no such input signal.", "See the detail for its name.";
    SignalCount = "signal_count", 422, Client, false, "An input signal has too few or too many values.", "See the detail for its name.";
    SignalOutOfField = "signal_out_of_field", 422, Client, false, "An input value is not below the field's modulus.", "See the detail for its signal.";
    SignalNotNumeric = "signal_not_numeric", 422, Client, false, "An input value is not a number.", "See the detail for its signal.";
    InputMalformed = "input_malformed", 422, Client, false, "The input is not the JSON object of signals that the circuit needs.", "See the detail.";
    WitnessUnsatisfied = "witness_unsatisfied", 422, Client, false, "The witness does not satisfy the circuit's constraints.", "Make the witness with the circuit's own generator.";
    // === Client side ===
    EvidenceRejected = "evidence_rejected", 403, Host, false, "The server's evidence does not satisfy your policy.", "See the verdict; do not lower the policy to pass.";
    TranscriptMismatch = "transcript_mismatch", 403, Host, false, "The session's transcript is not the one that was asked for.", "Somebody between you and the enclave changed it; do not go on.";
    OutcomeForged = "outcome_forged", 403, Host, false, "The outcome was not made by whoever opened the witness.", "Somebody between you and the enclave changed it; fetch again.";
    ReceiptInvalid = "receipt_invalid", 403, Host, false, "The receipt does not verify, or names other digests than yours.", "Do not use the proof as attested.";
    ProofRejected = "proof_rejected", 403, Host, false, "The proof that arrived does not verify.", "Do not use it.";
    SourceChanged = "source_changed", 409, Client, false, "The input changed while it was being sent.", "Submit again from a source that stays.";
    Unreachable = "unreachable", 503, Host, true, "The server cannot be reached.", "Check the URL and the network.";
    ProtocolBroken = "protocol_broken", 502, Server, false, "The server's reply is not one of this protocol.", "Check the URL and the server's version.";
    UrlRefused = "url_refused", 400, Client, false, "The server's URL cannot be used.", "Use https://, or http:// to this machine's own loopback address.";
    FileUnreadable = "file_unreadable", 400, Client, false, "A file cannot be read or written.", "Check the path and its permissions.";
    PolicyInvalid = "policy_invalid", 400, Client, false, "The policy file is not a policy.", "See the detail; `soundproof policy init` writes one to begin with.";
    TicketInvalid = "ticket_invalid", 400, Client, false, "The ticket is not one of this version, or was changed.", "Use the ticket as it was written.";
    BundleInvalid = "bundle_invalid", 400, Client, false, "The receipt bundle is not one of this version, or was changed.", "Use the bundle as it was written.";
    TlsPinMismatch = "tls_pin_mismatch", 403, Host, false, "The connection's certificate is not the one that the evidence vouches for.", "Somebody sits between you and the enclave; do not go on.";
}

impl Code {
    /// From the stable name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl<C> Encode<C> for Code {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(self.name())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Code {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_name(d.str()?).ok_or_else(|| minicbor::decode::Error::message("unknown code"))
    }
}

/// A job's failure, inside its sealed outcome.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Failure {
    /// What happened.
    #[n(0)]
    pub code: Code,
    /// Where and how: for the client's eyes only, at most
    /// [`MAX_DETAIL`] bytes.
    #[n(1)]
    pub detail: String,
}

/// Bytes of a [`Failure`]'s detail at most.
pub const MAX_DETAIL: usize = 4096;

impl Failure {
    /// One whose detail is cut to [`MAX_DETAIL`].
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > MAX_DETAIL {
            let cut = (0..=MAX_DETAIL)
                .rev()
                .find(|at| detail.is_char_boundary(*at))
                .unwrap_or(0);
            detail.truncate(cut);
        }
        Self { code, detail }
    }
}

impl core::fmt::Debug for Failure {
    // The detail is for the client's eyes only.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Failure({}, …)", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.name()), Some(*code));
            assert!((400..600).contains(&code.status()));
        }
    }

    #[test]
    fn a_detail_is_cut_at_a_character() {
        let failure = Failure::new(Code::Internal, "é".repeat(MAX_DETAIL));
        assert!(failure.detail.len() <= MAX_DETAIL && failure.detail.len() > MAX_DETAIL - 2);
        assert!(!format!("{failure:?}").contains('é'));
    }
}
