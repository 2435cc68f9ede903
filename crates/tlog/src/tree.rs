//! The Merkle tree hash of RFC 6962, section 2.1, computed while entries are appended.
//!
//! A [`Frontier`] keeps only the roots of the full subtrees on the right edge: at most 64 hashes for any log. It cannot prove
//! inclusion or consistency; that needs the stored hashes.

use sha2::{Digest, Sha256};

/// A SHA-256 hash of a leaf, a node or a whole tree.
pub type Hash = [u8; 32];

/// RFC 6962: what is hashed before a leaf's bytes, so that no leaf can pose as a node.
const LEAF_PREFIX: u8 = 0x00;
/// RFC 6962: what is hashed before the two children of a node.
const NODE_PREFIX: u8 = 0x01;

/// The hash of one entry: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF_PREFIX]).chain_update(entry).finalize().into()
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE_PREFIX]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The right edge of a tree that grows: O(log n) memory, one append costs two hashes on average.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// Entries so far. Bit `i` is set exactly when a full subtree of 2^i leaves is among the peaks.
    size: u64,
    /// Roots of the full subtrees, the largest (leftmost) first.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one entry by its [`leaf_hash`].
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each trailing one bit of the old size is a full subtree of the same height as what we carry: join them.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The RFC 6962 root of all entries so far.
    pub fn root(&self) -> Hash {
        // MTH splits at the largest power of two below n, so an incomplete tree is its peaks joined from the right.
        self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962 section 2.1, as it is written.
    fn naive_root(entries: &[Vec<u8>]) -> Hash {
        match entries {
            [] => empty_root(),
            [entry] => leaf_hash(entry),
            _ => {
                let split = entries.len().next_power_of_two() / 2;
                node_hash(&naive_root(&entries[..split]), &naive_root(&entries[split..]))
            }
        }
    }

    fn frontier(entries: &[Vec<u8>]) -> Frontier {
        let mut frontier = Frontier::new();
        for entry in entries {
            frontier.append(leaf_hash(entry));
        }
        frontier
    }

    #[test]
    fn the_empty_tree_is_the_hash_of_nothing() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(Frontier::new().root()), known);
    }

    /// Inputs and roots of the reference tests of certificate-transparency (`merkle_tree_test.cc`).
    #[test]
    fn roots_agree_with_the_certificate_transparency_vectors() {
        let steps = [
            ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
            ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
            ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        let mut frontier = Frontier::new();
        for (input, root) in steps {
            frontier.append(leaf_hash(&hex::decode(input).unwrap()));
            assert_eq!(hex::encode(frontier.root()), root, "after input {input:?}");
        }
        assert_eq!(frontier.size(), 8);
    }

    #[test]
    fn every_size_up_to_130_agrees_with_the_definition_and_stays_small() {
        let entries: Vec<Vec<u8>> = (0u8..130).map(|i| vec![i; usize::from(i % 5)]).collect();
        let mut frontier = Frontier::new();
        for n in 0..entries.len() {
            assert_eq!(frontier.root(), naive_root(&entries[..n]), "size {n}");
            assert_eq!(frontier.peaks.len(), usize::try_from(n.count_ones()).unwrap());
            frontier.append(leaf_hash(&entries[n]));
        }
    }

    proptest! {
        #[test]
        fn a_clone_that_goes_on_elsewhere_leaves_the_first_alone(
            entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..70),
            extra in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let first = frontier(&entries);
            let mut second = first.clone();
            second.append(leaf_hash(&extra));
            prop_assert_eq!(first.root(), naive_root(&entries));
            let longer: Vec<_> = entries.iter().cloned().chain([extra]).collect();
            prop_assert_eq!(second.root(), naive_root(&longer));
            prop_assert_eq!(second.size(), longer.len() as u64);
        }
    }
}
