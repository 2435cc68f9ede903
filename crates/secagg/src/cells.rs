//! Vectors of cells: their hash, and putting one together from the chunks in which it travels.

use commun_domain::Hash32;
use commun_domain::encoding::Encode;
use sha2::{Digest, Sha256};

use crate::refused::Refused;

/// Cells that are turned into bytes at a time.
const BLOCK_CELLS: usize = 1_024;

/// Domain of [`cells_hash`].
const TAG: &str = "commun/secagg-cells/v1";

/// SHA-256 over a tag, the number of cells, and the cells, little endian (as Arrow has them).
pub fn cells_hash(cells: &[u64]) -> Hash32 {
    let mut head = Vec::new();
    TAG.encode(&mut head);
    (cells.len() as u64).encode(&mut head);
    let mut hasher = Sha256::new();
    hasher.update(&head);
    let mut bytes = [0; BLOCK_CELLS * 8];
    for block in cells.chunks(BLOCK_CELLS) {
        let used = &mut bytes[..block.len() * 8];
        for (place, cell) in used.as_chunks_mut().0.iter_mut().zip(block) {
            *place = cell.to_le_bytes();
        }
        hasher.update(used);
    }
    Hash32::from_bytes(hasher.finalize().into())
}

/// A vector that arrives in chunks, in order. It never holds more cells than the attempt has.
#[derive(Debug)]
pub struct CellChunks {
    cells: Vec<u64>,
    expected: usize,
}

impl CellChunks {
    /// For a vector of `expected` cells. Memory is taken as chunks come.
    pub const fn new(expected: usize) -> Self {
        Self { cells: Vec::new(), expected }
    }

    /// Appends a chunk, whose first cell is number `first` of the vector. A chunk elsewhere, an empty one or one too long is refused.
    pub fn push(&mut self, first: usize, chunk: &[u64]) -> Result<(), Refused> {
        if first != self.cells.len() || chunk.is_empty() || chunk.len() > self.expected - self.cells.len() {
            return Err(Refused::CellCount);
        }
        self.cells.extend_from_slice(chunk);
        Ok(())
    }

    /// Cells that have come: where the next chunk starts, also after a new connection.
    pub fn received(&self) -> usize {
        self.cells.len()
    }

    /// The whole vector.
    pub fn finish(self) -> Result<Vec<u64>, Refused> {
        if self.cells.len() == self.expected { Ok(self.cells) } else { Err(Refused::CellCount) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_comes_in_order_and_whole_or_not_at_all() {
        let mut chunks = CellChunks::new(5);
        assert_eq!(chunks.push(1, &[1]), Err(Refused::CellCount));
        assert_eq!(chunks.push(0, &[]), Err(Refused::CellCount));
        assert_eq!(chunks.push(0, &[1; 6]), Err(Refused::CellCount));
        assert_eq!(chunks.push(0, &[1, 2, 3]), Ok(()));
        assert_eq!(chunks.push(0, &[1, 2]), Err(Refused::CellCount));
        assert_eq!(chunks.push(3, &[1, 2, 3]), Err(Refused::CellCount));
        assert_eq!(chunks.push(3, &[4, 5]), Ok(()));
        assert_eq!(chunks.finish(), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(CellChunks::new(1).finish(), Err(Refused::CellCount));
    }

    #[test]
    fn the_hash_covers_number_order_and_every_cell() {
        let cells: Vec<u64> = (0..2_500).collect();
        let hash = cells_hash(&cells);
        for place in [0, 1_023, 1_024, 2_499] {
            let mut changed = cells.clone();
            changed[place] ^= 1 << 63;
            assert_ne!(cells_hash(&changed), hash);
        }
        assert_ne!(cells_hash(&cells[..2_499]), hash);
        assert_ne!(cells_hash(&[]), cells_hash(&[0]));
    }
}
