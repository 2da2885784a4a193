//! Rows of features, in memory or in mapped files, without copies.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::head::HeadError;

/// Values of rows, one row after the other.
pub type RowValues = Arc<dyn AsRef<[f32]> + Send + Sync>;

/// n rows of d features, of any storage, that are copied out one at a time.
///
/// The columns of a row may lie in several parts, as the embedding and the taps of a store do, the
/// rows in another order than theirs, and one block of rows elsewhere than the next. A clone shares
/// the values.
#[derive(Clone)]
pub struct FeatureRows {
    blocks: Vec<Block>,
    count: usize,
    width: usize,
}

/// Where a row lies among others: [`FeatureRows::place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    block: usize,
    row: usize,
}

/// Rows that lie together.
#[derive(Clone)]
struct Block {
    /// The number of its first row among all rows.
    first: usize,
    parts: Vec<Part>,
    /// The place in the parts (or in the order) of its first row.
    offset: usize,
    /// Where in the parts each row lies; as counted, where there is none.
    order: Option<Arc<[u32]>>,
}

/// Some columns of all rows of a block.
#[derive(Clone)]
struct Part {
    values: RowValues,
    width: usize,
}

impl FeatureRows {
    /// Rows selected from parts whose columns are concatenated, each with its number of columns:
    /// row i is row `order[i]` of every part.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where a part lacks one of the rows, or has no columns.
    pub fn selected(parts: Vec<(RowValues, usize)>, order: Vec<u32>) -> Result<Self, HeadError> {
        let rows = order.iter().max().map_or(0, |&last| last as usize + 1);
        for (values, width) in &parts {
            let found = (**values).as_ref().len();
            if *width == 0 || found / width < rows {
                return Err(HeadError::Shape(format!(
                    "expected {rows} rows of {width} values, found {found} values"
                )));
            }
        }
        let width = parts.iter().map(|(_, width)| width).sum();
        let parts = parts.into_iter().map(|(values, width)| Part { values, width }).collect();
        let count = order.len();
        Ok(Self {
            blocks: vec![Block { first: 0, parts, offset: 0, order: Some(order.into()) }],
            count,
            width,
        })
    }

    /// Some rows of each of these, one after the other. The values stay where they are.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the numbers of features differ, or a range ends past the rows.
    pub fn concat(pieces: &[(&Self, Range<usize>)]) -> Result<Self, HeadError> {
        let mut all = Self {
            blocks: Vec::new(),
            count: 0,
            width: pieces.first().map_or(0, |(p, _)| p.width),
        };
        for (piece, range) in pieces {
            if piece.width != all.width || range.end > piece.count {
                return Err(HeadError::Shape(format!(
                    "rows {range:?} of {piece:?} behind rows of {} features",
                    all.width
                )));
            }
            let ends = piece.blocks.iter().skip(1).map(|block| block.first).chain([piece.count]);
            for (block, end) in piece.blocks.iter().zip(ends) {
                let (from, to) = (range.start.max(block.first), range.end.min(end));
                if from < to {
                    let offset = block.offset + from - block.first;
                    all.blocks.push(Block { first: all.count, offset, ..block.clone() });
                    all.count += to - from;
                }
            }
        }
        Ok(all)
    }

    /// Number of rows n.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of features d.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Copies a row to `out`.
    ///
    /// # Panics
    /// Where there is no such row, or `out` has not d values.
    pub fn copy(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.count, "row {row} of {}", self.count);
        // The first block begins at row 0.
        let block = &self.blocks[self.blocks.partition_point(|block| block.first <= row) - 1];
        let row = block.offset + row - block.first;
        let row = block.order.as_ref().map_or(row, |order| order[row] as usize);
        let mut out = out;
        for Part { values, width } in &block.parts {
            let (here, rest) = out.split_at_mut(*width);
            here.copy_from_slice(&(**values).as_ref()[row * width..][..*width]);
            out = rest;
        }
        assert!(out.is_empty(), "{} values more than features", out.len());
    }

    /// Where a row lies: rows that lie behind each other have ascending places, so that who reads
    /// many rows in the order of their places reads files from front to back.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    pub fn place(&self, row: usize) -> RowPlace {
        assert!(row < self.count, "row {row} of {}", self.count);
        let block = self.blocks.partition_point(|block| block.first <= row) - 1;
        let Block { first, offset, order, .. } = &self.blocks[block];
        let row = offset + row - first;
        RowPlace { block, row: order.as_ref().map_or(row, |order| order[row] as usize) }
    }

    /// The stretches of values, one for each part of their columns, from the first of some rows to the last one, which
    /// are in the order of their places; none where they lie in several files.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    pub fn stretches(&self, rows: &[usize]) -> Vec<&[f32]> {
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return Vec::new() };
        let (first, last) = (self.place(first), self.place(last));
        if first.block != last.block || last.row < first.row {
            return Vec::new();
        }
        let stretch = |part: &Part| first.row * part.width..(last.row + 1) * part.width;
        let parts = self.blocks[first.block].parts.iter();
        parts.map(|part| &(*part.values).as_ref()[stretch(part)]).collect()
    }

    /// A copy of a row.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.width];
        self.copy(row, &mut values);
        values
    }

    /// Copies of all rows, n x d.
    #[must_use]
    pub fn to_array(&self) -> Array2<f32> {
        let mut array = Array2::zeros((self.count, self.width));
        for (row, mut out) in array.rows_mut().into_iter().enumerate() {
            // Rows of a new array are contiguous.
            if let Some(out) = out.as_slice_mut() {
                self.copy(row, out);
            }
        }
        array
    }

    /// Copies of some columns of all rows, in this order.
    ///
    /// # Panics
    /// Where there is no such column.
    #[must_use]
    pub fn columns(&self, columns: &[usize]) -> Self {
        let mut values = Vec::with_capacity(self.count * columns.len());
        let mut row = vec![0.0; self.width];
        for number in 0..self.count {
            self.copy(number, &mut row);
            values.extend(columns.iter().map(|&column| row[column]));
        }
        Self::owned(values, self.count, columns.len())
    }

    fn owned(values: Vec<f32>, count: usize, width: usize) -> Self {
        let parts = vec![Part { values: Arc::new(values), width }];
        Self { blocks: vec![Block { first: 0, parts, offset: 0, order: None }], count, width }
    }
}

impl From<Array2<f32>> for FeatureRows {
    fn from(array: Array2<f32>) -> Self {
        let (count, width) = array.dim();
        let values = if array.is_standard_layout() {
            let (values, first) = array.into_raw_vec_and_offset();
            match first {
                None | Some(0) if values.len() == count * width => values,
                first => values[first.unwrap_or(0)..][..count * width].to_vec(),
            }
        } else {
            array.iter().copied().collect()
        };
        Self::owned(values, count, width)
    }
}

/// Equal where all values are.
impl PartialEq for FeatureRows {
    fn eq(&self, other: &Self) -> bool {
        let same_shape = (self.count, self.width) == (other.count, other.width);
        same_shape && (0..self.count).all(|row| self.row(row) == other.row(row))
    }
}

impl fmt::Debug for FeatureRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {} features", self.count, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::{FeatureRows, RowValues};
    use ndarray::{Array2, Axis, array};
    use std::sync::Arc;

    #[test]
    fn selected_rows_concatenate_columns_in_the_given_order() {
        let parts = || -> Vec<(RowValues, usize)> {
            vec![
                (Arc::new(vec![0.0, 1.0, 10.0, 11.0, 20.0, 21.0]), 2),
                (Arc::new(vec![7.0, 8.0, 9.0]), 1),
            ]
        };
        let rows = FeatureRows::selected(parts(), vec![2, 0, 2]).unwrap();
        assert_eq!((rows.count(), rows.width()), (3, 3));
        let expected = array![[20.0, 21.0, 9.0], [0.0, 1.0, 7.0], [20.0, 21.0, 9.0]];
        assert_eq!(rows.to_array(), expected);
        assert_eq!(rows, FeatureRows::from(expected));
        assert_eq!(rows.columns(&[2, 0]).row(1), [7.0, 0.0]);
        assert!(rows.place(1) < rows.place(0) && rows.place(0) == rows.place(2));
        let all: [&[f32]; 2] = [&[0.0, 1.0, 10.0, 11.0, 20.0, 21.0], &[7.0, 8.0, 9.0]];
        assert_eq!(rows.stretches(&[1, 0]), all);
        assert_eq!(rows.stretches(&[2]), [&all[0][4..], &all[1][2..]]);
        // Rows in another order than that of their places, and no rows, have none.
        assert!(rows.stretches(&[0, 1]).is_empty() && rows.stretches(&[]).is_empty());
        assert!(FeatureRows::selected(parts(), vec![3]).is_err());
    }

    #[test]
    fn concat_appends_rows_of_all_sources() {
        let numbered = |first: u16, rows: usize| {
            let value = |(row, column)| f32::from(first) + (10 * row + column) as f32;
            FeatureRows::from(Array2::from_shape_fn((rows, 2), value))
        };
        let one = numbered(0, 4);
        let values: RowValues = Arc::new(vec![100.0, 101.0, 110.0, 111.0, 120.0, 121.0]);
        let other = FeatureRows::selected(vec![(values, 2)], vec![2, 0, 1]).unwrap();
        let joined = FeatureRows::concat(&[(&one, 1..3), (&other, 0..3)]).unwrap();
        assert_eq!((joined.count(), joined.width()), (5, 2));
        assert!(joined.stretches(&[0, 2]).is_empty());
        assert_eq!(joined.stretches(&[3, 4]), [&[100.0, 101.0, 110.0, 111.0]]);
        // A slice of concatenated rows, across their blocks, and an empty one.
        let again = FeatureRows::concat(&[(&joined, 1..4), (&one, 4..4), (&joined, 0..1)]).unwrap();
        let first = |rows: &FeatureRows| -> Vec<f32> {
            (0..rows.count()).map(|row| rows.row(row)[0]).collect()
        };
        assert_eq!(first(&joined), [10.0, 20.0, 120.0, 100.0, 110.0]);
        assert_eq!(first(&again), [20.0, 120.0, 100.0, 10.0]);
        // The third row lies first in its block, which lies behind the block of the first two.
        assert!(joined.place(1) < joined.place(3) && joined.place(3) < joined.place(2));
        assert!(FeatureRows::concat(&[(&one, 0..5)]).is_err());
        let wide = FeatureRows::from(Array2::zeros((1, 3)));
        assert!(FeatureRows::concat(&[(&one, 0..1), (&wide, 0..1)]).is_err());
    }

    #[test]
    fn arrays_of_any_layout_keep_their_values() {
        let array = Array2::from_shape_fn((4, 3), |(row, column)| (10 * row + column) as f32);
        let turned = array.t().as_standard_layout().into_owned().reversed_axes();
        let (mut cut, mut narrow) = (array.clone(), array.clone());
        cut.slice_axis_inplace(Axis(0), (1..3).into());
        narrow.slice_axis_inplace(Axis(1), (1..).into());
        for (array, expected) in [
            (turned, array.clone()),
            (cut, array.select(Axis(0), &[1, 2])),
            (narrow, array.select(Axis(1), &[1, 2])),
            (Array2::zeros((0, 3)), Array2::zeros((0, 3))),
        ] {
            assert_eq!(FeatureRows::from(array).to_array(), expected);
        }
    }
}
