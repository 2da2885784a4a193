//! Targets encoded for the network's outputs: one-hot, soft or standardised, of one task or
//! several.

use std::collections::HashMap;

use facefold_core::{TargetKind, Targets};

use super::{AgeLoss, MlpOptions};
use crate::linear::mean_and_deviation;
use crate::loss::{
    IntervalTarget, Loss, WeightedTarget, YEARS, absolute, age_distribution, cross_entropy,
    label_distribution, ordinal, squared,
};
use crate::years::midpoints;

/// One task's labels for some of a set's rows.
pub(super) struct Labels<'a> {
    /// The labels.
    pub(super) targets: &'a Targets,
    /// The row of the set that each target belongs to.
    pub(super) positions: Vec<usize>,
    /// One weight a class; empty for years.
    pub(super) class_weights: Vec<f32>,
    /// Weight of the task's loss.
    pub(super) weight: f64,
}

/// The targets of all rows of a set, task by task.
pub(super) struct EncodedTargets {
    tasks: Vec<TaskTargets>,
    outputs: usize,
}

/// The targets of one task.
struct TaskTargets {
    loss: TaskLoss,
    weight: f64,
    /// Soft targets (probabilities or levels) of each row; without values for a loss of one number.
    soft: SoftTargets,
    /// Ages in years, standardised for a loss of one number; empty for classes.
    years: Vec<WeightedTarget>,
    /// Both ends of the ages that are known as ranges, in the unit of `years`; empty where none is.
    ranges: Vec<Option<(f32, f32)>>,
}

/// Soft targets of rows, each kept once: rows of one label have the same.
struct SoftTargets {
    width: usize,
    /// One after the other, `width` values each; first that of rows without a label, zeros.
    distinct: Vec<f32>,
    /// Which of them a label has, by its class or the bits of its age.
    known: HashMap<u32, u32>,
    /// Which of them each row has.
    of_row: Vec<u32>,
}

#[derive(Clone, Copy)]
enum TaskLoss {
    Classes { count: usize },
    Years(AgeLoss),
}

/// The targets of one batch, task by task.
pub(super) struct BatchTargets(Vec<TaskBatch>);

struct TaskBatch {
    soft: Vec<f32>,
    years: Vec<WeightedTarget>,
    ranges: Vec<IntervalTarget>,
}

/// Soft targets, ages, and age ranges of some rows.
type RowTargets<'a> = (&'a [f32], &'a [WeightedTarget], &'a [IntervalTarget]);

impl SoftTargets {
    /// Of rows that have no label yet.
    fn new(rows: usize, width: usize) -> Self {
        let (distinct, known) = (vec![0.0; width], HashMap::new());
        Self { width, distinct, known, of_row: vec![0; rows] }
    }

    /// Gives a row the target of its label, which `write` writes over zeros where no row had it before.
    fn set(&mut self, row: usize, label: u32, write: impl FnOnce(&mut [f32])) {
        let next = self.known.len() as u32 + 1;
        let (width, distinct) = (self.width, &mut self.distinct);
        self.of_row[row] = *self.known.entry(label).or_insert_with(|| {
            let start = distinct.len();
            distinct.resize(start + width, 0.0);
            write(&mut distinct[start..]);
            next
        });
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.distinct[self.of_row[row] as usize * self.width..][..self.width]
    }

    /// The targets of all rows, one after the other.
    fn all(&self) -> Vec<f32> {
        (0..self.of_row.len()).flat_map(|row| self.row(row)).copied().collect()
    }
}

impl TaskBatch {
    fn known(&self) -> RowTargets<'_> {
        (&self.soft, &self.years, &self.ranges)
    }
}

/// A batch's loss, and its derivative by the thresholds of the ordinal loss (empty without one).
pub(super) struct BatchLoss {
    pub(super) loss: Loss,
    pub(super) by_threshold: Vec<f32>,
}

impl EncodedTargets {
    /// Targets of a set of `rows` rows. `scale` gives the mean and standard deviation of the years
    /// that each task was trained on.
    pub(super) fn new(
        rows: usize,
        labels: &[Labels<'_>],
        options: &MlpOptions,
        scale: impl Fn(&Labels<'_>) -> (f32, f32),
    ) -> Self {
        let tasks: Vec<TaskTargets> =
            labels.iter().map(|task| TaskTargets::new(rows, task, options, scale(task))).collect();
        let outputs = tasks.iter().map(TaskTargets::outputs).sum();
        Self { tasks, outputs }
    }

    /// Mean and standard deviation of years; (0, 1) for classes.
    pub(super) fn scale(targets: &Targets) -> (f32, f32) {
        match targets {
            Targets::Classes { .. } => (0.0, 1.0),
            Targets::Regression(ages) => mean_and_deviation(&midpoints(ages)),
        }
    }

    /// Outputs of the network, all tasks together; the first task's come first.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Targets of some rows, each mixed with another (mixup).
    pub(super) fn mixed(&self, pairs: &[(usize, usize, f32)]) -> BatchTargets {
        BatchTargets(self.tasks.iter().map(|task| task.mixed(pairs)).collect())
    }

    /// Loss of outputs (rows x outputs) against a batch's targets.
    pub(super) fn loss(
        &self,
        outputs: &[f32],
        batch: &BatchTargets,
        thresholds: &[f32],
    ) -> BatchLoss {
        if let [task] = self.tasks.as_slice() {
            return task.loss(outputs, batch.0[0].known(), thresholds);
        }
        let mut all = BatchLoss {
            loss: Loss { value: 0.0, gradient: vec![0.0; outputs.len()] },
            by_threshold: Vec::new(),
        };
        let mut first = 0;
        for (task, batch) in self.tasks.iter().zip(&batch.0) {
            let columns = first..first + task.outputs();
            first = columns.end;
            let own: Vec<f32> = outputs
                .chunks(self.outputs)
                .flat_map(|row| row[columns.clone()].iter().copied())
                .collect();
            let BatchLoss { loss, by_threshold } = task.loss(&own, batch.known(), thresholds);
            all.loss.value += task.weight * loss.value;
            let weighted = |gradient: &f32| (task.weight * f64::from(*gradient)) as f32;
            for (row, gradient) in
                all.loss.gradient.chunks_mut(self.outputs).zip(loss.gradient.chunks(columns.len()))
            {
                for (out, gradient) in row[columns.clone()].iter_mut().zip(gradient) {
                    *out = weighted(gradient);
                }
            }
            if !by_threshold.is_empty() {
                all.by_threshold = by_threshold.iter().map(weighted).collect();
            }
        }
        all
    }

    /// Loss of the first task's outputs for all rows.
    pub(super) fn full_loss(&self, outputs: &[f32], thresholds: &[f32]) -> f64 {
        let task = &self.tasks[0];
        let ranges: Vec<IntervalTarget> =
            (0..task.ranges.len()).filter_map(|row| task.ranged(row, row, 1.0)).collect();
        task.loss(outputs, (&task.soft.all(), &task.years, &ranges), thresholds).loss.value
    }
}

impl TaskTargets {
    fn new(
        rows: usize,
        labels: &Labels<'_>,
        options: &MlpOptions,
        (mean, deviation): (f32, f32),
    ) -> Self {
        let unknown = WeightedTarget { value: 0.0, weight: 0.0 };
        let (loss, soft_width) = match (labels.targets.kind(), options.age_loss) {
            (TargetKind::Classes { count }, _) => (TaskLoss::Classes { count }, count),
            (TargetKind::Regression, loss) => (
                TaskLoss::Years(loss),
                match loss {
                    AgeLoss::Distribution { .. } => YEARS,
                    AgeLoss::Ordinal => YEARS - 1,
                    AgeLoss::L1 | AgeLoss::L2 => 0,
                },
            ),
        };
        let mut soft = SoftTargets::new(rows, soft_width);
        let (mut years, mut ranges) = (Vec::new(), Vec::new());
        match labels.targets {
            Targets::Classes { indices, .. } => {
                for (&row, &index) in labels.positions.iter().zip(indices) {
                    soft.set(row, index as u32, |to| to[index] = labels.class_weights[index]);
                }
            }
            Targets::Regression(ages) => {
                years = vec![unknown; rows];
                if ages.iter().any(|age| age.is_range()) {
                    ranges = vec![None; rows];
                }
                for (&row, &target) in labels.positions.iter().zip(ages) {
                    if target.is_range() {
                        let scaled = |years: f32| match options.age_loss {
                            AgeLoss::L1 | AgeLoss::L2 => (years - mean) / deviation,
                            AgeLoss::Distribution { .. } | AgeLoss::Ordinal => years,
                        };
                        ranges[row] = Some((scaled(target.low()), scaled(target.high())));
                    }
                    // Of a range the ordinal loss knows that the person is older than its start.
                    let age = target.low();
                    if target.is_range() && options.age_loss != AgeLoss::Ordinal {
                        continue;
                    }
                    years[row] = WeightedTarget::certain(match options.age_loss {
                        AgeLoss::Distribution { .. } | AgeLoss::Ordinal => age,
                        AgeLoss::L1 | AgeLoss::L2 => (age - mean) / deviation,
                    });
                    soft.set(row, age.to_bits(), |to| match options.age_loss {
                        AgeLoss::Distribution { sigma, growth, .. } => {
                            age_distribution(age, sigma + growth * age.max(0.0), to);
                        }
                        AgeLoss::Ordinal => write_levels(age, to),
                        AgeLoss::L1 | AgeLoss::L2 => {}
                    });
                }
            }
        }
        Self { loss, weight: labels.weight, soft, years, ranges }
    }

    fn outputs(&self) -> usize {
        match self.loss {
            TaskLoss::Classes { count } => count,
            TaskLoss::Years(loss) => loss.outputs(),
        }
    }

    fn mixed(&self, pairs: &[(usize, usize, f32)]) -> TaskBatch {
        let mut batch = TaskBatch { soft: Vec::new(), years: Vec::new(), ranges: Vec::new() };
        let mix = |lambda: f32, one: f32, other: f32| lambda * one + (1.0 - lambda) * other;
        for (row, &(one, other, lambda)) in pairs.iter().enumerate() {
            batch.ranges.extend(self.ranged(one, row, lambda));
            batch.ranges.extend(self.ranged(other, row, 1.0 - lambda));
            let soft = self.soft.row(one).iter().zip(self.soft.row(other));
            batch.soft.extend(soft.map(|(a, b)| mix(lambda, *a, *b)));
            if !self.years.is_empty() {
                let (one, other) = (self.years[one], self.years[other]);
                batch.years.push(match (one.weight > 0.0, other.weight > 0.0) {
                    (true, true) => WeightedTarget::certain(mix(lambda, one.value, other.value)),
                    (true, false) => WeightedTarget { weight: lambda, ..one },
                    (false, true) => WeightedTarget { weight: 1.0 - lambda, ..other },
                    (false, false) => one,
                });
            }
        }
        batch
    }

    /// The interval target of a row of a batch, where its label is a range of positive weight.
    fn ranged(&self, index: usize, row: usize, weight: f32) -> Option<IntervalTarget> {
        let (low, high) = self.ranges.get(index).copied().flatten()?;
        (weight > 0.0).then_some(IntervalTarget { row, low, high, weight })
    }

    fn loss(
        &self,
        outputs: &[f32],
        (soft, years, ranges): RowTargets<'_>,
        thresholds: &[f32],
    ) -> BatchLoss {
        let years = (years, ranges);
        let loss = match self.loss {
            TaskLoss::Classes { count } => cross_entropy(outputs, soft, count),
            TaskLoss::Years(AgeLoss::Distribution { l1, .. }) => {
                label_distribution(outputs, soft, years, l1)
            }
            TaskLoss::Years(AgeLoss::Ordinal) => {
                let (loss, by_threshold) = ordinal(outputs, thresholds, soft, years);
                return BatchLoss { loss, by_threshold };
            }
            TaskLoss::Years(AgeLoss::L1) => absolute(outputs, years),
            TaskLoss::Years(AgeLoss::L2) => squared(outputs, years),
        };
        BatchLoss { loss, by_threshold: Vec::new() }
    }
}

/// Whether a person is older than each year, where that is known: 0 for the years of a range that
/// starts at this age.
fn write_levels(age: f32, levels: &mut [f32]) {
    for (year, level) in levels.iter_mut().enumerate() {
        *level = f32::from(age > year as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::{EncodedTargets, Labels};
    use crate::mlp::{AgeLoss, MlpOptions};
    use facefold_core::{AgeTarget, Targets};

    /// A mixed row has the share-weighted sum of the losses of its two rows, whichever they are.
    #[test]
    fn mixed_ranges_have_the_weighted_loss_of_their_rows() {
        let range = |low, high| AgeTarget::range(low, high).unwrap();
        let ages = vec![AgeTarget::exact(30.0), range(20.0, 29.0), range(60.0, 116.0)];
        let targets = Targets::Regression(ages);
        let labels = Labels {
            targets: &targets,
            positions: vec![0, 1, 2],
            class_weights: Vec::new(),
            weight: 1.0,
        };
        let distribution = AgeLoss::Distribution { sigma: 2.0, growth: 0.0, l1: 0.0 };
        for age_loss in [distribution, AgeLoss::Ordinal, AgeLoss::L1] {
            let options = MlpOptions { age_loss, ..MlpOptions::default() };
            let tasks =
                EncodedTargets::new(3, std::slice::from_ref(&labels), &options, |_| (40.0, 20.0));
            let outputs: Vec<f32> = (0..tasks.outputs()).map(|at| (at as f32).sin()).collect();
            let thresholds: Vec<f32> = (0..116_u8).map(|at| 3.0 - f32::from(at) / 20.0).collect();
            let loss = |one, other, lambda| {
                tasks.loss(&outputs, &tasks.mixed(&[(one, other, lambda)]), &thresholds).loss.value
            };
            for (one, other) in [(0, 1), (1, 0), (1, 2), (2, 2)] {
                let expected = 0.3 * loss(one, one, 1.0) + 0.7 * loss(other, other, 1.0);
                let mixed = loss(one, other, 0.3);
                assert!((mixed - expected).abs() < 1e-4, "{age_loss:?} {one} {other}: {mixed}");
            }
        }
    }

    /// Two tasks together: each has the loss of its own columns, and rows without a label have no
    /// gradient there.
    #[test]
    fn each_task_has_the_loss_of_its_own_columns() {
        let (classes, years) = (
            Targets::Classes { indices: vec![1, 0], count: 2 },
            Targets::exact_years(vec![30.0, 50.0, 10.0]),
        );
        let options = MlpOptions { age_loss: AgeLoss::L1, ..MlpOptions::default() };
        let first = || Labels {
            targets: &classes,
            positions: vec![0, 2],
            class_weights: vec![1.0, 1.0],
            weight: 0.5,
        };
        let second = Labels {
            targets: &years,
            positions: vec![0, 1, 2],
            class_weights: Vec::new(),
            weight: 2.0,
        };
        let pairs = [(0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0)];
        let alone = EncodedTargets::new(3, &[first()], &options, |_| (0.0, 1.0));
        let both = EncodedTargets::new(3, &[first(), second], &options, |_| (30.0, 20.0));
        assert_eq!((alone.outputs(), both.outputs()), (2, 3));
        let own = [0.3, -0.2, 7.0, 8.0, 1.0, 0.5];
        let all = [0.3, -0.2, 0.1, 7.0, 8.0, 0.2, 1.0, 0.5, -0.7];
        let one = alone.loss(&own, &alone.mixed(&pairs), &[]).loss;
        let joint = both.loss(&all, &both.mixed(&pairs), &[]).loss;
        for (one, joint) in one.gradient.chunks(2).zip(joint.gradient.chunks(3)) {
            assert_eq!(joint[..2], [one[0] * 0.5, one[1] * 0.5]);
        }
        assert_eq!(one.gradient[2..4], [0.0, 0.0]);
        // Standardised years are 0, 1 and -1; the errors 0.1, -0.8 and 0.3.
        let expected = 0.5 * one.value + 2.0 * (0.1 + 0.8 + 0.3) / 3.0;
        assert!((joint.value - expected).abs() < 1e-6, "{}", joint.value);
        assert_eq!(both.full_loss(&own[..0], &[]), 0.0);
    }
}
