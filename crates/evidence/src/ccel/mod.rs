//! The event log of a confidential computing guest's firmware (CCEL): the
//! crypto-agile log of the TCG PC Client Platform Firmware Profile (PFP), with
//! measurement registers in the place of PCRs (UEFI 2.10, 38.4, "Virtual
//! Platform CC Event Log").
//!
//! A log is a claim. What a quote vouches for is each event's digest and the
//! order of those of one register ([`Log::replay`]). An event's type and data
//! are vouched for only where PFP defines the data as that which was measured
//! ([`Event::binds_data`]); everything else in it may be invented by whoever
//! hands over the log, and is shown as such.
//!
//! | module | what |
//! |---|---|
//! | [`boot`] | secure boot, its keys, and the boot chain, as a log shows them |

pub mod boot;
pub(crate) mod judge;
mod kind;

pub use boot::{Boot, SecureBoot};
pub(crate) use kind::is_data_measured;
pub use kind::{EV_NO_ACTION, EV_SEPARATOR, name as kind_name};

use crate::cursor::{Cursor, Short};
use sha2::{Digest as _, Sha384};

/// Bytes of a log that are read at most.
pub const MAX_LOG: usize = soundproof_protocol::attestation::MAX_EVIDENCE;
/// Events of a log at most; the shortest takes 66 bytes.
pub const MAX_EVENTS: usize = 4096;
/// Hash algorithms of a log at most. PFP knows six.
const MAX_ALGORITHMS: usize = 8;
/// TPM_ALG_SHA384 (TCG Algorithm Registry).
const SHA384: u16 = 0x000c;
/// Value of a run-time register before the first event.
const ZERO: [u8; 48] = [0; 48];

/// Why bytes are no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Longer than [`MAX_LOG`].
    #[error("{0} bytes, at most {MAX_LOG} are read")]
    TooLong(usize),
    /// More than [`MAX_EVENTS`].
    #[error("more than {MAX_EVENTS} events")]
    TooMany,
    /// Ends inside a field.
    #[error("truncated in {0}")]
    Truncated(&'static str),
    /// The first event is not a specification id event, version 03.
    #[error("no specification id event: {0}")]
    Header(&'static str),
    /// No SHA-384, which is what the registers are extended with.
    #[error("event {0} has no SHA-384 digest")]
    NoSha384(usize),
    /// An event's digests are not those of the header's algorithms.
    #[error("event {0} has digests that the header does not name, or one twice")]
    Algorithms(usize),
    /// A register that there is not, or that no event can extend.
    #[error("event {event} extends register {register}; 1 to 4 can be extended")]
    Register {
        /// Which event, from 0; the header is not counted.
        event: usize,
        /// The index that it names.
        register: u32,
    },
}

impl From<Short> for LogError {
    fn from(short: Short) -> Self {
        Self::Truncated(short.0)
    }
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// RTMR that it extended, 0 to 3; nothing for [`EV_NO_ACTION`].
    pub rtmr: Option<u8>,
    /// Event type (PFP, table 9). Not vouched for.
    pub kind: u32,
    /// SHA-384 digest, vouched for by the register's value; of
    /// [`EV_NO_ACTION`] it means nothing.
    pub digest: [u8; 48],
    /// Event data. Vouched for only where [`binds_data`](Self::binds_data).
    pub data: &'a [u8],
}

impl Event<'_> {
    /// Whether the event's type says that its digest is that of its data.
    pub fn is_data_measured(&self) -> bool {
        kind::is_data_measured(self.kind)
    }

    /// Whether its data is what was measured, so that a quote vouches for it.
    pub fn binds_data(&self) -> bool {
        self.rtmr.is_some() && measures(&self.digest, self.data)
    }

    /// Whether the digest is that of a separator, whatever type the log gives
    /// it: a log cannot hide one.
    pub fn is_separator(&self) -> bool {
        self.rtmr.is_some()
            && [[0; 4], [0xff; 4], [1, 0, 0, 0]]
                .iter()
                .any(|value| measures(&self.digest, value))
    }
}

fn measures(digest: &[u8; 48], data: &[u8]) -> bool {
    Sha384::digest(data).as_slice() == digest
}

/// A log that was read, not compared with a quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log<'a> {
    /// Every event after the header, in order.
    pub events: Vec<Event<'a>>,
}

impl<'a> Log<'a> {
    /// Reads one. The buffer that firmware hands out is larger than the log
    /// and filled up with 0xff or 0x00; anything else after the last event is
    /// an error.
    ///
    /// # Errors
    /// [`LogError`]; never panics, and takes memory in proportion to the input
    /// only.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LogError> {
        if bytes.len() > MAX_LOG {
            return Err(LogError::TooLong(bytes.len()));
        }
        let mut rest = Cursor::new(bytes);
        let algorithms = header(&mut rest)?;
        let mut events = Vec::new();
        while !is_filler(rest.rest()) {
            if events.len() == MAX_EVENTS {
                return Err(LogError::TooMany);
            }
            events.push(event(&mut rest, &algorithms, events.len())?);
        }
        Ok(Self { events })
    }

    /// Values of RTMR0 to RTMR3 after all events (`mr = SHA-384(mr ‖ digest)`,
    /// Intel TDX Module ABI, TDG.MR.RTMR.EXTEND), from zero.
    pub fn replay(&self) -> [[u8; 48]; 4] {
        let mut registers = [ZERO; 4];
        for event in &self.events {
            if let Some(register) = event
                .rtmr
                .and_then(|rtmr| registers.get_mut(usize::from(rtmr)))
            {
                extend(register, &event.digest);
            }
        }
        registers
    }

    /// Whether any event extended this RTMR.
    pub fn extends(&self, rtmr: u8) -> bool {
        self.events.iter().any(|event| event.rtmr == Some(rtmr))
    }

    /// The first event whose data is not what its type says was measured, by
    /// its place in [`events`](Self::events).
    pub fn first_unbound(&self) -> Option<(usize, &Event<'a>)> {
        self.events.iter().enumerate().find(|(_, event)| {
            event.rtmr.is_some() && event.is_data_measured() && !event.binds_data()
        })
    }
}

/// Extends a register.
pub(crate) fn extend(register: &mut [u8; 48], digest: &[u8; 48]) {
    let extended = Sha384::new()
        .chain_update(*register)
        .chain_update(digest)
        .finalize();
    register.copy_from_slice(&extended);
}

/// What lies between the last event and the buffer's end.
fn is_filler(rest: &[u8]) -> bool {
    match rest.first() {
        None => true,
        Some(fill @ (0x00 | 0xff)) => rest.iter().all(|byte| byte == fill),
        Some(_) => false,
    }
}

/// The first event, in the old format (TCG_PCClientPCREvent), whose data is a
/// TCG_EfiSpecIDEvent (PFP, 10.4.5.1): the algorithms and digest sizes of all
/// others.
fn header(rest: &mut Cursor<'_>) -> Result<Vec<(u16, u16)>, LogError> {
    let _register = rest.u32("the header")?;
    if rest.u32("the header")? != EV_NO_ACTION {
        return Err(LogError::Header("the first event is of another type"));
    }
    if rest.take(20, "the header")?.iter().any(|byte| *byte != 0) {
        return Err(LogError::Header("its digest is not zero"));
    }
    let mut id = rest.sized_u32("the header")?;
    if id.take(16, "the header")? != b"Spec ID Event03\0" {
        return Err(LogError::Header("another signature"));
    }
    // Platform class, version and errata, size of UINTN.
    id.take(4 + 3 + 1, "the header")?;
    let count = id.u32("the header")?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| (1..=MAX_ALGORITHMS).contains(count))
        .ok_or(LogError::Header("no algorithm, or too many"))?;
    let mut algorithms: Vec<(u16, u16)> = Vec::with_capacity(count);
    for _ in 0..count {
        let (id, size) = (id.u16("the header")?, id.u16("the header")?);
        if algorithms.iter().any(|(known, _)| *known == id) {
            return Err(LogError::Header("one algorithm twice"));
        }
        algorithms.push((id, size));
    }
    if !algorithms.contains(&(SHA384, 48)) {
        return Err(LogError::Header("no SHA-384"));
    }
    let vendor = id.u8("the header")?;
    id.take(usize::from(vendor), "the header")?;
    if id.rest().is_empty() {
        Ok(algorithms)
    } else {
        Err(LogError::Header("bytes left over"))
    }
}

/// TCG_PCR_EVENT2 (PFP, 10.2.2).
fn event<'a>(
    rest: &mut Cursor<'a>,
    algorithms: &[(u16, u16)],
    index: usize,
) -> Result<Event<'a>, LogError> {
    let register = rest.u32("an event")?;
    let kind = rest.u32("an event")?;
    let count = rest.u32("an event")?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| (1..=algorithms.len()).contains(count))
        .ok_or(LogError::Algorithms(index))?;
    let mut seen = Vec::with_capacity(count);
    let mut digest = None;
    for _ in 0..count {
        let id = rest.u16("a digest")?;
        let size = algorithms
            .iter()
            .find_map(|(known, size)| (*known == id).then_some(*size))
            .filter(|_| !seen.contains(&id))
            .ok_or(LogError::Algorithms(index))?;
        seen.push(id);
        let bytes = rest.take(usize::from(size), "a digest")?;
        if id == SHA384 {
            digest = bytes.first_chunk().copied();
        }
    }
    let digest = digest.ok_or(LogError::NoSha384(index))?;
    let data = rest.sized_u32("an event's data")?.rest();
    let rtmr = match (kind, register) {
        // Extends nothing, so that the register is of no account.
        (EV_NO_ACTION, _) => None,
        // 0 is MRTD, which the module makes and nothing extends.
        (_, 1..=4) => u8::try_from(register - 1).ok(),
        _ => {
            return Err(LogError::Register {
                event: index,
                register,
            });
        }
    };
    Ok(Event {
        rtmr,
        kind,
        digest,
        data,
    })
}

#[cfg(test)]
mod tests;
