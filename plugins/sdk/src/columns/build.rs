//! Builders: one a column, into which values are pushed straight into the vectors that the host will
//! wrap.
//!
//! A validity bitmap is made at the first null only: most columns never have one. Not here: which
//! builder a type has (`write`), and order and names of columns, which the derive knows.

use super::output::{BatchParts, ColumnBuilder, OutputValue};
use super::{Column, ListValues, Text, Values};

/// Bits, least significant of each byte first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    #[inline(always)]
    pub(super) fn push(&mut self, bit: bool) {
        match self.bytes.last_mut() {
            Some(byte) if !self.len.is_multiple_of(8) => *byte |= u8::from(bit) << (self.len % 8),
            _ => self.bytes.push(u8::from(bit)),
        }
        self.len += 1;
    }

    /// So many ones.
    fn ones(len: usize) -> Self {
        let mut bytes = vec![0xFF; len.div_ceil(8)];
        if let Some(last) = bytes.last_mut()
            && !len.is_multiple_of(8)
        {
            *last = (1 << (len % 8)) - 1;
        }
        Self { bytes, len }
    }
}

/// The builder of a boolean column.
#[derive(Debug)]
pub struct BoolBuilder(pub(super) Bits);

impl ColumnBuilder for BoolBuilder {
    fn with_capacity(rows: usize) -> Self {
        Self(Bits { bytes: Vec::with_capacity(rows.div_ceil(8)), len: 0 })
    }

    fn push_absent(&mut self) {
        self.0.push(false);
    }

    fn finish(self, _: &mut BatchParts) -> Column {
        Column { validity: None, values: Values::Boolean(self.0.bytes) }
    }
}

/// How a vector of fixed-width values becomes a column.
pub trait Fixed: Copy + Default {
    /// The column.
    fn column(values: Vec<Self::Stored>) -> Values;
    /// What the vector holds.
    type Stored: Copy + Default;
}

/// The builder of a column of fixed-width values.
#[derive(Debug)]
pub struct FixedBuilder<T: Fixed>(pub(super) Vec<T::Stored>);

impl<T: Fixed> ColumnBuilder for FixedBuilder<T> {
    fn with_capacity(rows: usize) -> Self {
        Self(Vec::with_capacity(rows))
    }

    #[inline(always)]
    fn push_absent(&mut self) {
        self.0.push(T::Stored::default());
    }

    fn finish(self, _: &mut BatchParts) -> Column {
        Column { validity: None, values: T::column(self.0) }
    }
}

/// The end of what has been written so far, as an offset.
#[allow(clippy::expect_used, reason = "a batch beyond 2 GiB is beyond every memory limit: a trap names the record")]
#[inline(always)]
fn offset(end: usize) -> i32 {
    i32::try_from(end).expect("a column holds less than 2 GiB")
}

/// The builder of a column of text; `JSON` says which of the two kinds.
#[derive(Debug)]
pub struct TextBuilder<const JSON: bool>(Text);

impl<const JSON: bool> TextBuilder<JSON> {
    #[inline(always)]
    pub(super) fn push(&mut self, text: &str) {
        self.0.bytes.extend_from_slice(text.as_bytes());
        self.push_absent();
    }
}

impl<const JSON: bool> ColumnBuilder for TextBuilder<JSON> {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        // A guess at short strings: growing later is cheap, and most columns never need to.
        Self(Text { offsets, bytes: Vec::with_capacity(rows * 8) })
    }

    #[inline(always)]
    fn push_absent(&mut self) {
        self.0.offsets.push(offset(self.0.bytes.len()));
    }

    fn finish(self, _: &mut BatchParts) -> Column {
        Column { validity: None, values: if JSON { Values::Json(self.0) } else { Values::Utf8(self.0) } }
    }
}

/// The builder of a column that may hold nulls.
#[derive(Debug)]
pub struct NullableBuilder<B> {
    values: B,
    rows: usize,
    validity: Option<Bits>,
}

impl<B: ColumnBuilder> NullableBuilder<B> {
    /// Adds a value that is there.
    #[inline(always)]
    pub(super) fn push<T: OutputValue<Builder = B>>(&mut self, value: T) {
        value.put(&mut self.values);
        if let Some(bits) = &mut self.validity {
            bits.push(true);
        }
        self.rows += 1;
    }
}

impl<B: ColumnBuilder> ColumnBuilder for NullableBuilder<B> {
    fn with_capacity(rows: usize) -> Self {
        Self { values: B::with_capacity(rows), rows: 0, validity: None }
    }

    fn push_absent(&mut self) {
        let rows = self.rows;
        self.validity.get_or_insert_with(|| Bits::ones(rows)).push(false);
        self.values.push_absent();
        self.rows += 1;
    }

    fn finish(self, parts: &mut BatchParts) -> Column {
        let validity = self.validity.map(|bits| bits.bytes);
        Column { validity, ..self.values.finish(parts) }
    }
}

/// The builder of a column of lists.
#[derive(Debug)]
pub struct ListBuilder<B> {
    offsets: Vec<i32>,
    items: B,
    len: usize,
}

impl<B: ColumnBuilder> ListBuilder<B> {
    #[inline(always)]
    pub(super) fn push<T: OutputValue<Builder = B>>(&mut self, items: impl Iterator<Item = T>) {
        for item in items {
            item.put(&mut self.items);
            self.len += 1;
        }
        self.push_absent();
    }
}

impl<B: ColumnBuilder> ColumnBuilder for ListBuilder<B> {
    fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, items: B::with_capacity(rows * 2), len: 0 }
    }

    #[inline(always)]
    fn push_absent(&mut self) {
        self.offsets.push(offset(self.len));
    }

    fn finish(self, parts: &mut BatchParts) -> Column {
        let items = self.items.finish(parts);
        let child = parts.add_items(items);
        Column { validity: None, values: Values::ListOf(ListValues { offsets: self.offsets, child }) }
    }
}
