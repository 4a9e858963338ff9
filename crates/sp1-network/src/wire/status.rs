//! Numbers of the SDK's enumerations. Only those that every SDK of version 6
//! knows: the earlier ones panic on `REVERTED` and `EXPIRED`, and the base
//! dialect has no `VALIDATION_FAILED`.

/// `FulfillmentStatus::ASSIGNED`: being proved. A Mainnet client gives up on
/// `REQUESTED` after 30 seconds, so that is never sent.
pub const ASSIGNED: i32 = 2;
/// `FulfillmentStatus::FULFILLED`: the proof can be had.
pub const FULFILLED: i32 = 3;
/// `FulfillmentStatus::UNFULFILLABLE`: there will be none.
pub const UNFULFILLABLE: i32 = 4;

/// `ExecutionStatus::UNEXECUTED`.
pub const UNEXECUTED: i32 = 1;
/// `ExecutionStatus::EXECUTED`.
pub const EXECUTED: i32 = 2;
/// `ExecutionStatus::UNEXECUTABLE`: the program cannot be executed with this
/// input and these limits.
pub const UNEXECUTABLE: i32 = 3;

/// `ProofRequestError`: none.
pub const ERROR_NONE: i32 = 0;
/// `ProofRequestError::EXECUTION_FAILURE`.
pub const ERROR_EXECUTION: i32 = 1;
/// `ProofRequestError::VK_MISMATCH`.
pub const ERROR_VK_MISMATCH: i32 = 2;
/// `ProofRequestError::UNKNOWN`.
pub const ERROR_UNKNOWN: i32 = 3;
/// `ProofRequestError::VERIFICATION_FAILURE`.
pub const ERROR_VERIFICATION: i32 = 5;
/// `ProofRequestError::PROVING_FAILURE`.
pub const ERROR_PROVING: i32 = 6;

/// `ExecuteFailureCause`: none, or not one of those that there are.
pub const CAUSE_NONE: i32 = 0;
/// `ExecuteFailureCause::HALT_WITH_NON_ZERO_EXIT_CODE`.
pub const CAUSE_HALT: i32 = 1;
/// `ExecuteFailureCause::EXCEEDED_CYCLE_LIMIT`.
pub const CAUSE_CYCLES: i32 = 5;
/// `ExecuteFailureCause::EXCEEDED_GAS_LIMIT`.
pub const CAUSE_GAS: i32 = 9;
