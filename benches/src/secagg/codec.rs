//! Numbers, bytes and cells on a pipe.

use std::io::{Read, Write};

use anyhow::Context;
use commun_secagg::cells::CellChunks;

/// Cells that are written and read at a time: as many as a record batch of masked cells has.
const CHUNK_CELLS: usize = 65_536;

pub(super) fn put_u32(out: &mut impl Write, number: u32) -> anyhow::Result<()> {
    Ok(out.write_all(&number.to_le_bytes())?)
}

pub(super) fn get_u32(from: &mut impl Read) -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn get_count(from: &mut impl Read) -> anyhow::Result<usize> {
    Ok(usize::try_from(get_u32(from)?)?)
}

pub(super) fn put_bytes(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    put_u32(out, u32::try_from(bytes.len())?)?;
    Ok(out.write_all(bytes)?)
}

pub(super) fn get_bytes(from: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; get_count(from)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn put_cells(out: &mut impl Write, cells: &[u64]) -> anyhow::Result<()> {
    put_u32(out, u32::try_from(cells.len())?)?;
    for chunk in cells.chunks(CHUNK_CELLS) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Put together as the coordinator does it from record batches.
pub(super) fn get_cells(from: &mut impl Read) -> anyhow::Result<Vec<u64>> {
    let expected = get_count(from)?;
    let mut chunks = CellChunks::new(expected);
    while chunks.received() < expected {
        let mut bytes = vec![0; CHUNK_CELLS.min(expected - chunks.received()) * 8];
        from.read_exact(&mut bytes)?;
        let cells: Vec<u64> = bytes.as_chunks().0.iter().map(|cell| u64::from_le_bytes(*cell)).collect();
        chunks.push(chunks.received(), &cells).context("cells")?;
    }
    chunks.finish().context("cells")
}
