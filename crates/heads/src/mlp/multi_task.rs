//! The data of a multi-task fit: rows of the matrix, and for each task the labels of those that
//! have one.

use std::collections::BTreeMap;

use facefold_core::{FeatureDataset, HeadError, Targets, TrainingLog};

use super::loss::{EncodedTargets, Labels};
use super::{Mlp, MlpOptions, MultiTaskOptions};
use crate::options::ClassWeights;

/// Rows with the labels of one or several tasks, the main task first.
pub(super) struct MultiTaskData<'a> {
    /// Rows of the matrix, each once.
    pub(super) rows: Vec<usize>,
    pub(super) labels: Vec<Labels<'a>>,
}

impl<'a> MultiTaskData<'a> {
    /// The data of a training set; notes the auxiliary tasks in the log.
    pub(super) fn of(
        head: &Mlp,
        training: &'a FeatureDataset<'_>,
        log: &mut TrainingLog,
    ) -> Result<Self, HeadError> {
        let mut rows = training.rows().to_vec();
        let own = head.labels(training.targets(), (0..rows.len()).collect());
        let mut labels = vec![own];
        if let Some(multi_task) = &head.multi_task {
            if training.auxiliary_tasks().is_empty() {
                return Err(HeadError::Untrainable(
                    "this head learns several tasks together: expected auxiliary tasks, found none; name \
                     more tasks, as in `--task gender,age` or `--auxiliary race`, or use the head `mlp`"
                        .to_owned(),
                ));
            }
            labels[0].weight = multi_task.weight(training.targets());
            let mut position_of: BTreeMap<usize, usize> =
                rows.iter().enumerate().map(|(position, &row)| (row, position)).collect();
            for auxiliary in training.auxiliary_tasks() {
                let position = |&row: &usize| {
                    *position_of.entry(row).or_insert_with(|| {
                        rows.push(row);
                        rows.len() - 1
                    })
                };
                let positions: Vec<usize> = auxiliary.rows.iter().map(position).collect();
                let shared = positions.iter().filter(|&&at| at < training.len()).count();
                log.notes.push(format!(
                    "auxiliary task {}: {} rows, of which {} have no label of the main task",
                    auxiliary.kind,
                    positions.len(),
                    positions.len() - shared
                ));
                let mut labels_of_task = head.labels(&auxiliary.targets, positions);
                labels_of_task.weight = multi_task.weight(&auxiliary.targets);
                labels.push(labels_of_task);
            }
        }
        log.rows_used = rows.len();
        Ok(Self { rows, labels })
    }

    pub(super) fn targets(&self, options: &MlpOptions) -> EncodedTargets {
        EncodedTargets::new(self.rows.len(), &self.labels, options, |task| {
            EncodedTargets::scale(task.targets)
        })
    }

    /// Positions class by class for balanced sampling; classes without rows are left out, and so
    /// are rows without a class: they are too few to make an equal part of an epoch.
    pub(super) fn balanced(&self, class_weights: ClassWeights) -> Option<Vec<Vec<usize>>> {
        let (ClassWeights::Sampled, Targets::Classes { indices, count }) =
            (class_weights, self.labels[0].targets)
        else {
            return None;
        };
        let mut classes = vec![Vec::new(); *count];
        for (position, &class) in indices.iter().enumerate() {
            classes[class].push(position);
        }
        classes.retain(|class| !class.is_empty());
        Some(classes)
    }
}

impl MultiTaskOptions {
    fn weight(&self, targets: &Targets) -> f64 {
        match targets {
            Targets::Classes { .. } => self.classification_weight,
            Targets::Regression(_) => self.regression_weight,
        }
    }
}

impl Mlp {
    /// Labels of a task that counts 1.
    fn labels<'a>(&self, targets: &'a Targets, positions: Vec<usize>) -> Labels<'a> {
        // Classes that are sampled equally often must not be weighted as well.
        let weights = match self.class_weights {
            ClassWeights::Sampled => ClassWeights::None,
            weights => weights,
        };
        let class_weights = match targets {
            Targets::Classes { indices, count } => weights.weights(indices, *count),
            Targets::Regression(_) => Vec::new(),
        };
        Labels { targets, positions, class_weights, weight: 1.0 }
    }
}
