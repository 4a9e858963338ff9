//! What the SDK is told of each end that is not a proof. The one table.

use crate::wire::status::{
    ASSIGNED, CAUSE_CYCLES, CAUSE_GAS, CAUSE_HALT, CAUSE_NONE, ERROR_EXECUTION, ERROR_PROVING,
    ERROR_UNKNOWN, ERROR_VERIFICATION, ERROR_VK_MISMATCH, UNEXECUTABLE, UNEXECUTED, UNFULFILLABLE,
};
use soundproof_protocol::error::{Code, Fault};

/// An end in the SDK's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SdkEnd {
    /// `FulfillmentStatus`.
    pub(crate) fulfillment: i32,
    /// `ExecutionStatus`.
    pub(crate) execution: i32,
    /// `ProofRequestError`.
    pub(crate) error: i32,
    /// `ExecuteFailureCause`.
    pub(crate) cause: i32,
}

/// The table. Three things reach an SDK's user:
///
/// - `RequestUnexecutable`: the program, the input or the limits are at fault;
/// - `RequestUnfulfillable`: anything else;
/// - `RequestTimedOut`: the deadline has passed. There is no status for that
///   which every SDK knows, so it stays *assigned*, and the SDK compares the
///   deadline with its own clock.
///
/// None of them makes a Mainnet client begin anew, because it is told of no
/// provers to fall back on.
pub(crate) fn of(code: Code) -> SdkEnd {
    let unexecutable = |cause| SdkEnd {
        fulfillment: UNFULFILLABLE,
        execution: UNEXECUTABLE,
        error: ERROR_EXECUTION,
        cause,
    };
    let unfulfillable = |error| SdkEnd {
        fulfillment: UNFULFILLABLE,
        execution: UNEXECUTED,
        error,
        cause: CAUSE_NONE,
    };
    match code {
        Code::GuestPanicked => unexecutable(CAUSE_HALT),
        Code::CyclesLimit => unexecutable(CAUSE_CYCLES),
        Code::GasLimit => unexecutable(CAUSE_GAS),
        Code::GuestFault
        | Code::MemoryLimit
        | Code::TimeLimit
        | Code::ElfInvalid
        | Code::StdinInvalid
        | Code::InputMalformed
        | Code::InputTooLarge => unexecutable(CAUSE_NONE),
        Code::ProgramMismatch | Code::VkeyMismatch => unfulfillable(ERROR_VK_MISMATCH),
        Code::DeadlinePassed => SdkEnd {
            fulfillment: ASSIGNED,
            execution: UNEXECUTED,
            error: ERROR_UNKNOWN,
            cause: CAUSE_NONE,
        },
        Code::ProofInvalid
        | Code::ProofRejected
        | Code::ReceiptInvalid
        | Code::OutcomeForged
        | Code::EvidenceRejected
        | Code::TranscriptMismatch => unfulfillable(ERROR_VERIFICATION),
        Code::ProverDied
        | Code::ProverPanic
        | Code::ProverProtocol
        | Code::ProverUnavailable
        | Code::OutputTooLarge => unfulfillable(ERROR_PROVING),
        _ => unfulfillable(ERROR_UNKNOWN),
    }
}

/// Whether to submit the request once more, with the program and the input
/// that are still here: the failure was not the requester's and may pass.
pub(crate) fn worth_another_try(code: Code) -> bool {
    code.retryable() && matches!(code.fault(), Fault::Server | Fault::Host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::{EXECUTED, FULFILLED};

    #[test]
    fn every_code_has_an_end_that_the_sdk_understands() {
        for code in Code::ALL.iter().copied() {
            let end = of(code);
            // Never fulfilled, and never a number that an SDK 6 panics on.
            assert_ne!(end.fulfillment, FULFILLED, "{code}");
            assert!([ASSIGNED, UNFULFILLABLE].contains(&end.fulfillment));
            assert!((1..=3).contains(&end.execution) && end.execution != EXECUTED);
            assert!((1..=6).contains(&end.error), "{code}");
            assert!((0..=9).contains(&end.cause), "{code}");
            // Only the deadline leaves the SDK polling.
            assert_eq!(end.fulfillment == ASSIGNED, code == Code::DeadlinePassed);
            // Unexecutable goes with its error, and is never the machine's fault.
            assert_eq!(
                end.execution == UNEXECUTABLE,
                end.error == ERROR_EXECUTION,
                "{code}"
            );
            if end.execution == UNEXECUTABLE {
                assert!(matches!(code.fault(), Fault::Client | Fault::Program));
                assert!(!worth_another_try(code), "{code}");
            }
        }
    }

    #[test]
    fn the_ends_that_name_their_cause() {
        for (code, cause) in [
            (Code::GuestPanicked, CAUSE_HALT),
            (Code::CyclesLimit, CAUSE_CYCLES),
            (Code::GasLimit, CAUSE_GAS),
        ] {
            assert_eq!(of(code).cause, cause);
        }
        assert_eq!(of(Code::ProgramMismatch).error, ERROR_VK_MISMATCH);
        assert_eq!(of(Code::ProofInvalid).error, ERROR_VERIFICATION);
        assert_eq!(of(Code::ProverPanic).error, ERROR_PROVING);
        assert_eq!(of(Code::Cancelled).fulfillment, UNFULFILLABLE);
        assert!(worth_another_try(Code::KeyLost));
        assert!(!worth_another_try(Code::Cancelled));
    }
}
