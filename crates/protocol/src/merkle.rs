//! Merkle trees over transcripts, hashed as RFC 9162 (2.1) does: one quote
//! serves every session whose transcript is a leaf.

use crate::digest::Digest;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

/// Leaves that one tree may have. Bounds a path to 16 digests.
pub const MAX_LEAVES: u32 = 1 << 16;
const MAX_PATH: usize = 16;

fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([0])
            .chain_update(leaf)
            .finalize()
            .into(),
    )
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([1])
            .chain_update(left)
            .chain_update(right)
            .finalize()
            .into(),
    )
}

/// All levels of a tree, leaves first; `levels[i + 1]` is made of pairs of
/// `levels[i]`, an odd last node moving up as it is, which is RFC 9162's tree.
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Builds a tree over the leaves' bytes; `None` for no leaf or more than
    /// [`MAX_LEAVES`].
    pub fn new<'a>(leaves: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut level: Vec<Digest> = leaves.into_iter().map(leaf_hash).collect();
        if level.is_empty() || level.len() > MAX_LEAVES as usize {
            return None;
        }
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    [odd, ..] => *odd,
                    [] => unreachable!("chunks are never empty"),
                })
                .collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        levels.push(level);
        Some(Self { levels })
    }

    /// The root.
    pub fn root(&self) -> Digest {
        // A tree has at least one level, whose last has exactly one node.
        self.levels
            .last()
            .and_then(|top| top.first())
            .copied()
            .unwrap_or(Digest([0; 32]))
    }

    /// The path of leaf `index`, or `None` past the end.
    pub fn path(&self, index: u32) -> Option<Path> {
        let leaves = self.levels.first()?.len();
        if index as usize >= leaves {
            return None;
        }
        let mut position = index as usize;
        let mut siblings = Vec::new();
        for level in &self.levels {
            if let Some(sibling) = level.get(position ^ 1) {
                siblings.push(*sibling);
            }
            position /= 2;
        }
        Some(Path {
            index,
            leaves: u32::try_from(leaves).ok()?,
            siblings,
        })
    }
}

/// An inclusion proof (RFC 9162, 2.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Path {
    /// Which leaf, from 0.
    #[n(0)]
    pub index: u32,
    /// How many leaves the tree has.
    #[n(1)]
    pub leaves: u32,
    /// The sibling nodes, from the leaf up.
    #[n(2)]
    pub siblings: Vec<Digest>,
}

impl Path {
    /// The root that this path leads to from `leaf` (RFC 9162, 2.1.3.2), or
    /// `None` if the path's shape is not that of a tree of its size.
    pub fn root_from(&self, leaf: &[u8]) -> Option<Digest> {
        if self.leaves > MAX_LEAVES || self.index >= self.leaves || self.siblings.len() > MAX_PATH {
            return None;
        }
        let (mut position, mut last) = (self.index, self.leaves - 1);
        let mut hash = leaf_hash(leaf);
        let mut siblings = self.siblings.iter();
        while last > 0 {
            if position % 2 == 1 {
                hash = node_hash(siblings.next()?, &hash);
            } else if position < last {
                hash = node_hash(&hash, siblings.next()?);
            } // else: the odd last node moves up as it is
            position /= 2;
            last /= 2;
        }
        siblings.next().is_none().then_some(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162, 2.1.1, written down as it stands there.
    fn reference_root(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [leaf] => leaf_hash(leaf),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(
                    &reference_root(&leaves[..split]),
                    &reference_root(&leaves[split..]),
                )
            }
        }
    }

    fn leaves(count: u8) -> Vec<Vec<u8>> {
        (0..count).map(|i| vec![i; 3]).collect()
    }

    #[test]
    fn roots_and_paths_agree_with_the_rfc() {
        for count in 1..40 {
            let leaves = leaves(count);
            let tree = Tree::new(leaves.iter().map(Vec::as_slice)).unwrap();
            assert_eq!(tree.root(), reference_root(&leaves));
            for (index, leaf) in leaves.iter().enumerate() {
                let path = tree.path(index as u32).unwrap();
                assert_eq!(path.root_from(leaf), Some(tree.root()));
                assert_ne!(path.root_from(b"another leaf"), Some(tree.root()));
            }
            assert!(tree.path(u32::from(count)).is_none());
        }
    }

    #[test]
    fn a_path_of_another_shape_leads_nowhere() {
        let leaves = leaves(11);
        let tree = Tree::new(leaves.iter().map(Vec::as_slice)).unwrap();
        let good = tree.path(4).unwrap();
        let mut longer = good.clone();
        longer.siblings.push(Digest([0; 32]));
        let mut shorter = good.clone();
        shorter.siblings.pop();
        let mut outside = good.clone();
        outside.index = 11;
        let mut huge = good.clone();
        huge.leaves = u32::MAX;
        let mut long = good.clone();
        long.siblings = vec![Digest([0; 32]); 1000];
        for path in [longer, shorter, outside, huge, long] {
            assert_eq!(path.root_from(&leaves[4]), None);
        }
        let mut other_place = good;
        other_place.index = 5;
        assert_ne!(other_place.root_from(&leaves[4]), Some(tree.root()));
    }

    #[test]
    fn an_empty_tree_is_none() {
        assert!(Tree::new([]).is_none());
    }
}
