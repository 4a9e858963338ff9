//! Rows to values and back. A row that does not read back as what was written
//! is a failure of the store, never a panic.

use crate::{error::StoreError, types::Job};
use soundproof_protocol::{
    api::{HostEnd, JobState},
    digest::Digest,
    id::{InstanceId, JobId},
};
use sqlx::{Row as _, sqlite::SqliteRow};

/// The columns that make a [`Job`], in the order that [`job`] reads them.
macro_rules! job_columns {
    () => {
        "seq, id, tenant, description_digest, header_digest, part_chunks, input_bytes, access, \
         instance, state, end, created_ms, accepted_ms, ended_ms, outcome_bytes, attempts, cancel"
    };
}
pub(super) use job_columns;

const STATES: [JobState; 5] = [
    JobState::Created,
    JobState::Uploading,
    JobState::Queued,
    JobState::Running,
    JobState::Ended,
];
const ENDS: [HostEnd; 4] = [
    HostEnd::Sealed,
    HostEnd::KeyLost,
    HostEnd::Cancelled,
    HostEnd::Expired,
];

pub(super) fn state_number(state: JobState) -> i64 {
    position(&STATES, &state)
}

pub(super) fn end_number(end: HostEnd) -> i64 {
    position(&ENDS, &end)
}

fn position<T: PartialEq>(all: &[T], one: &T) -> i64 {
    all.iter()
        .zip(0..)
        .find_map(|(it, at)| (it == one).then_some(at))
        .unwrap_or(-1)
}

fn broken(what: &str) -> StoreError {
    StoreError::Failed(format!("the database holds a broken {what}"))
}

/// SQLite's integers are signed; ours are not.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> Result<u64, StoreError> {
    value.try_into().map_err(|_| broken("number"))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    Digest::from_slice(bytes).ok_or_else(|| broken("digest"))
}

pub(super) fn job_id(bytes: &[u8]) -> Result<JobId, StoreError> {
    JobId::from_slice(bytes).ok_or_else(|| broken("id"))
}

fn state(number: i64) -> Result<JobState, StoreError> {
    let at = usize::try_from(number).map_err(|_| broken("state"))?;
    STATES.get(at).copied().ok_or_else(|| broken("state"))
}

fn end(number: i64) -> Result<HostEnd, StoreError> {
    let at = usize::try_from(number).map_err(|_| broken("end"))?;
    ENDS.get(at).copied().ok_or_else(|| broken("end"))
}

/// Reads a row of `job_columns!`.
pub(super) fn job(row: &SqliteRow) -> Result<Job, StoreError> {
    let narrow = |value: i64| u32::try_from(value).map_err(|_| broken("number"));
    let optional = |value: Option<i64>| value.map(unsigned).transpose();
    Ok(Job {
        seq: row.try_get(0)?,
        id: job_id(row.try_get(1)?)?,
        tenant: row.try_get(2)?,
        description: digest(row.try_get(3)?)?,
        header: digest(row.try_get(4)?)?,
        part_chunks: narrow(row.try_get(5)?)?,
        input_bytes: unsigned(row.try_get(6)?)?,
        access: digest(row.try_get(7)?)?,
        instance: InstanceId::from_slice(row.try_get(8)?).ok_or_else(|| broken("instance"))?,
        state: state(row.try_get(9)?)?,
        end: row.try_get::<Option<i64>, _>(10)?.map(end).transpose()?,
        created_ms: unsigned(row.try_get(11)?)?,
        accepted_ms: optional(row.try_get(12)?)?,
        ended_ms: optional(row.try_get(13)?)?,
        outcome_bytes: optional(row.try_get(14)?)?,
        attempts: narrow(row.try_get(15)?)?,
        cancel: row.try_get::<i64, _>(16)? != 0,
    })
}
