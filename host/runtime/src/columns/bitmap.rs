//! Bitmaps as the contract has them: one bit a row, from bit 0 of byte 0 on, and no more bytes than that takes.
//!
//! Does not know what a bit means: a value that is present, or a value that is true.

/// Bytes of a bitmap of `rows` bits.
pub(super) fn bitmap_bytes(rows: usize) -> usize {
    rows.div_ceil(8)
}

/// The bitmap of `rows` bits that `bits` begins with.
pub(crate) fn bitmap(bits: &[u8], rows: usize) -> Vec<u8> {
    bits.get(..bitmap_bytes(rows)).unwrap_or_default().to_vec()
}
