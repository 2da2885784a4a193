//! What the network's outputs should become: the targets of one task, or of several at once.

use facefold_core::{TargetKind, Targets};

use super::{MlpOptions, YearsLoss};
use crate::linear::mean_and_deviation;
use crate::loss::{
    Known, Loss, Ranged, YEARS, absolute, cross_entropy, label_distribution, ordinal, squared,
    year_distribution,
};
use crate::years::midpoints;

/// One task's labels for some of a set's rows.
pub(super) struct Labels<'a> {
    /// What is right.
    pub(super) targets: &'a Targets,
    /// The row of the set that each target belongs to.
    pub(super) positions: Vec<usize>,
    /// One weight a class; empty for years.
    pub(super) class_weights: Vec<f32>,
    /// What the task's loss counts beside the others'.
    pub(super) weight: f64,
}

/// What the outputs of all of a set's rows should become, task by task.
pub(super) struct Goals {
    goals: Vec<Goal>,
    outputs: usize,
}

/// What the outputs of one task should become.
struct Goal {
    loss: GoalLoss,
    weight: f64,
    /// Wanted shares or levels, rows x `soft_width`; empty for a loss of one number.
    soft: Vec<f32>,
    soft_width: usize,
    /// Ages in years, standardised for a loss of one number; empty for classes.
    years: Vec<Known>,
    /// Both ends of the ages that are known as ranges, in the unit of `years`; empty where none is.
    ranges: Vec<Option<(f32, f32)>>,
}

#[derive(Clone, Copy)]
enum GoalLoss {
    Classes { count: usize },
    Years(YearsLoss),
}

/// The goals of one batch, task by task.
pub(super) struct BatchGoals(Vec<BatchGoal>);

struct BatchGoal {
    soft: Vec<f32>,
    years: Vec<Known>,
    ranges: Vec<Ranged>,
}

/// Wanted shares or levels, ages, and age ranges of some rows.
type KnownRows<'a> = (&'a [f32], &'a [Known], &'a [Ranged]);

impl BatchGoal {
    fn known(&self) -> KnownRows<'_> {
        (&self.soft, &self.years, &self.ranges)
    }
}

/// A batch's loss, and its derivative by the thresholds of the ordinal loss (empty without one).
pub(super) struct BatchLoss {
    pub(super) loss: Loss,
    pub(super) by_threshold: Vec<f32>,
}

impl Goals {
    /// Goals of a set of `rows` rows. `scale` gives the mean and standard deviation of the years
    /// that each task was trained on.
    pub(super) fn new(
        rows: usize,
        labels: &[Labels<'_>],
        options: &MlpOptions,
        scale: impl Fn(&Labels<'_>) -> (f32, f32),
    ) -> Self {
        let goals: Vec<Goal> =
            labels.iter().map(|task| Goal::new(rows, task, options, scale(task))).collect();
        let outputs = goals.iter().map(Goal::outputs).sum();
        Self { goals, outputs }
    }

    /// Mean and standard deviation of years; (0, 1) for classes.
    pub(super) fn scale(targets: &Targets) -> (f32, f32) {
        match targets {
            Targets::Classes { .. } => (0.0, 1.0),
            Targets::Years(ages) => mean_and_deviation(&midpoints(ages)),
        }
    }

    /// Outputs of the network, all tasks together; the first task's come first.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Goals of some rows, each mixed with another by the share that it keeps.
    pub(super) fn mixed(&self, pairs: &[(usize, usize, f32)]) -> BatchGoals {
        BatchGoals(self.goals.iter().map(|goal| goal.mixed(pairs)).collect())
    }

    /// Loss of outputs (rows x outputs) against a batch's goals.
    pub(super) fn loss(
        &self,
        outputs: &[f32],
        batch: &BatchGoals,
        thresholds: &[f32],
    ) -> BatchLoss {
        if let [goal] = self.goals.as_slice() {
            return goal.loss(outputs, batch.0[0].known(), thresholds);
        }
        let mut all = BatchLoss {
            loss: Loss { value: 0.0, gradient: vec![0.0; outputs.len()] },
            by_threshold: Vec::new(),
        };
        let mut first = 0;
        for (goal, batch) in self.goals.iter().zip(&batch.0) {
            let columns = first..first + goal.outputs();
            first = columns.end;
            let own: Vec<f32> = outputs
                .chunks(self.outputs)
                .flat_map(|row| row[columns.clone()].iter().copied())
                .collect();
            let BatchLoss { loss, by_threshold } = goal.loss(&own, batch.known(), thresholds);
            all.loss.value += goal.weight * loss.value;
            let weighted = |gradient: &f32| (goal.weight * f64::from(*gradient)) as f32;
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
        let goal = &self.goals[0];
        let ranges: Vec<Ranged> =
            (0..goal.ranges.len()).filter_map(|row| goal.ranged(row, row, 1.0)).collect();
        goal.loss(outputs, (&goal.soft, &goal.years, &ranges), thresholds).loss.value
    }
}

impl Goal {
    fn new(
        rows: usize,
        labels: &Labels<'_>,
        options: &MlpOptions,
        (mean, deviation): (f32, f32),
    ) -> Self {
        let unknown = Known { value: 0.0, weight: 0.0 };
        let (loss, soft_width) = match (labels.targets.kind(), options.years_loss) {
            (TargetKind::Classes { count }, _) => (GoalLoss::Classes { count }, count),
            (TargetKind::Years, loss) => (
                GoalLoss::Years(loss),
                match loss {
                    YearsLoss::Distribution { .. } => YEARS,
                    YearsLoss::Ordinal => YEARS - 1,
                    YearsLoss::L1 | YearsLoss::L2 => 0,
                },
            ),
        };
        let mut soft = vec![0.0; rows * soft_width];
        let (mut years, mut ranges) = (Vec::new(), Vec::new());
        match labels.targets {
            Targets::Classes { indices, .. } => {
                for (&row, &index) in labels.positions.iter().zip(indices) {
                    soft[row * soft_width + index] = labels.class_weights[index];
                }
            }
            Targets::Years(ages) => {
                years = vec![unknown; rows];
                if ages.iter().any(|age| age.is_range()) {
                    ranges = vec![None; rows];
                }
                for (&row, &target) in labels.positions.iter().zip(ages) {
                    let wanted = &mut soft[row * soft_width..][..soft_width];
                    let Some(age) = target.exact_years() else {
                        let scaled = |years: f32| match options.years_loss {
                            YearsLoss::L1 | YearsLoss::L2 => (years - mean) / deviation,
                            YearsLoss::Distribution { .. } | YearsLoss::Ordinal => years,
                        };
                        ranges[row] = Some((scaled(target.low()), scaled(target.high())));
                        if let YearsLoss::Ordinal = options.years_loss {
                            years[row] = Known::surely(target.low());
                            write_levels(target.low(), wanted);
                        }
                        continue;
                    };
                    years[row] = Known::surely(age);
                    match options.years_loss {
                        YearsLoss::Distribution { sigma, growth, .. } => {
                            year_distribution(age, sigma + growth * age.max(0.0), wanted);
                        }
                        YearsLoss::Ordinal => write_levels(age, wanted),
                        YearsLoss::L1 | YearsLoss::L2 => {
                            years[row].value = (age - mean) / deviation;
                        }
                    }
                }
            }
        }
        Self { loss, weight: labels.weight, soft, soft_width, years, ranges }
    }

    fn outputs(&self) -> usize {
        match self.loss {
            GoalLoss::Classes { count } => count,
            GoalLoss::Years(loss) => loss.outputs(),
        }
    }

    fn mixed(&self, pairs: &[(usize, usize, f32)]) -> BatchGoal {
        let mut batch = BatchGoal { soft: Vec::new(), years: Vec::new(), ranges: Vec::new() };
        let mix = |share: f32, one: f32, other: f32| share * one + (1.0 - share) * other;
        for (row, &(one, other, share)) in pairs.iter().enumerate() {
            batch.ranges.extend(self.ranged(one, row, share));
            batch.ranges.extend(self.ranged(other, row, 1.0 - share));
            if self.soft_width > 0 {
                let row = |index: usize| &self.soft[index * self.soft_width..][..self.soft_width];
                batch.soft.extend(row(one).iter().zip(row(other)).map(|(a, b)| mix(share, *a, *b)));
            }
            if !self.years.is_empty() {
                let (one, other) = (self.years[one], self.years[other]);
                batch.years.push(match (one.weight > 0.0, other.weight > 0.0) {
                    (true, true) => Known::surely(mix(share, one.value, other.value)),
                    (true, false) => Known { weight: share, ..one },
                    (false, true) => Known { weight: 1.0 - share, ..other },
                    (false, false) => one,
                });
            }
        }
        batch
    }

    /// What the row of a batch knows by this range, where it is one and counts at all.
    fn ranged(&self, index: usize, row: usize, weight: f32) -> Option<Ranged> {
        let (low, high) = self.ranges.get(index).copied().flatten()?;
        (weight > 0.0).then_some(Ranged { row, low, high, weight })
    }

    fn loss(
        &self,
        outputs: &[f32],
        (soft, years, ranges): KnownRows<'_>,
        thresholds: &[f32],
    ) -> BatchLoss {
        let years = (years, ranges);
        let loss = match self.loss {
            GoalLoss::Classes { count } => cross_entropy(outputs, soft, count),
            GoalLoss::Years(YearsLoss::Distribution { l1, .. }) => {
                label_distribution(outputs, soft, years, l1)
            }
            GoalLoss::Years(YearsLoss::Ordinal) => {
                let (loss, by_threshold) = ordinal(outputs, thresholds, soft, years);
                return BatchLoss { loss, by_threshold };
            }
            GoalLoss::Years(YearsLoss::L1) => absolute(outputs, years),
            GoalLoss::Years(YearsLoss::L2) => squared(outputs, years),
        };
        BatchLoss { loss, by_threshold: Vec::new() }
    }
}

/// Whether somebody is older than each year, where that is known: 0 for the years of a range that
/// starts at this age.
fn write_levels(age: f32, levels: &mut [f32]) {
    for (year, level) in levels.iter_mut().enumerate() {
        *level = f32::from(age > year as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::{Goals, Labels};
    use crate::mlp::{MlpOptions, YearsLoss};
    use facefold_core::{AgeTarget, Targets};

    /// A mixed row has the share-weighted sum of the losses of its two rows, whichever they are.
    #[test]
    fn mixed_ranges_have_the_mean_loss_of_their_rows() {
        let range = |low, high| AgeTarget::range(low, high).unwrap();
        let ages = vec![AgeTarget::exact(30.0), range(20.0, 29.0), range(60.0, 116.0)];
        let targets = Targets::Years(ages);
        let labels = Labels {
            targets: &targets,
            positions: vec![0, 1, 2],
            class_weights: Vec::new(),
            weight: 1.0,
        };
        let distribution = YearsLoss::Distribution { sigma: 2.0, growth: 0.0, l1: 0.0 };
        for years_loss in [distribution, YearsLoss::Ordinal, YearsLoss::L1] {
            let options = MlpOptions { years_loss, ..MlpOptions::default() };
            let goals = Goals::new(3, std::slice::from_ref(&labels), &options, |_| (40.0, 20.0));
            let outputs: Vec<f32> = (0..goals.outputs()).map(|at| (at as f32).sin()).collect();
            let thresholds: Vec<f32> = (0..116_u8).map(|at| 3.0 - f32::from(at) / 20.0).collect();
            let loss = |one, other, share| {
                goals.loss(&outputs, &goals.mixed(&[(one, other, share)]), &thresholds).loss.value
            };
            for (one, other) in [(0, 1), (1, 0), (1, 2), (2, 2)] {
                let expected = 0.3 * loss(one, one, 1.0) + 0.7 * loss(other, other, 1.0);
                let mixed = loss(one, other, 0.3);
                assert!((mixed - expected).abs() < 1e-4, "{years_loss:?} {one} {other}: {mixed}");
            }
        }
    }

    /// Two tasks beside each other: each has the loss of its own columns, and rows without a label
    /// pull at none of theirs.
    #[test]
    fn tasks_are_told_apart_by_their_columns() {
        let (classes, years) = (
            Targets::Classes { indices: vec![1, 0], count: 2 },
            Targets::exact_years(vec![30.0, 50.0, 10.0]),
        );
        let options = MlpOptions { years_loss: YearsLoss::L1, ..MlpOptions::default() };
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
        let alone = Goals::new(3, &[first()], &options, |_| (0.0, 1.0));
        let both = Goals::new(3, &[first(), second], &options, |_| (30.0, 20.0));
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
