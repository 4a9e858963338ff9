//! This prover's errors as the protocol's failures. The detail, which only the
//! client reads, begins with the error's own, finer code.

use soundproof_proofs::groth16;
use soundproof_protocol::error::{Code, Failure};
use soundproof_prover_groth16::witgen::WitgenError;
use soundproof_prover_groth16::{ProveError, WtnsError, ZkeyError};

pub(super) fn of_zkey(error: ZkeyError) -> Failure {
    let code = match error {
        ZkeyError::WrongCurve => Code::ZkeyCurve,
        ZkeyError::Truncated | ZkeyError::SizeClaim | ZkeyError::Domain => Code::ZkeySize,
        ZkeyError::PointNotInField
        | ZkeyError::PointOffCurve
        | ZkeyError::PointOutOfSubgroup
        | ZkeyError::KeyElementInfinity => Code::ZkeyPoint,
        _ => Code::ZkeyInvalid,
    };
    explained(code, error.code(), &error, None)
}

pub(super) fn of_verifying_key(error: &groth16::Error) -> Failure {
    explained(Code::VkeyInvalid, error.code(), error, None)
}

pub(super) fn of_wtns(error: WtnsError) -> Failure {
    explained(Code::WtnsInvalid, error.code(), &error, None)
}

pub(super) fn of_prove(error: ProveError) -> Failure {
    let code = match error {
        ProveError::VerifyingKeyMismatch => Code::VkeyMismatch,
        ProveError::WitnessLength => Code::WtnsInvalid,
        ProveError::WitnessUnsatisfied => Code::WitnessUnsatisfied,
        _ => Code::ProofInvalid,
    };
    explained(code, error.code(), &error, None)
}

pub(super) fn of_witgen(error: &WitgenError) -> Failure {
    let code = match error {
        WitgenError::WasmForbiddenImport { .. } => Code::WasmForbiddenImport,
        WitgenError::MemoryLimit => Code::MemoryLimit,
        WitgenError::Timeout => Code::TimeLimit,
        WitgenError::Trapped => Code::WasmTrap,
        WitgenError::InputMalformed | WitgenError::SignalDuplicate(_) => Code::InputMalformed,
        WitgenError::SignalUnknown(_) => Code::SignalUnknown,
        WitgenError::SignalMissing(_) => Code::SignalMissing,
        WitgenError::SignalLength(_) => Code::SignalCount,
        WitgenError::SignalNotNumber(_) => Code::SignalNotNumeric,
        WitgenError::SignalOutOfField(_) => Code::SignalOutOfField,
        WitgenError::ConstraintFailed(_) => Code::ConstraintFailed,
        WitgenError::Resources | WitgenError::DerivedInvalid => Code::Internal,
        _ => Code::WasmInvalid,
    };
    let detail = error.detail().map(|detail| detail.expose());
    explained(code, error.code(), error, detail)
}

fn explained(
    code: Code,
    finer: &str,
    error: &dyn core::fmt::Display,
    detail: Option<&str>,
) -> Failure {
    let detail = match detail {
        Some(detail) if !detail.is_empty() => format!("{finer}: {error}: {detail}"),
        _ => format!("{finer}: {error}"),
    };
    Failure::new(code, detail)
}
