//! What the membership guest proves: that a secret leaf is in the Merkle tree of
//! a public root, the tree of RFC 9162 (Certificate Transparency), section 2.1.
//! Pure; reads and commits nothing.

use sha2::{Digest, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// A leaf's hash; its prefix keeps a node from passing for a leaf.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// The hash of a node with two children.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of the tree of `size` leaves in which `leaf` is number `index`
/// (from 0) and `path` holds the siblings from the leaf upwards: RFC 9162,
/// section 2.1.3.2. `None` when there is no such leaf or the path's length is
/// not that leaf's.
#[must_use]
pub fn root(leaf: &[u8], index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf_hash(leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A node without a right sibling moves up unhashed.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::{Hash, leaf_hash, node_hash, root};

    /// The tree and roots that Certificate Transparency's implementations share
    /// as test vectors.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// The largest power of two below `n`.
    fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    /// RFC 9162, section 2.1.1, as it is written there.
    fn tree(leaves: &[&[u8]]) -> Hash {
        if let [leaf] = leaves {
            return leaf_hash(leaf);
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        node_hash(&tree(left), &tree(right))
    }

    /// RFC 9162, section 2.1.3.1.
    fn path(index: usize, leaves: &[&[u8]]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return vec![];
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        let (mut siblings, last) = if index < k {
            (path(index, left), tree(right))
        } else {
            (path(index - k, right), tree(left))
        };
        siblings.push(last);
        siblings
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn every_leaf_of_every_known_tree() {
        for (size, expected) in (1..=8).zip(ROOTS) {
            let leaves = &LEAVES[..size];
            for (index, leaf) in leaves.iter().enumerate() {
                let found = root(leaf, index as u64, size as u64, &path(index, leaves));
                assert_eq!(found.map(hex).as_deref(), Some(expected));
            }
        }
    }

    #[test]
    fn every_shape_up_to_forty_leaves() {
        let bytes: Vec<[u8; 1]> = (0..40).map(|byte| [byte]).collect();
        let all: Vec<&[u8]> = bytes.iter().map(|leaf| &leaf[..]).collect();
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let expected = Some(tree(leaves));
            for index in 0..size {
                let siblings = path(index, leaves);
                let (at, of) = (index as u64, size as u64);
                assert_eq!(root(leaves[index], at, of, &siblings), expected);
                // Neither a sibling less nor one more.
                if let Some((_, shorter)) = siblings.split_last() {
                    assert_eq!(root(leaves[index], at, of, shorter), None);
                }
                let longer = [&siblings[..], &[[0; 32]]].concat();
                assert_eq!(root(leaves[index], at, of, &longer), None);
            }
        }
    }

    #[test]
    fn anything_else_gives_another_root() {
        let siblings = path(2, &LEAVES);
        let expected = tree(&LEAVES);
        assert_ne!(root(b"\x11", 2, 8, &siblings), Some(expected));
        assert_ne!(root(LEAVES[2], 3, 8, &siblings), Some(expected));
        let mut turned = siblings.clone();
        turned.reverse();
        assert_ne!(root(LEAVES[2], 2, 8, &turned), Some(expected));
        for bit in 0..256 {
            let mut flipped = siblings.clone();
            flipped[1][bit / 8] ^= 1 << (bit % 8);
            assert_ne!(root(LEAVES[2], 2, 8, &flipped), Some(expected));
        }
    }

    /// Both children of a node, given as a leaf, are not a leaf of the tree.
    #[test]
    fn a_node_is_no_leaf() {
        let children = [leaf_hash(LEAVES[0]), leaf_hash(LEAVES[1])].concat();
        let siblings = &path(0, &LEAVES[..4])[1..];
        assert_ne!(root(&children, 0, 2, siblings), Some(tree(&LEAVES[..4])));
    }

    #[test]
    fn no_such_leaf() {
        assert_eq!(root(b"", 0, 0, &[]), None);
        assert_eq!(root(b"", 1, 1, &[]), None);
        assert_eq!(root(b"", u64::MAX, u64::MAX, &[]), None);
        assert_eq!(root(b"", u64::MAX - 1, u64::MAX, &[[0; 32]; 65]), None);
    }
}
