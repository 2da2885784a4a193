//! What a fit is taught: rows of the matrix, and for each task the labels of those that have some.

use std::collections::BTreeMap;

use facefold_core::{Examples, HeadError, Targets, TrainingLog};

use super::goals::{Goals, Labels};
use super::{JointOptions, Mlp, MlpOptions};
use crate::options::ClassWeights;

/// Rows with the labels of one or several tasks; the first is the one that is asked for.
pub(super) struct Lesson<'a> {
    /// Rows of the matrix, each once.
    pub(super) rows: Vec<usize>,
    pub(super) labels: Vec<Labels<'a>>,
}

impl<'a> Lesson<'a> {
    /// The lesson that the training rows hold; notes in the log what else is taught.
    pub(super) fn of(
        head: &Mlp,
        training: &'a Examples<'_>,
        log: &mut TrainingLog,
    ) -> Result<Self, HeadError> {
        let mut rows = training.rows().to_vec();
        let own = head.labels(training.targets(), (0..rows.len()).collect());
        let mut labels = vec![own];
        if let Some(joint) = &head.joint {
            if training.companions().is_empty() {
                return Err(HeadError::Untrainable(
                    "this head learns several tasks together, and there is but one: name more, as \
                     in `--task gender,age` or `--beside race`, or take the head `mlp`"
                        .to_owned(),
                ));
            }
            labels[0].weight = joint.weight(training.targets());
            let mut position_of: BTreeMap<usize, usize> =
                rows.iter().enumerate().map(|(position, &row)| (row, position)).collect();
            for companion in training.companions() {
                let position = |&row: &usize| {
                    *position_of.entry(row).or_insert_with(|| {
                        rows.push(row);
                        rows.len() - 1
                    })
                };
                let positions: Vec<usize> = companion.rows.iter().map(position).collect();
                let shared = positions.iter().filter(|&&at| at < training.len()).count();
                log.notes.push(format!(
                    "learnt together with {}: {} rows, of which {} have no label of this task",
                    companion.kind,
                    positions.len(),
                    positions.len() - shared
                ));
                let mut taught = head.labels(&companion.targets, positions);
                taught.weight = joint.weight(&companion.targets);
                labels.push(taught);
            }
        }
        log.rows_used = rows.len();
        Ok(Self { rows, labels })
    }

    pub(super) fn goals(&self, options: &MlpOptions) -> Goals {
        Goals::new(self.rows.len(), &self.labels, options, |task| Goals::scale(task.targets))
    }

    /// Positions class by class for balanced sampling; classes without rows are left out, and so
    /// are rows without a class: too few of them are alike to make an equal part of an epoch.
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

impl JointOptions {
    fn weight(&self, targets: &Targets) -> f64 {
        match targets {
            Targets::Classes { .. } => self.classes,
            Targets::Years(_) => self.years,
        }
    }
}

impl Mlp {
    /// Labels of a task that counts 1.
    fn labels<'a>(&self, targets: &'a Targets, positions: Vec<usize>) -> Labels<'a> {
        // Classes that are drawn equally often must not be weighed as well.
        let weights = match self.class_weights {
            ClassWeights::Sampled => ClassWeights::None,
            weights => weights,
        };
        let class_weights = match targets {
            Targets::Classes { indices, count } => weights.weights(indices, *count),
            Targets::Years(_) => Vec::new(),
        };
        Labels { targets, positions, class_weights, weight: 1.0 }
    }
}
