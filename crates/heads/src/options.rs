//! The settings of all heads in one place, as a command line or a file gives them.

use std::sync::Arc;

use facefold_core::{HeadError, StateDict};
use serde::{Deserialize, Deserializer, Serialize};

use crate::ensemble::EnsembleOptions;
use crate::knn::KnnOptions;
use crate::linear::LinearOptions;
use crate::mlp::{MlpOptions, MultiTaskOptions};
use crate::stacking::StackingOptions;
use crate::svm::SvmOptions;
use crate::trees::TreeOptions;

/// Settings of every head; each head reads the common ones and its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadOptions {
    /// How much a row of each class counts in training.
    pub class_weights: ClassWeights,
    /// Columns (first, one past the last) that are scaled to length 1 before anything else: the
    /// embedding's, where its norm should not be seen.
    pub unit_columns: Option<(usize, usize)>,
    /// Settings of all heads that are or hold an MLP: `mlp`, `mlp-multi-task`, `mlp-residual`, and the
    /// members of the ensembles.
    pub mlp: MlpOptions,
    /// Settings of `mlp-multi-task` and of the members of `mlp-multi-task-ensemble`.
    pub multi_task: MultiTaskOptions,
    /// Settings of `mlp-ensemble` and `mlp-multi-task-ensemble`.
    pub ensemble: EnsembleOptions,
    /// Settings of `svm`, `svm-linear` and `svm-linfa`.
    pub svm: SvmOptions,
    /// Settings of `linear`.
    pub linear: LinearOptions,
    /// Settings of `trees`.
    pub trees: TreeOptions,
    /// Settings of `knn`.
    pub knn: KnnOptions,
    /// Settings of `mlp-stacked`.
    pub stacking: StackingOptions,
    /// A trained head that MLPs are initialised from (warm start), instead of random weights. It
    /// must have as many features and the same hidden layers; its feature scaling is used.
    #[serde(skip)]
    pub start: Option<Arc<StateDict>>,
}

/// How much a row of each class counts in training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every row counts 1.
    #[default]
    None,
    /// Every class counts the same in all: n / (classes present * rows of the class).
    Balanced,
    /// An MLP draws its training rows, with replacement, so that each class fills an equal part of
    /// every epoch; heads that are not trained in batches weigh them as under `balanced`.
    Sampled,
}

impl ClassWeights {
    /// One weight a class; a class without rows weighs 0.
    pub(crate) fn weights(self, indices: &[usize], count: usize) -> Vec<f32> {
        let mut rows = vec![0_usize; count];
        for &index in indices {
            rows[index] += 1;
        }
        let present = rows.iter().filter(|&&rows| rows > 0).count();
        rows.iter()
            .map(|&rows| match self {
                _ if rows == 0 => 0.0,
                Self::None => 1.0,
                Self::Balanced | Self::Sampled => indices.len() as f32 / (present * rows) as f32,
            })
            .collect()
    }
}

/// Fails with a message that names the setting unless `ok`.
pub(crate) fn require(
    ok: bool,
    name: &str,
    expected: &str,
    found: impl std::fmt::Debug,
) -> Result<(), HeadError> {
    if ok {
        Ok(())
    } else {
        Err(HeadError::Setting(format!("`{name}` must be {expected}, found {found:?}")))
    }
}

/// Reads one number or a list of them.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore<T> {
        One(T),
        More(Vec<T>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(value) => vec![value],
        OneOrMore::More(values) => values,
    })
}

#[cfg(test)]
mod tests {
    use super::{ClassWeights, HeadOptions};

    #[test]
    fn balanced_weights_give_each_class_the_same_sum() {
        let weights = ClassWeights::Balanced.weights(&[0, 0, 0, 2], 3);
        assert_eq!(weights, [4.0 / 6.0, 0.0, 2.0]);
        assert_eq!(ClassWeights::None.weights(&[0, 0, 0, 2], 3), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn options_survive_json_and_refuse_unknown_names() {
        let options = HeadOptions::default();
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<HeadOptions>(&text).unwrap(), options);
        let partial: HeadOptions = serde_json::from_str(r#"{"mlp": {"epochs": 3}}"#).unwrap();
        assert_eq!(partial.mlp.epochs, 3);
        assert_eq!(partial.mlp.hidden_layer_sizes, options.mlp.hidden_layer_sizes);
        assert!(serde_json::from_str::<HeadOptions>(r#"{"mpl": {}}"#).is_err());
    }
}
