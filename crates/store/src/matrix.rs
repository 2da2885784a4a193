//! From keys to the n x d matrix that heads are fitted on.

use std::fmt;
use std::str::FromStr;

use facefold_core::{Extraction, FaceVariant, FeatureMatrix, ImageKey};
use ndarray::{Array2, ArrayViewMut2, Axis, Slice};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::npy;
use crate::store::Store;

/// Which columns a matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Features {
    /// The embedding.
    Embedding,
    /// The taps.
    Taps,
    /// The embedding, then the taps.
    Both,
}

impl Features {
    /// The name on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Taps => "taps",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected features `embedding`, `taps` or `both`, found `{0}`")]
pub struct InvalidFeatures(String);

impl FromStr for Features {
    type Err = InvalidFeatures;

    fn from_str(text: &str) -> Result<Self, InvalidFeatures> {
        [Self::Embedding, Self::Taps, Self::Both]
            .into_iter()
            .find(|features| features.as_str() == text)
            .ok_or_else(|| InvalidFeatures(text.to_owned()))
    }
}

/// Which rows and columns to load.
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// As it is, mirrored, or an augmentation.
    pub variant: FaceVariant,
    /// The columns.
    pub features: Features,
    /// One picture a row, in the order of the rows; a picture may come twice.
    pub keys: &'a [ImageKey],
}

impl Store {
    /// Loads the main faces of some pictures as a matrix, one row a key.
    ///
    /// The first load after the store has grown builds `derived/embedding-STAMP.npy` (and the
    /// same of taps) from the shards; later ones read that file once from front to back and need
    /// little memory beside the matrix: some tens of bytes a row. All cores read, in the pool that
    /// rayon has where it is called.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where a picture has no embedding in the variant,
    /// [`StoreError::NoTaps`], or a file that is damaged or cannot be read.
    pub fn load_matrix(&self, select: &Select<'_>) -> Result<Array2<f32>, StoreError> {
        let rows: Vec<_> = select.keys.iter().map(|key| (*key, select.variant)).collect();
        self.load_rows(select.features, &rows)
    }

    /// One row each of the pictures in their variants.
    fn load_rows(
        &self,
        features: Features,
        wanted: &[(ImageKey, FaceVariant)],
    ) -> Result<Array2<f32>, StoreError> {
        let (embedding, taps) = self.header.lengths();
        let parts: &[(&str, usize)] = match features {
            Features::Embedding => &[("embedding", embedding)],
            Features::Taps => &[("taps", taps)],
            Features::Both => &[("embedding", embedding), ("taps", taps)],
        };
        if taps == 0 && features != Features::Embedding {
            return Err(StoreError::NoTaps { path: self.directory().to_owned() });
        }
        let sealed = self.places(wanted)?;
        let width = parts.iter().map(|(_, width)| width).sum();
        let mut matrix = Array2::zeros((wanted.len(), width));
        let mut first = 0;
        for &(name, width) in parts {
            let columns = matrix.slice_axis_mut(Axis(1), Slice::from(first..first + width));
            npy::scatter(self, name, &sealed, columns)?;
            first += width;
        }
        self.copy_logged(wanted, parts[0].0 == "embedding", matrix.view_mut())?;
        Ok(matrix)
    }

    /// Loads the plain rows of some pictures, and their mirrored rows where every one has one;
    /// behind them, where `augmented` asks for them, the rows of their augmented versions, which
    /// serve as their own mirrored rows.
    ///
    /// # Errors
    /// As [`Self::load_matrix`].
    pub fn load_features(
        &self,
        features: Features,
        keys: &[ImageKey],
        augmented: bool,
    ) -> Result<FeatureMatrix, StoreError> {
        let (mut versions, mut originals) = (Vec::new(), Vec::new());
        // Most stores have no versions, and then no picture need be asked for its own.
        let sealed = || self.index.entries().iter().any(|entry| entry.variant().training_only());
        let augmented = augmented && (!self.logged.is_empty() || sealed());
        for (row, key) in keys.iter().enumerate().filter(|_| augmented) {
            for variant in self.variants(key)?.into_iter().filter(|v| v.training_only()) {
                versions.push((*key, variant));
                originals.push(row);
            }
        }
        let load = |variant| {
            let pictures = keys.iter().map(|key| (*key, variant));
            let rows: Vec<_> = pictures.chain(versions.iter().copied()).collect();
            self.load_rows(features, &rows)
        };
        let plain = load(FaceVariant::PLAIN)?;
        let mirrored = match load(FaceVariant::MIRRORED) {
            Ok(matrix) => Some(matrix),
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let matrix = FeatureMatrix::new(plain, mirrored);
        matrix.and_then(|matrix| matrix.with_augmented(originals)).map_err(|error| {
            StoreError::Damaged {
                path: self.directory().to_owned(),
                what: error.to_string(),
                remedy: "delete the directory `derived` in it",
            }
        })
    }

    /// Pairs of a row in the shards and a row in the matrix, sorted; fails where a key is neither
    /// there nor in the log.
    fn places(&self, wanted: &[(ImageKey, FaceVariant)]) -> Result<Vec<(u32, u32)>, StoreError> {
        let rows: Vec<Option<u32>> =
            wanted.par_iter().map(|(key, variant)| self.index.row_of(key, *variant)).collect();
        let mut pairs = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for (target, ((key, variant), row)) in wanted.iter().zip(rows).enumerate() {
            if let Some(row) = row {
                pairs.push((row, target as u32));
            } else if !self.has_variant(key, *variant)? {
                missing.push((*key, variant.0));
            }
        }
        if let Some(&(first, variant)) = missing.first() {
            return Err(StoreError::Missing {
                path: self.directory().to_owned(),
                missing: missing.len(),
                asked: wanted.len(),
                variant,
                first,
            });
        }
        pairs.par_sort_unstable();
        Ok(pairs)
    }

    /// Fills the rows of pictures that are in the log only.
    fn copy_logged(
        &self,
        wanted: &[(ImageKey, FaceVariant)],
        with_embedding: bool,
        mut matrix: ArrayViewMut2<'_, f32>,
    ) -> Result<(), StoreError> {
        if self.logged.is_empty() {
            return Ok(());
        }
        for (mut row, (key, variant)) in matrix.rows_mut().into_iter().zip(wanted) {
            let Some(entry) = self.logged.get(key) else { continue };
            let Extraction::Embedded { faces, .. } = self.read_logged(entry)?.extraction else {
                continue;
            };
            let face = faces.iter().find(|face| face.index == 0 && face.variant == *variant);
            let Some(face) = face else { continue };
            let embedding = if with_embedding { face.embedding.as_slice() } else { &[] };
            for (place, value) in row.iter_mut().zip(embedding.iter().chain(&face.taps)) {
                *place = *value;
            }
        }
        Ok(())
    }
}
