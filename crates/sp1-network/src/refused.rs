//! Why a call is refused, and the code by which the SDK is told: it tries
//! again for two minutes after `Unavailable`, `Aborted` and a few others and
//! stops at once after the rest (its `network/retry.rs`).

use crate::{
    backend::{Mode, NoEntropy, Refusal},
    elf::ElfError,
    nonce::NonceError,
    signature::{Address, SignatureError},
    wire::Malformed,
};
use http::StatusCode;
use tonic::{Code, Status};

/// What happened, whose side it is on, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}: use sp1-sdk 6")]
    Malformed(#[from] Malformed),
    #[error("{0}: sign with the key that the SDK was given")]
    Signature(#[from] SignatureError),
    #[error("the address {0} is not served here: ask the operator to list it")]
    NotAllowed(Address),
    #[error("{0}: ask for another and sign again")]
    Nonce(#[from] NonceError),
    #[error("{}", .0.text)]
    Backend(Refusal),
    #[error(
        "a client of {asked} cannot be served: this server proves {proved}; use an sp1-sdk of that version"
    )]
    Version { asked: String, proved: String },
    #[error("the mode {} is not offered here: {reason}", .mode.name())]
    Mode { mode: Mode, reason: String },
    #[error(
        "the deadline has passed when the request arrives: compare your clock with the server's, or allow more time"
    )]
    Deadline,
    #[error("this program is not registered: register it again")]
    ProgramUnknown,
    #[error("program_uri is not a program that this requester uploaded here: upload it again")]
    ProgramUri,
    #[error("{0}: build it with SP1 6 and upload it with its SDK")]
    Elf(#[from] ElfError),
    #[error(
        "stdin_uri is not an input that this requester uploaded here: upload it with this server's CreateArtifact"
    )]
    StdinUri,
    #[error("stdin_uri is the input of another request: upload it again for this one")]
    StdinUsed,
    #[error("there is no such request, or it was forgotten")]
    RequestUnknown,
    #[error("only the requester can cancel a request")]
    NotOwner,
    #[error("the request has ended, so it cannot be cancelled")]
    Ended,
    #[error("requests are listed only for whom the server knows to own them")]
    NotSeen,
    #[error("artifacts of type {0} are not kept here: upload programs and inputs only")]
    ArtifactType(i32),
    #[error("no more {0} can be taken at present: wait for others to end")]
    Full(&'static str),
    #[error("something failed inside; the operator should look at the log")]
    Inside,
    #[error("the server is stopping: try again in a moment")]
    Stopping,
    // Uploads and downloads.
    #[error("there is no such place for an upload, or it has expired: ask for another")]
    UploadUnknown,
    #[error("this upload is complete, and its URL is used up")]
    UploadDone,
    #[error("another upload to the same place has begun")]
    UploadSuperseded,
    #[error("the body did not arrive whole: send it again")]
    UploadBroken,
    #[error("the body is longer than accepted: {0} bytes at most")]
    UploadTooLong(u64),
    #[error(
        "your uploads take more room than one requester may have: wait for your requests to end"
    )]
    UploadQuota,
    #[error("there is no such proof, or it has expired")]
    ProofUnknown,
    #[error("the proof cannot be had at this moment: try again")]
    ProofLater,
}

impl Refused {
    /// For gRPC.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::Elf(_) | Self::ArtifactType(_) => Code::InvalidArgument,
            Self::Signature(_) => Code::Unauthenticated,
            Self::NotAllowed(_) | Self::NotOwner | Self::NotSeen => Code::PermissionDenied,
            Self::Nonce(NonceError::Full) => Code::Unavailable,
            Self::Nonce(_) => Code::Aborted,
            Self::Backend(refusal) if refusal.passing => Code::Unavailable,
            // The SDK registers a program when it hears this of `GetProgram`.
            Self::RequestUnknown | Self::ProgramUnknown => Code::NotFound,
            Self::Full(_) | Self::Inside | Self::Stopping => Code::Unavailable,
            _ => Code::FailedPrecondition,
        }
    }

    /// For HTTP. The SDK takes an upload up again after 408 and 504 only.
    pub(crate) fn http(&self) -> StatusCode {
        match self {
            Self::UploadUnknown | Self::ProofUnknown => StatusCode::NOT_FOUND,
            Self::UploadDone | Self::UploadSuperseded => StatusCode::CONFLICT,
            Self::UploadBroken => StatusCode::REQUEST_TIMEOUT,
            Self::UploadTooLong(_) | Self::UploadQuota => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Backend(refusal) if !refusal.passing => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl From<NoEntropy> for Refused {
    fn from(_: NoEntropy) -> Self {
        Self::Inside
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code(), refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_tries_again_where_that_can_help_and_nowhere_else() {
        let refusal = |passing| {
            Refused::Backend(Refusal {
                passing,
                text: "no".to_owned(),
            })
        };
        let again = [Code::Unavailable, Code::Aborted];
        for refused in [
            Refused::Nonce(NonceError::Unknown),
            Refused::Nonce(NonceError::Used),
            Refused::Nonce(NonceError::Full),
            Refused::Full("requests"),
            Refused::Stopping,
            refusal(true),
        ] {
            assert!(again.contains(&refused.code()), "{refused}");
        }
        for refused in [
            Refused::Signature(SignatureError::Length),
            Refused::StdinUri,
            Refused::Deadline,
            Refused::ProgramUnknown,
            Refused::RequestUnknown,
            refusal(false),
        ] {
            assert!(!again.contains(&refused.code()), "{refused}");
        }
    }

    #[test]
    fn of_http_statuses_only_timeouts_are_tried_again() {
        // By the text of the status, in the SDK's retry.rs.
        for refused in [Refused::UploadBroken, Refused::ProofLater, Refused::Inside] {
            let reason = refused.http().canonical_reason().unwrap_or_default();
            assert!(reason.to_lowercase().contains("timeout"), "{refused}");
        }
        for refused in [
            Refused::UploadDone,
            Refused::UploadUnknown,
            Refused::ProofUnknown,
            Refused::UploadTooLong(1),
        ] {
            let reason = refused.http().canonical_reason().unwrap_or_default();
            assert!(!reason.to_lowercase().contains("timeout"), "{refused}");
        }
    }
}
