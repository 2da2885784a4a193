//! The heads as estimators of linfa: a [`Learner`] implements its `Fit`,
//! and what that gives its `Predict`, on its `Dataset` of f32 or f64 records.
//!
//! So they stand in wherever linfa-svm and linfa-logistic do: in its cross-validation, in its
//! compositions, in its metrics. The labels are class indices (`usize`), two classes (`bool`), or
//! ages in years (`f32`, `f64`).
//!
//! ```
//! use facefold_heads::linfa::Learner;
//! use facefold_heads::HeadOptions;
//! use linfa::Dataset;
//! use linfa::traits::{Fit, Predict};
//! use ndarray::array;
//!
//! let records = array![[0.0_f64, 0.1], [0.2, 0.0], [3.0, 3.1], [3.2, 2.9]];
//! let dataset = Dataset::new(records, array![false, false, true, true]);
//! let fitted = Learner::new("linear", &HeadOptions::default(), 0)?.fit(&dataset)?;
//! assert_eq!(fitted.predict(&array![[0.1, 0.1], [3.0, 3.0]]), array![false, true]);
//! # Ok::<_, facefold_heads::linfa::LinfaError>(())
//! ```

use std::marker::PhantomData;

use facefold_core::{
    FeatureDataset, FeatureMatrix, FittedHead, Head, HeadError, PredictedTargets, Targets,
};
use linfa::traits::{Fit, PredictInplace};
use linfa::{DatasetBase, Float};
use ndarray::{Array1, Array2, ArrayBase, ArrayView1, Data, Ix1, Ix2};

use crate::options::HeadOptions;
use crate::registry;

/// Why a head cannot be fitted to a dataset of linfa.
#[derive(Debug, thiserror::Error)]
pub enum LinfaError {
    /// The head's reason.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// An error of linfa itself, which its traits ask for.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// A head to be fitted by linfa's `Fit`.
///
/// linfa's datasets have no validation rows: of a list of settings the first is taken, and no
/// epoch or temperature is chosen.
pub struct Learner {
    head: Box<dyn Head>,
    seed: u64,
}

impl Learner {
    /// The head of this name with these settings.
    ///
    /// # Errors
    /// As [`registry::head`].
    pub fn new(name: &str, options: &HeadOptions, seed: u64) -> Result<Self, HeadError> {
        Ok(Self { head: registry::head(name, options)?, seed })
    }
}

/// A head that was fitted to a dataset of linfa with labels of type `L`.
pub struct Fitted<L> {
    head: Box<dyn FittedHead>,
    label: PhantomData<fn() -> L>,
}

impl<L> Fitted<L> {
    /// The head itself, for class probabilities and distributions over ages.
    #[must_use]
    pub fn head(&self) -> &dyn FittedHead {
        self.head.as_ref()
    }
}

/// A label of a linfa dataset that heads can be fitted to.
pub trait Label: Copy + Default {
    /// The targets of these labels.
    fn targets(labels: impl Iterator<Item = Self>) -> Targets;

    /// The most probable class of each row, or its age.
    fn of_prediction(predicted: &PredictedTargets) -> Vec<Self>;
}

impl Label for usize {
    fn targets(labels: impl Iterator<Item = Self>) -> Targets {
        let indices: Vec<usize> = labels.collect();
        let count = indices.iter().max().map_or(0, |last| last + 1);
        Targets::Classes { indices, count }
    }

    fn of_prediction(predicted: &PredictedTargets) -> Vec<Self> {
        most_probable(predicted)
    }
}

impl Label for bool {
    fn targets(labels: impl Iterator<Item = Self>) -> Targets {
        Targets::Classes { indices: labels.map(usize::from).collect(), count: 2 }
    }

    fn of_prediction(predicted: &PredictedTargets) -> Vec<Self> {
        most_probable(predicted).into_iter().map(|class| class == 1).collect()
    }
}

impl Label for f32 {
    fn targets(labels: impl Iterator<Item = Self>) -> Targets {
        Targets::exact_years(labels.collect())
    }

    fn of_prediction(predicted: &PredictedTargets) -> Vec<Self> {
        match predicted {
            PredictedTargets::Regression(years) => years.clone(),
            PredictedTargets::Classes(_) => Vec::new(),
        }
    }
}

impl Label for f64 {
    fn targets(labels: impl Iterator<Item = Self>) -> Targets {
        f32::targets(labels.map(|years| years as f32))
    }

    fn of_prediction(predicted: &PredictedTargets) -> Vec<Self> {
        f32::of_prediction(predicted).into_iter().map(Self::from).collect()
    }
}

/// The most probable class of each row, of equally probable ones the first.
fn most_probable(predicted: &PredictedTargets) -> Vec<usize> {
    let PredictedTargets::Classes(probabilities) = predicted else { return Vec::new() };
    let best = |row: ArrayView1<'_, f32>| {
        let mut best = 0;
        for (class, probability) in row.iter().enumerate() {
            if *probability > row[best] {
                best = class;
            }
        }
        best
    };
    probabilities.rows().into_iter().map(best).collect()
}

/// Records as features; heads compute in f32.
fn features<F: Float, D: Data<Elem = F>>(
    records: &ArrayBase<D, Ix2>,
) -> Result<FeatureMatrix, HeadError> {
    FeatureMatrix::new(Array2::from_shape_fn(records.dim(), |at| f32::cast(records[at])), None)
}

impl<F, D, L, S> Fit<ArrayBase<D, Ix2>, ArrayBase<S, Ix1>, LinfaError> for Learner
where
    F: Float,
    D: Data<Elem = F>,
    L: Label,
    S: Data<Elem = L>,
{
    type Object = Fitted<L>;

    fn fit(
        &self,
        dataset: &DatasetBase<ArrayBase<D, Ix2>, ArrayBase<S, Ix1>>,
    ) -> Result<Fitted<L>, LinfaError> {
        let matrix = features(&dataset.records)?;
        let targets = L::targets(dataset.targets.iter().copied());
        let training = FeatureDataset::new(&matrix, (0..matrix.rows()).collect(), targets)?;
        let fit = self.head.fit(&training, &training.empty(), self.seed)?;
        Ok(Fitted { head: fit.head, label: PhantomData })
    }
}

/// # Panics
/// Where the records have another width than those that the head was fitted to: linfa's trait has
/// no error.
impl<F, D, L> PredictInplace<ArrayBase<D, Ix2>, Array1<L>> for Fitted<L>
where
    F: Float,
    D: Data<Elem = F>,
    L: Label,
{
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, labels: &mut Array1<L>) {
        let rows: Vec<usize> = (0..records.nrows()).collect();
        let prediction = features(records).and_then(|matrix| self.head.predict(&matrix, &rows));
        match prediction {
            Ok(prediction) => *labels = L::of_prediction(&prediction.targets).into(),
            Err(error) => panic!("{error}"),
        }
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<L> {
        Array1::default(records.nrows())
    }
}
