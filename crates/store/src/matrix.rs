//! From keys to the n x d matrix that heads are fitted on.

use std::fmt;
use std::str::FromStr;

use facefold_core::{Extraction, FaceVariant, FeatureMatrix, FeatureRows, ImageKey};
use ndarray::Array2;
use rayon::prelude::*;

use crate::error::StoreError;
use crate::npy::Values;
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
    /// The main faces of some pictures as a matrix, one row a key.
    ///
    /// # Errors
    /// As [`Self::load_rows`].
    pub fn load_matrix(&self, select: &Select<'_>) -> Result<Array2<f32>, StoreError> {
        Ok(self.load_rows(select)?.to_array())
    }

    /// The main faces of some pictures, one row a key, where they lie.
    ///
    /// The first load after the store has grown builds `derived/embedding-STAMP.npy` (and the
    /// same of taps) from the shards. It and later ones map that file, read the rows from the
    /// disk, in the order in which they lie there, and compare them with its checksums; a file
    /// that is not what was written is built again. They stay in the system's page cache: with it
    /// a row takes some tens of bytes of memory. Pictures that are in the log only are copied, and
    /// so are then the others. All cores read, in the pool that rayon has where it is called.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where a picture has no embedding in the variant,
    /// [`StoreError::NoTaps`], or a file that is corrupt or cannot be read.
    pub fn load_rows(&self, select: &Select<'_>) -> Result<FeatureRows, StoreError> {
        let rows: Vec<_> = select.keys.iter().map(|key| (*key, select.variant)).collect();
        self.rows_of(&mut self.columns(select.features)?, &rows)
    }

    /// The plain rows of some pictures, and their mirrored rows where every one has one;
    /// behind them, if `augmented`, the rows of their augmented versions, which
    /// serve as their own mirrored rows. They lie as [`Self::load_rows`] says.
    ///
    /// # Errors
    /// As [`Self::load_rows`].
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
        let mut columns = self.columns(features)?;
        let mut load = |variant| {
            let pictures = keys.iter().map(|key| (*key, variant));
            let rows: Vec<_> = pictures.chain(versions.iter().copied()).collect();
            self.rows_of(&mut columns, &rows)
        };
        let plain = load(FaceVariant::PLAIN)?;
        let mirrored = match load(FaceVariant::MIRRORED) {
            Ok(rows) => Some(rows),
            Err(StoreError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let embedding = match features {
            Features::Embedding | Features::Both => self.header.lengths().0,
            Features::Taps => 0,
        };
        FeatureMatrix::of_rows(plain, mirrored)
            .and_then(|matrix| matrix.with_augmented(originals)?.with_embedding(embedding))
            .map_err(|error| self.does_not_fit(&error))
    }

    /// The columns of some features; fails where the store has none.
    fn columns(&self, features: Features) -> Result<Vec<Column>, StoreError> {
        let (embedding, taps) = self.header.lengths();
        if taps == 0 && features != Features::Embedding {
            return Err(StoreError::NoTaps { path: self.directory().to_owned() });
        }
        let columns: &[_] = match features {
            Features::Embedding => &[("embedding", embedding)],
            Features::Taps => &[("taps", taps)],
            Features::Both => &[("embedding", embedding), ("taps", taps)],
        };
        Ok(columns.iter().map(|&(name, width)| Column { name, width, values: None }).collect())
    }

    /// One row each of the pictures in their variants.
    fn rows_of(
        &self,
        columns: &mut [Column],
        wanted: &[(ImageKey, FaceVariant)],
    ) -> Result<FeatureRows, StoreError> {
        let places = self.places(wanted)?;
        let mut sealed: Vec<u32> = places.iter().copied().flatten().collect();
        let all_sealed = !sealed.is_empty() && sealed.len() == wanted.len();
        let order = sealed.clone();
        sealed.par_sort_unstable();
        let mut parts = Vec::with_capacity(columns.len());
        for column in columns.iter_mut().filter(|_| !sealed.is_empty()) {
            let mut values = match &column.values {
                Some(values) => values.clone(),
                None => Values::open(self, column.name, column.width)?,
            };
            if !values.fetch(&sealed) {
                values = Values::open_anew(self, column.name, column.width)?;
                if !values.fetch(&sealed) {
                    return Err(self.does_not_fit(&"a file there is not what was just written"));
                }
            }
            parts.push((values.rows(), column.width));
            column.values = Some(values);
        }
        let rows =
            FeatureRows::selected(parts, order).map_err(|error| self.does_not_fit(&error))?;
        if all_sealed { Ok(rows) } else { self.with_logged(columns, &rows, wanted, &places) }
    }

    /// Where each row lies in the shards, if not in the log; fails where it is in neither.
    fn places(&self, wanted: &[(ImageKey, FaceVariant)]) -> Result<Vec<Option<u32>>, StoreError> {
        let places: Vec<Option<u32>> =
            wanted.par_iter().map(|(key, variant)| self.index.row_of(key, *variant)).collect();
        let mut missing = Vec::new();
        for ((key, variant), _) in wanted.iter().zip(&places).filter(|(_, place)| place.is_none()) {
            if !self.has_variant(key, *variant)? {
                missing.push((*key, variant.0));
            }
        }
        match missing.first() {
            None => Ok(places),
            Some(&(first, variant)) => Err(StoreError::Missing {
                path: self.directory().to_owned(),
                missing: missing.len(),
                asked: wanted.len(),
                variant,
                first,
                again: self.run_again(),
            }),
        }
    }

    /// Copies of the rows from the shards, in order, and between them of those from the log.
    fn with_logged(
        &self,
        columns: &[Column],
        sealed: &FeatureRows,
        wanted: &[(ImageKey, FaceVariant)],
        places: &[Option<u32>],
    ) -> Result<FeatureRows, StoreError> {
        let width = columns.iter().map(|column| column.width).sum();
        let mut values = Vec::with_capacity(wanted.len() * width);
        let mut next = 0;
        for ((key, variant), place) in wanted.iter().zip(places) {
            let first = values.len();
            if place.is_some() {
                values.resize(first + width, 0.0);
                sealed.copy(next, &mut values[first..]);
                next += 1;
                continue;
            }
            if let Some(entry) = self.logged.get(key)
                && let Extraction::Embedded { faces, .. } = self.read_logged(entry)?.extraction
                && let Some(face) =
                    faces.iter().find(|face| face.index == 0 && face.variant == *variant)
            {
                for column in columns {
                    let is_taps = column.name == "taps";
                    values.extend(if is_taps { &face.taps } else { face.embedding.as_slice() });
                }
            }
            if values.len() != first + width {
                let what =
                    format!("expected {width} values of {key}, found {}", values.len() - first);
                return Err(StoreError::corrupt_shard(&self.layout.log(), what));
            }
        }
        let rows = Array2::from_shape_vec((wanted.len(), width), values);
        rows.map(FeatureRows::from).map_err(|error| self.does_not_fit(&error))
    }

    fn does_not_fit(&self, what: &dyn fmt::Display) -> StoreError {
        StoreError::Corrupt {
            path: self.directory().to_owned(),
            what: what.to_string(),
            remedy: "delete the directory `derived` in it".to_owned(),
        }
    }
}

/// A column of the shards, and its values once they are open.
struct Column {
    name: &'static str,
    width: usize,
    values: Option<Values>,
}
