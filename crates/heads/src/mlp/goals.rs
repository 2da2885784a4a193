//! What the network's outputs should become: the targets of one task, or of several at once.

use facefold_core::{TargetKind, Targets};

use super::{MlpOptions, YearsLoss};
use crate::linear::mean_and_deviation;
use crate::loss::{
    Known, Loss, YEARS, absolute, cross_entropy, label_distribution, ordinal, squared,
    year_distribution,
};

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
            Targets::Years(years) => mean_and_deviation(years),
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
            return goal.loss(outputs, &batch.0[0].soft, &batch.0[0].years, thresholds);
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
            let BatchLoss { loss, by_threshold } =
                goal.loss(&own, &batch.soft, &batch.years, thresholds);
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
        goal.loss(outputs, &goal.soft, &goal.years, thresholds).loss.value
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
        let mut years = Vec::new();
        match labels.targets {
            Targets::Classes { indices, .. } => {
                for (&row, &index) in labels.positions.iter().zip(indices) {
                    soft[row * soft_width + index] = labels.class_weights[index];
                }
            }
            Targets::Years(ages) => {
                years = vec![unknown; rows];
                for (&row, &age) in labels.positions.iter().zip(ages) {
                    let wanted = &mut soft[row * soft_width..][..soft_width];
                    years[row] = Known::surely(age);
                    match options.years_loss {
                        YearsLoss::Distribution { sigma, growth, .. } => {
                            year_distribution(age, sigma + growth * age.max(0.0), wanted);
                        }
                        YearsLoss::Ordinal => {
                            for (year, level) in wanted.iter_mut().enumerate() {
                                *level = f32::from(age > year as f32);
                            }
                        }
                        YearsLoss::L1 | YearsLoss::L2 => {
                            years[row].value = (age - mean) / deviation;
                        }
                    }
                }
            }
        }
        Self { loss, weight: labels.weight, soft, soft_width, years }
    }

    fn outputs(&self) -> usize {
        match self.loss {
            GoalLoss::Classes { count } => count,
            GoalLoss::Years(loss) => loss.outputs(),
        }
    }

    fn mixed(&self, pairs: &[(usize, usize, f32)]) -> BatchGoal {
        let mut batch = BatchGoal { soft: Vec::new(), years: Vec::new() };
        let mix = |share: f32, one: f32, other: f32| share * one + (1.0 - share) * other;
        for &(one, other, share) in pairs {
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

    fn loss(
        &self,
        outputs: &[f32],
        soft: &[f32],
        years: &[Known],
        thresholds: &[f32],
    ) -> BatchLoss {
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

#[cfg(test)]
mod tests {
    use super::{Goals, Labels};
    use crate::mlp::{MlpOptions, YearsLoss};
    use facefold_core::Targets;

    /// Two tasks beside each other: each has the loss of its own columns, and rows without a label
    /// pull at none of theirs.
    #[test]
    fn tasks_are_told_apart_by_their_columns() {
        let (classes, years) = (
            Targets::Classes { indices: vec![1, 0], count: 2 },
            Targets::Years(vec![30.0, 50.0, 10.0]),
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
