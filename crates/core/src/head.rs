//! The traits of a head: an estimator that is fitted to rows of a feature matrix and then predicts
//! classes or ages for other rows.
//!
//! A fit gives the fitted head and its [`Prediction`] for the validation rows; a prediction has all
//! that one forward pass gives. To add a head, see `CONTRIBUTING.md`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{Array2, ArrayD};
use serde::{Deserialize, Serialize};

use crate::age_target::AgeTarget;
use crate::feature_dataset::FeatureDataset;
use crate::rows::FeatureRows;

/// Features of all rows of a store, n x d, and of their mirrored crops where the store has them.
///
/// The rows of pictures may be followed by rows of their augmented versions, which are for training
/// only: [`FeatureDataset::augmented`].
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

/// The labels that a head is fitted to, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class indices below `count`.
    Classes {
        /// One index a row.
        indices: Vec<usize>,
        /// Number of classes, some of which may have no row here.
        count: usize,
    },
    /// Ages in years, each exact or known as a range.
    Regression(Vec<AgeTarget>),
}

impl Targets {
    /// Ages that are all known exactly, in years.
    #[must_use]
    pub fn exact_years(years: Vec<f32>) -> Self {
        Self::Regression(years.into_iter().map(AgeTarget::exact).collect())
    }

    /// Number of rows whose age is known only as a range.
    #[must_use]
    pub fn ranges(&self) -> usize {
        match self {
            Self::Classes { .. } => 0,
            Self::Regression(ages) => ages.iter().filter(|age| age.is_range()).count(),
        }
    }

    /// The targets at these positions, in this order.
    ///
    /// # Panics
    /// Where a position is past the end.
    #[must_use]
    pub fn select(&self, positions: &[usize]) -> Self {
        match self {
            Self::Classes { indices, count } => Self::Classes {
                indices: positions.iter().map(|&position| indices[position]).collect(),
                count: *count,
            },
            Self::Regression(years) => {
                Self::Regression(positions.iter().map(|&position| years[position]).collect())
            }
        }
    }

    /// These targets, followed by others of the same kind.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the kinds differ.
    pub fn concat(&self, other: &Self) -> Result<Self, HeadError> {
        match (self, other) {
            (Self::Regression(one), Self::Regression(two)) => {
                Ok(Self::Regression([&one[..], two].concat()))
            }
            (Self::Classes { indices, count }, Self::Classes { indices: more, count: same })
                if count == same =>
            {
                Ok(Self::Classes { indices: [&indices[..], more].concat(), count: *count })
            }
            _ => Err(HeadError::Shape(format!("{:?} with {:?}", self.kind(), other.kind()))),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { indices, .. } => indices.len(),
            Self::Regression(years) => years.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of target, without its rows.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        match self {
            Self::Classes { count, .. } => TargetKind::Classes { count: *count },
            Self::Regression(_) => TargetKind::Regression,
        }
    }
}

/// The kind of target a head is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Classification into `count` classes.
    Classes {
        /// Number of classes.
        count: usize,
    },
    /// Regression of an age in years.
    Regression,
}

/// Class probabilities or ages, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum PredictedTargets {
    /// Class probabilities, n x classes; each row sums to 1.
    Classes(Array2<f32>),
    /// Ages in years.
    Regression(Vec<f32>),
}

/// What a fitted head predicts for some rows, all of it from one forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Class probabilities or ages.
    pub targets: PredictedTargets,
    /// The predicted probabilities of the ages 0, 1, 2, … years, n x ages; each row sums to 1.
    /// `None` for classifiers, and for regressors that predict a number only.
    pub age_distribution: Option<Array2<f32>>,
    /// The predictive standard deviation of each row: in years, or of the probability of the
    /// predicted class. `None` for heads that do not estimate it, and where their settings do not
    /// ask for it.
    pub uncertainty: Option<Vec<f32>>,
}

/// Without a distribution and an uncertainty.
impl From<PredictedTargets> for Prediction {
    fn from(targets: PredictedTargets) -> Self {
        Self { targets, age_distribution: None, uncertainty: None }
    }
}

impl Prediction {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.targets {
            PredictedTargets::Classes(probabilities) => probabilities.nrows(),
            PredictedTargets::Regression(years) => years.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One pass over the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Mean training loss.
    pub training_loss: f64,
    /// Mean loss on the validation rows.
    pub validation_loss: f64,
    /// Accuracy (classes) or mean absolute error in years on the validation rows; where fewer than
    /// 20 of those have an exact age, the mean distance to the age range.
    pub validation_score: f64,
    /// Learning rate at the end of the epoch.
    pub learning_rate: f64,
}

/// How a fit went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingLog {
    /// Learning curve; empty for heads that are not trained in epochs.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were kept.
    pub best_epoch: Option<usize>,
    /// Number of rows the head was really fitted on.
    pub rows_used: usize,
    /// Notes for the reader of a report: `trained on a stratified subsample of 5,000 of
    /// 14,000 rows`.
    pub notes: Vec<String>,
}

/// The state of a fitted head, as it is stored: tensors by name, and settings (`state_dict` in
/// `PyTorch`).
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Which head it is: the name in the registry.
    pub kind: String,
    /// Settings that rebuild it.
    pub config: serde_json::Value,
    /// Its tensors.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}

/// A head that can be fitted; holds its checked settings.
pub trait Head: Send + Sync {
    /// The name on the command line and in reports: `mlp`, `svm`, `linear`.
    fn name(&self) -> &str;

    /// The checked settings, written into every report.
    fn settings(&self) -> serde_json::Value;

    /// Whether the fit also uses labels of other tasks: [`FeatureDataset::auxiliary_tasks`].
    fn uses_auxiliary_tasks(&self) -> bool {
        false
    }

    /// Fits the head to the training rows. The validation rows choose the epoch, the temperature
    /// and the like, for heads that choose any. The same rows and seed give the same bits.
    ///
    /// # Errors
    /// [`HeadError`] where the rows cannot be learnt from.
    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError>;
}

/// The result of [`Head::fit`].
pub struct Fit {
    /// The fitted head.
    pub head: Box<dyn FittedHead>,
    /// The prediction for the validation rows by a model that was not trained on them: where the
    /// head was refitted on all rows, by the first fit.
    pub validation: Prediction,
}

impl Fit {
    /// The fit of a head that was trained on the training rows only: it predicts the validation
    /// rows itself.
    ///
    /// # Errors
    /// As [`FittedHead::predict`].
    pub fn of(
        head: impl FittedHead + 'static,
        validation: &FeatureDataset<'_>,
    ) -> Result<Self, HeadError> {
        let validation = head.predict(validation.matrix(), validation.rows())?;
        Ok(Self { head: Box::new(head), validation })
    }
}

/// A head after its fit.
pub trait FittedHead: Send + Sync {
    /// Predicts some rows of a matrix that is as wide as the training matrix, in one forward pass.
    /// A row's prediction does not depend on the other rows.
    ///
    /// # Errors
    /// [`HeadError::Shape`] where the width differs.
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError>;

    /// How the fit went.
    fn log(&self) -> &TrainingLog;

    /// The state to store.
    fn state_dict(&self) -> StateDict;
}

/// Why a head cannot be fitted, applied or loaded.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Shapes that do not match.
    #[error("shapes do not match: {0}")]
    Shape(String),
    /// Rows that a head cannot be trained on.
    #[error("cannot train: {0}")]
    Untrainable(String),
    /// A setting out of its range.
    #[error("{0}")]
    Setting(String),
    /// A stored head that cannot be read.
    #[error("cannot read the head: {0}")]
    Corrupt(String),
    /// A failure inside a library.
    #[error("{context}: {message}")]
    Backend {
        /// What was being done.
        context: String,
        /// The library's message.
        message: String,
    },
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
