//! What the embedding server settles, and what it says of each caller.

use crate::signature::Address;
use std::collections::BTreeSet;

/// What a client of SDK 6.10 asks for: `sp1-` and `SP1_CIRCUIT_VERSION`.
pub const SP1_VERSION: &str = "sp1-v6.1.0";

/// Settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// How URLs for uploads and downloads begin: scheme, host and port,
    /// without a slash at the end. `None`: each request carries a
    /// [`BaseUrl`].
    pub base_url: Option<String>,
    /// Who may ask for anything.
    pub requesters: Requesters,
    /// Versions that are proved.
    pub versions: Vec<String>,
    /// The address that stands for this server where the SDK wants a prover,
    /// an auctioneer or an executor. Nothing is ever paid to it.
    pub prover: Address,
    /// Bounds.
    pub limits: Limits,
    /// Times, in milliseconds.
    pub times: Times,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            requesters: Requesters::Any,
            versions: vec![SP1_VERSION.to_owned()],
            prover: Address(*b"soundproof prover v1"),
            limits: Limits::default(),
            times: Times::default(),
        }
    }
}

/// Requesters who are served, by the address that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requesters {
    /// Anybody.
    Any,
    /// These.
    Only(BTreeSet<Address>),
}

impl Requesters {
    /// Whether this one is.
    pub fn admit(&self, address: Address) -> bool {
        match self {
            Self::Any => true,
            Self::Only(these) => these.contains(&address),
        }
    }
}

/// Bounds: of bytes, and of how many there are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of an input's upload.
    pub stdin_bytes: u64,
    /// Bytes of a program: of its upload, and of its ELF decompressed.
    pub program_bytes: u64,
    /// Bytes of a verifying key.
    pub vk_bytes: usize,
    /// Bytes of a gRPC message.
    pub message_bytes: usize,
    /// Uploads, begun or used by a request that has not ended.
    pub artifacts: usize,
    /// Of one requester.
    pub artifacts_each: usize,
    /// Bytes of all uploads.
    pub artifact_bytes: u64,
    /// Of one requester.
    pub artifact_bytes_each: u64,
    /// Registered programs.
    pub programs: usize,
    /// Of one requester.
    pub programs_each: usize,
    /// Bytes of all registered programs.
    pub all_program_bytes: u64,
    /// Requests, ended ones too until they are forgotten.
    pub requests: usize,
    /// Of one requester, not ended.
    pub requests_each: usize,
    /// Requests whose input is being handed to the backend at one time.
    pub submits: usize,
    /// How often a request is submitted again after a failure that was not
    /// its requester's.
    pub resubmits: u32,
    /// Status calls that wait, of all requests and of one.
    pub polls: usize,
    /// Of one request.
    pub polls_each: usize,
    /// Used nonces that are remembered.
    pub nonces: usize,
    /// Cycles of a request; more are cut to it.
    pub cycles: u64,
    /// Prover gas of a request; more is cut to it.
    pub gas: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stdin_bytes: 2 << 30,
            program_bytes: 64 << 20,
            vk_bytes: 64 << 10,
            message_bytes: 256 << 10,
            artifacts: 1024,
            artifacts_each: 64,
            artifact_bytes: 8 << 30,
            artifact_bytes_each: 4 << 30,
            programs: 1024,
            programs_each: 64,
            all_program_bytes: 1 << 30,
            requests: 4096,
            requests_each: 64,
            submits: 2,
            resubmits: 3,
            polls: 1024,
            polls_each: 8,
            nonces: 1 << 18,
            cycles: u64::MAX,
            gas: u64::MAX,
        }
    }
}

/// Times, in milliseconds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Times {
    /// A status call is held this long at most. The SDK's own limit on a call
    /// is 60 seconds.
    pub poll: u64,
    /// A status call is held if the one before it, for the same request, was
    /// answered no longer ago than this: the SDK's `wait_proof` asks again
    /// after two seconds. Who looks at many requests in turn is not held up.
    pub poll_gap: u64,
    /// A nonce is good for this long.
    pub nonce: u64,
    /// An upload is begun, and is used, within this time.
    pub artifact: u64,
    /// The next bytes of an upload come within this time.
    pub upload_idle: u64,
    /// A program that nobody used for this long is forgotten.
    pub program: u64,
    /// A request and its proof are kept for this long after its end.
    pub ended: u64,
    /// A deadline is this far away at most; a later one is cut to it.
    pub deadline: u64,
    /// How often what has expired is looked for.
    pub sweep: u64,
    /// The first pause before a call to the backend is made again; it doubles
    /// up to 64 times that.
    pub retry: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            poll: 15_000,
            poll_gap: 5_000,
            nonce: 300_000,
            artifact: 3_600_000,
            upload_idle: 60_000,
            program: 30 * 86_400_000,
            ended: 86_400_000,
            deadline: 7 * 86_400_000,
            sweep: 1_000,
            retry: 250,
        }
    }
}

/// Who a call comes from, beyond what it signs: an extension that the
/// embedding server puts into the request. Without one it is
/// [`Caller::Nobody`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caller {
    /// A stranger: sees what it can name.
    #[default]
    Nobody,
    /// Known to own this address: sees its requests and programs.
    Owner(Address),
    /// The only user that there is: sees all.
    Everything,
}

/// How URLs begin for this caller, as in [`Config::base_url`]: an extension
/// that the embedding server puts into the request, for where the setting is
/// `None`. It must come from a host name that the server knows to be its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(pub String);
