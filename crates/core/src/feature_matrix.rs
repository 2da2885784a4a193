//! The matrix that heads are fitted to: a row a picture, a column a feature.

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::Array2;

use crate::head::HeadError;
use crate::rows::FeatureRows;

/// Features of all rows of a store, n x d, and of their mirrored crops where the store has them.
///
/// The rows of pictures may be followed by rows of their augmented versions, which are for training
/// only: [`crate::FeatureDataset::augmented`].
#[derive(Debug, Clone)]
pub struct FeatureMatrix {
    plain: FeatureRows,
    mirrored: Option<FeatureRows>,
    /// The rows that the last rows are versions of.
    originals: Vec<usize>,
    /// The first columns, which are the embedding.
    embedding: usize,
    identity: MatrixIdentity,
}

/// Identifies a matrix, so that what was computed from its values can be cached.
///
/// Every matrix that is made has an identity of its own; a clone shares it, as its values are the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixIdentity(u64);

impl MatrixIdentity {
    fn next() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self(MADE.fetch_add(1, Ordering::Relaxed))
    }
}

/// Compares values, not identities.
impl PartialEq for FeatureMatrix {
    fn eq(&self, other: &Self) -> bool {
        let same_rows = self.plain == other.plain && self.mirrored == other.mirrored;
        same_rows && self.originals == other.originals
    }
}

impl FeatureMatrix {
    /// A matrix with or without mirrored rows.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the two shapes differ.
    pub fn new(plain: Array2<f32>, mirrored: Option<Array2<f32>>) -> Result<Self, HeadError> {
        Self::of_rows(plain.into(), mirrored.map(FeatureRows::from))
    }

    /// A matrix of rows that lie elsewhere, with or without mirrored ones.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the two shapes differ.
    pub fn of_rows(plain: FeatureRows, mirrored: Option<FeatureRows>) -> Result<Self, HeadError> {
        let shape = |rows: &FeatureRows| (rows.count(), rows.width());
        match &mirrored {
            Some(other) if shape(other) != shape(&plain) => Err(HeadError::Shape(format!(
                "mirrored features have shape {:?}, plain ones {:?}",
                shape(other),
                shape(&plain)
            ))),
            _ => {
                let identity = MatrixIdentity::next();
                Ok(Self { plain, mirrored, originals: Vec::new(), embedding: 0, identity })
            }
        }
    }

    /// The same matrix, whose last rows are augmented versions of these rows, in this order.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where one of them is itself among the last rows, or past the end.
    pub fn with_augmented(mut self, originals: Vec<usize>) -> Result<Self, HeadError> {
        let pictures = self.rows().saturating_sub(originals.len());
        if let Some(original) = originals.iter().find(|&&original| original >= pictures) {
            return Err(HeadError::Shape(format!(
                "an augmented version of row {original}, with {pictures} rows of pictures"
            )));
        }
        self.originals = originals;
        Ok(self)
    }

    /// The same matrix, whose first columns are the embedding, not scaled.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where it has fewer columns.
    pub fn with_embedding(mut self, columns: usize) -> Result<Self, HeadError> {
        if columns > self.width() {
            return Err(HeadError::Shape(format!(
                "an embedding of {columns} of {} columns",
                self.width()
            )));
        }
        self.embedding = columns;
        Ok(self)
    }

    /// The same rows with these columns only, in this order; without mirrored rows if `mirrored` is
    /// false.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where there is no such column.
    pub fn select_columns(&self, columns: &[usize], mirrored: bool) -> Result<Self, HeadError> {
        if let Some(column) = columns.iter().find(|&&column| column >= self.width()) {
            return Err(HeadError::Shape(format!("column {column} of {} features", self.width())));
        }
        let mirrored = self.mirrored.as_ref().filter(|_| mirrored);
        let mirrored = mirrored.map(|rows| rows.columns(columns));
        // An embedding without some of its columns no longer counts as one.
        let whole = columns.len() >= self.embedding
            && columns[..self.embedding].iter().copied().eq(0..self.embedding);
        Self::of_rows(self.plain.columns(columns), mirrored)?
            .with_augmented(self.originals.clone())?
            .with_embedding(if whole { self.embedding } else { 0 })
    }

    /// Concatenates the rows of several matrices: the pictures of all, then the augmented versions
    /// of all. Mirrored rows are kept if every matrix has them. No value is copied.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where there is none, or the numbers of features differ.
    pub fn concat(matrices: &[Self]) -> Result<Self, HeadError> {
        if matrices.is_empty() {
            return Err(HeadError::Shape("no matrix to concatenate".to_owned()));
        }
        let pictures = |matrix: &Self| matrix.rows() - matrix.originals.len();
        let concatenated = |of: &dyn Fn(&Self) -> Option<&FeatureRows>| {
            let rows: Option<Vec<&FeatureRows>> = matrices.iter().map(of).collect();
            let Some(rows) = rows else { return Ok(None) };
            let all = || rows.iter().zip(matrices);
            let pieces: Vec<_> = all()
                .map(|(rows, matrix)| (*rows, 0..pictures(matrix)))
                .chain(all().map(|(rows, matrix)| (*rows, pictures(matrix)..matrix.rows())))
                .collect();
            FeatureRows::concat(&pieces).map(Some)
        };
        let plain = concatenated(&|matrix| Some(&matrix.plain))?;
        let plain = plain.ok_or_else(|| HeadError::Shape("no rows to concatenate".to_owned()))?;
        let mirrored = concatenated(&|matrix| matrix.mirrored.as_ref())?;
        let (mut originals, mut first) = (Vec::new(), 0);
        for matrix in matrices {
            originals.extend(matrix.originals.iter().map(|original| first + original));
            first += pictures(matrix);
        }
        let embedding = matrices[0].embedding;
        let same = matrices.iter().all(|matrix| matrix.embedding == embedding);
        Self::of_rows(plain, mirrored)?.with_augmented(originals)?.with_embedding(if same {
            embedding
        } else {
            0
        })
    }

    /// Pairs of an augmented row and the row that it is a version of.
    pub fn augmented(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (self.rows() - self.originals.len()..).zip(self.originals.iter().copied())
    }

    /// The features of the crops as they are, n x d.
    #[must_use]
    pub fn plain(&self) -> &FeatureRows {
        &self.plain
    }

    /// The features of the mirrored crops, n x d, where known.
    #[must_use]
    pub fn mirrored(&self) -> Option<&FeatureRows> {
        self.mirrored.as_ref()
    }

    /// Number of the first columns that are the embedding, not scaled; 0 where none are.
    #[must_use]
    pub fn embedding(&self) -> usize {
        self.embedding
    }

    /// Which matrix this is.
    #[must_use]
    pub fn identity(&self) -> MatrixIdentity {
        self.identity
    }

    /// Number of rows n, with those of augmented versions.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.plain.count()
    }

    /// Number of features d.
    #[must_use]
    pub fn width(&self) -> usize {
        self.plain.width()
    }
}

#[cfg(test)]
mod tests {
    use super::FeatureMatrix;
    use ndarray::Array2;

    #[test]
    fn equal_matrices_have_identities_of_their_own() {
        let made = || FeatureMatrix::new(Array2::zeros((2, 3)), None).unwrap();
        let (one, other) = (made(), made());
        assert_eq!(one, other);
        assert_ne!(one.identity(), other.identity());
        assert_eq!(one.identity(), one.clone().identity());
    }
}
