//! What is done to a case.

use crate::cases::Case;
use soundproof_protocol::{
    attestation::{Platform, Role},
    binding::Binding,
    cbor::Bytes,
    digest::Digest,
};

/// A part of the evidence or of its endorsements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Statement,
    EventLog,
    Gpu,
    Endorsements,
    GpuEndorsements,
}

const PARTS: [Part; 5] = [
    Part::Statement,
    Part::EventLog,
    Part::Gpu,
    Part::Endorsements,
    Part::GpuEndorsements,
];

fn part(case: &mut Case, part: Part) -> Option<&mut Vec<u8>> {
    match part {
        Part::Statement => Some(&mut case.evidence.statement.0),
        Part::EventLog => case.evidence.event_log.as_mut().map(|bytes| &mut bytes.0),
        Part::Gpu => case.evidence.gpu.as_mut().map(|bytes| &mut bytes.0),
        Part::Endorsements => Some(&mut case.endorsements.body.0),
        Part::GpuEndorsements => case.endorsements.gpu.as_mut().map(|bytes| &mut bytes.0),
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Bytes of a part, from an offset on.
    Bytes { part: Part, at: usize, with: With },
    /// A part ends here.
    Cut(Part, usize),
    /// A part goes on.
    Longer(Part, usize),
    /// A part is not there.
    Without(Part),
    /// A part is that of another case.
    Swapped(Part, Box<Case>),
    /// It is called evidence of another platform.
    Called(Platform),
    /// It is judged at another time.
    At(u64),
    /// It must carry another binding.
    Bound(Box<Binding>),
}

/// What bytes become.
#[derive(Debug, Clone, Copy)]
pub(crate) enum With {
    /// One bit of one byte changes.
    Flipped,
    /// So many bytes become this.
    All(usize, u8),
}

impl Change {
    /// The case with the change; none if it changes nothing.
    pub(crate) fn apply(&self, case: &Case) -> Option<Case> {
        let mut changed = case.clone();
        match self {
            Self::Bytes { part: of, at, with } => {
                let bytes = part(&mut changed, *of)?;
                match with {
                    With::Flipped => *bytes.get_mut(*at)? ^= 1 << (at % 8),
                    With::All(len, value) => bytes.get_mut(*at..at + len)?.fill(*value),
                }
            }
            Self::Cut(of, len) => part(&mut changed, *of)?.truncate(*len),
            Self::Longer(of, len) => part(&mut changed, *of)?.extend(vec![0x20; *len]),
            Self::Without(of) => match of {
                Part::EventLog => changed.evidence.event_log = None,
                Part::Gpu => changed.evidence.gpu = None,
                Part::GpuEndorsements => changed.endorsements.gpu = None,
                Part::Statement | Part::Endorsements => part(&mut changed, *of)?.clear(),
            },
            Self::Swapped(of, other) => {
                let mut other = (**other).clone();
                let new = part(&mut other, *of)?.clone();
                match of {
                    Part::EventLog => changed.evidence.event_log = Some(Bytes(new)),
                    Part::Gpu => changed.evidence.gpu = Some(Bytes(new)),
                    Part::GpuEndorsements => changed.endorsements.gpu = Some(Bytes(new)),
                    Part::Statement | Part::Endorsements => *part(&mut changed, *of)? = new,
                }
            }
            Self::Called(platform) => {
                changed.evidence.platform = *platform;
                changed.endorsements.platform = *platform;
            }
            Self::At(now_ms) => changed.now_ms = *now_ms,
            Self::Bound(binding) => changed.binding = **binding,
        }
        let same = changed.evidence == case.evidence
            && changed.endorsements == case.endorsements
            && changed.binding == case.binding
            && changed.now_ms == case.now_ms;
        (!same).then_some(changed)
    }
}

/// Everything that is tried; of the bytes, every so-manieth.
pub(crate) fn all(case: &Case, others: &[Case], every: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    for of in PARTS {
        let mut copy = case.clone();
        let Some(len) = part(&mut copy, of).map(|bytes| bytes.len()) else {
            continue;
        };
        for at in (0..len).step_by(every) {
            let change = |with| Change::Bytes { part: of, at, with };
            changes.push(change(With::Flipped));
            changes.push(Change::Cut(of, at));
            if of == Part::Statement {
                for (len, value) in [(1, 0), (1, 0xff), (2, 0xff), (4, 0xff), (4, 0)] {
                    changes.push(change(With::All(len, value)));
                }
            }
        }
        changes.extend([1, 4, 1000, 200_000].map(|len| Change::Longer(of, len)));
        changes.push(Change::Without(of));
    }
    for other in others {
        changes.extend(PARTS.map(|of| Change::Swapped(of, Box::new(other.clone()))));
    }
    changes.extend(
        Platform::ALL
            .iter()
            .map(|platform| Change::Called(*platform)),
    );
    // Far from any window in which certificates and collateral are valid.
    const YEAR_MS: u64 = 366 * 86_400_000;
    let times = [
        0,
        case.now_ms - 30 * YEAR_MS,
        case.now_ms + 50 * YEAR_MS,
        u64::MAX,
    ];
    changes.extend(times.map(Change::At));
    let root = Digest([0x77; 32]);
    for platform in Platform::ALL {
        for role in [Role::Keeper, Role::Worker] {
            let binding = Binding::new(*platform, role, root, None, None);
            changes.push(Change::Bound(Box::new(binding)));
        }
    }
    changes
}
