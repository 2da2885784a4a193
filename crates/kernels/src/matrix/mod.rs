//! Products of dense matrices in f32, for the heads: C = A B on one thread, either factor
//! transposed.

mod multiplier;
mod panels;
mod product;

pub use multiplier::Multiplier;
pub use panels::Panels;

/// A matrix that lies in memory row by row, or, transposed, column by column.
///
/// ```
/// use facefold_kernels::{Matrix, MatrixMut, Multiplier};
///
/// // (1, 2; 3, 4) times its transpose.
/// let values = [1.0, 2.0, 3.0, 4.0];
/// let a = Matrix::new(&values, 2, 2);
/// let mut product = [0.0; 4];
/// Multiplier::chosen()?.multiply(a, a.transposed(), MatrixMut::new(&mut product, 2, 2));
/// assert_eq!(product, [5.0, 11.0, 11.0, 25.0]);
/// # Ok::<(), facefold_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Elements from one stored line to the next.
    stride: usize,
    /// Whether the stored lines are columns.
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `rows` x `columns` values, row by row without gaps.
    ///
    /// # Panics
    /// Where there are fewer values.
    #[must_use]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that start `stride` elements after each other.
    ///
    /// # Panics
    /// Where rows overlap, or there are fewer values.
    #[must_use]
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(values.len(), rows, columns, stride);
        Self { values, rows, columns, stride, transposed: false }
    }

    /// The same values with rows and columns exchanged; nothing is moved.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }
}

/// A matrix that a product is written to: row by row.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    /// Elements from one row to the next.
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows` x `columns` values, row by row without gaps.
    ///
    /// # Panics
    /// Where there are fewer values.
    #[must_use]
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that start `stride` elements after each other; what lies between them is left alone.
    ///
    /// # Panics
    /// Where rows overlap, or there are fewer values.
    #[must_use]
    pub fn strided(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check(values.len(), rows, columns, stride);
        Self { values, rows, columns, stride }
    }
}

fn check(values: usize, rows: usize, columns: usize, stride: usize) {
    assert!(stride >= columns || rows < 2, "rows of {columns} values at a stride of {stride}");
    let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
    assert!(values >= needed, "{rows} x {columns} values, found {values} of {needed}");
}
