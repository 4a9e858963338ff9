//! Which layers of the sandbox a process reached, and which one must.

use std::collections::BTreeSet;
use std::fmt;

use minicbor::{Decode, Encode};

/// One layer. The order of variants is the alphabetical order of names, so
/// that a sorted set of layers is a sorted list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// No file descriptor was inherited but 0, 1 and 2.
    Descriptors,
    /// No core dump, and no other process of the same user may look inside.
    Dump,
    /// No folder that anything else can reach or that outlives the process: none
    /// at all; or, where the stage needs folders, fresh ones in memory, under a
    /// root and in a process namespace of its own. A process that needs them and
    /// cannot have them ends.
    Folders,
    /// Landlock: no file may be opened, made or run, but in folders of its own
    /// and, to read and run, in those of the C library.
    LandlockFiles,
    /// Landlock: no TCP port may be bound or connected to.
    LandlockNetwork,
    /// Landlock: no signal to, and no abstract socket of, a process outside.
    LandlockScope,
    /// Bounds on memory, files, descriptors, locked memory; and on threads where
    /// the process has its own user.
    Limits,
    /// Namespaces of its own for network, System V IPC and host name.
    Namespaces,
    /// Nothing it could execute would gain a right.
    NoNewPrivileges,
    /// Killed when its parent dies.
    ParentDeath,
    /// No capability.
    Powerless,
    /// A list of allowed system calls.
    Seccomp,
    /// A user and group of its own.
    User,
}

impl Layer {
    /// All, in order.
    pub const ALL: [Self; 13] = [
        Self::Descriptors,
        Self::Dump,
        Self::Folders,
        Self::LandlockFiles,
        Self::LandlockNetwork,
        Self::LandlockScope,
        Self::Limits,
        Self::Namespaces,
        Self::NoNewPrivileges,
        Self::ParentDeath,
        Self::Powerless,
        Self::Seccomp,
        Self::User,
    ];

    /// The name under which it is attested. Never changes its meaning.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Dump => "dump",
            Self::Folders => "folders",
            Self::LandlockFiles => "landlock-files",
            Self::LandlockNetwork => "landlock-network",
            Self::LandlockScope => "landlock-scope",
            Self::Limits => "limits",
            Self::Namespaces => "namespaces",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::ParentDeath => "parent-death",
            Self::Powerless => "powerless",
            Self::Seccomp => "seccomp",
            Self::User => "user",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

/// A set of layers. Encoded as the sorted list of their names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SandboxLevel(BTreeSet<Layer>);

impl SandboxLevel {
    /// Every layer there is.
    #[must_use]
    pub fn full() -> Self {
        Layer::ALL.into_iter().collect()
    }

    /// Adds a layer.
    pub fn insert(&mut self, layer: Layer) {
        self.0.insert(layer);
    }

    /// Whether a layer is among them.
    #[must_use]
    pub fn contains(&self, layer: Layer) -> bool {
        self.0.contains(&layer)
    }

    /// The layers that `required` has and this one lacks.
    #[must_use]
    pub fn missing(&self, required: &Self) -> Self {
        Self(required.0.difference(&self.0).copied().collect())
    }

    /// The layers that both have: what holds for all processes of a machine.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Whether it has no layer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, sorted, as the trust configuration carries them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|layer| layer.name().to_owned()).collect()
    }
}

impl FromIterator<Layer> for SandboxLevel {
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Self {
        Self(layers.into_iter().collect())
    }
}

impl fmt::Display for SandboxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, layer) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(layer.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for SandboxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SandboxLevel({self})")
    }
}

impl<C> Encode<C> for SandboxLevel {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(u64::try_from(self.0.len()).unwrap_or(u64::MAX))?;
        for layer in &self.0 {
            e.str(layer.name())?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for SandboxLevel {
    // A list that is unsorted or repeats a name decodes to a set that encodes
    // differently, and so is refused by the decoder of messages.
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let mut layers = BTreeSet::new();
        for name in d.array_iter::<&str>()? {
            let layer = Layer::from_name(name?)
                .ok_or_else(|| minicbor::decode::Error::message("unknown layer of the sandbox"))?;
            layers.insert(layer);
        }
        Ok(Self(layers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_distinct() {
        let names: Vec<_> = Layer::ALL.iter().map(|layer| layer.name()).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert_eq!(SandboxLevel::full().names(), names);
    }

    #[test]
    fn missing_and_common() {
        let some: SandboxLevel = [Layer::Seccomp, Layer::Dump].into_iter().collect();
        let missing = some.missing(&SandboxLevel::full());
        assert!(missing.contains(Layer::User) && !missing.contains(Layer::Seccomp));
        assert!(SandboxLevel::full().missing(&some).is_empty());
        assert_eq!(some.common(&SandboxLevel::full()), some);
    }

    #[test]
    fn only_a_sorted_list_of_known_names_decodes() {
        let decode = |names: &[&str]| {
            let mut bytes = Vec::new();
            minicbor::encode(names, &mut bytes).unwrap();
            soundproof_protocol::cbor::from_slice::<SandboxLevel>(&bytes, 1024)
        };
        assert_eq!(decode(&["dump", "user"]).unwrap().names(), ["dump", "user"]);
        for refused in [
            &["user", "dump"][..],
            &["dump", "dump"],
            &["dump", "other"],
            &[""],
        ] {
            assert!(decode(refused).is_err(), "{refused:?}");
        }
    }
}
