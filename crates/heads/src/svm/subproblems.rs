//! The binary subproblems of a multi-class support vector machine, or its one regression problem.

use facefold_core::{HeadError, Targets};

use super::options::MultiClass;
use crate::linear::mean_and_deviation;
use crate::options::ClassWeights;
use crate::years::midpoints;

/// A pair of classes, or a class against the rest: positive decisions are for `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClassPair {
    pub(super) first: usize,
    /// `None`: all other classes.
    pub(super) second: Option<usize>,
}

impl ClassPair {
    /// The sign of a row of the class, true for positive; `None` if the row takes no part.
    pub(super) fn sign(self, class: usize) -> Option<bool> {
        match self.second {
            _ if class == self.first => Some(true),
            Some(second) if class != second => None,
            _ => Some(false),
        }
    }
}

/// The class pairs of a strategy (one-vs-one or one-vs-rest) among the classes that have rows.
pub(super) fn class_pairs(multi_class: MultiClass, present: &[usize]) -> Vec<ClassPair> {
    let pairs = || {
        present.iter().enumerate().flat_map(|(at, &first)| {
            present[at + 1..].iter().map(move |&second| ClassPair { first, second: Some(second) })
        })
    };
    match multi_class {
        MultiClass::OneVsRest if present.len() > 2 => {
            present.iter().map(|&first| ClassPair { first, second: None }).collect()
        }
        MultiClass::OneVsOne | MultiClass::OneVsRest => pairs().collect(),
    }
}

/// The training problem of one classifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subproblem {
    /// Positions among the training rows.
    pub(super) members: Vec<usize>,
    /// 1 or -1 for classes, the standardised age for regression.
    pub(super) targets: Vec<f32>,
    /// Sample weights, which multiply the cost.
    pub(super) weights: Vec<f32>,
    /// Half-width of the epsilon-insensitive tube; `None` for classes.
    pub(super) epsilon: Option<f32>,
}

impl Subproblem {
    /// Lowest and highest coefficient of each row at a cost.
    pub(super) fn bounds(&self, cost: f64) -> Vec<(f64, f64)> {
        let rows = self.targets.iter().zip(&self.weights);
        rows.map(|(&target, &weight)| {
            let most = cost * f64::from(weight);
            match self.epsilon {
                Some(_) => (-most, most),
                None if target > 0.0 => (0.0, most),
                None => (-most, 0.0),
            }
        })
        .collect()
    }
}

/// The subproblems of a head, and what turns their decisions into predictions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subproblems {
    pub(super) problems: Vec<Subproblem>,
    /// One a subproblem; empty for regression.
    pub(super) class_pairs: Vec<ClassPair>,
    /// Whether each class has training rows; empty for regression.
    pub(super) present: Vec<bool>,
    /// Mean and standard deviation of the training years.
    pub(super) years: (f32, f32),
}

impl Subproblems {
    /// The subproblems of these targets.
    pub(super) fn new(
        targets: &Targets,
        multi_class: MultiClass,
        class_weights: ClassWeights,
        epsilon: f64,
    ) -> Result<Self, HeadError> {
        match targets {
            Targets::Regression(ages) => {
                let all = midpoints(ages);
                if let Some(year) = all.iter().find(|year| !year.is_finite()) {
                    return Err(HeadError::Untrainable(format!("an age of {year} years")));
                }
                let years = mean_and_deviation(&all);
                let subproblem = Subproblem {
                    members: (0..all.len()).collect(),
                    targets: all.iter().map(|year| (year - years.0) / years.1).collect(),
                    weights: vec![1.0; all.len()],
                    epsilon: Some(epsilon as f32),
                };
                let (class_pairs, present) = (Vec::new(), Vec::new());
                Ok(Self { problems: vec![subproblem], class_pairs, present, years })
            }
            Targets::Classes { indices, count } => {
                let weights = class_weights.weights(indices, *count);
                let mut present = vec![false; *count];
                for &class in indices {
                    present[class] = true;
                }
                let class_pairs = class_pairs(multi_class, &present_classes(&present));
                let ask = |class_pair: &ClassPair| {
                    let mut subproblem = Subproblem {
                        members: Vec::new(),
                        targets: Vec::new(),
                        weights: Vec::new(),
                        epsilon: None,
                    };
                    for (position, &class) in indices.iter().enumerate() {
                        let Some(first) = class_pair.sign(class) else { continue };
                        subproblem.members.push(position);
                        subproblem.targets.push(if first { 1.0 } else { -1.0 });
                        subproblem.weights.push(weights[class]);
                    }
                    subproblem
                };
                let problems = class_pairs.iter().map(ask).collect();
                Ok(Self { problems, class_pairs, present, years: (0.0, 1.0) })
            }
        }
    }
}

/// The classes that have rows.
pub(super) fn present_classes(present: &[bool]) -> Vec<usize> {
    (0..present.len()).filter(|&class| present[class]).collect()
}

#[cfg(test)]
mod tests {
    use super::{ClassPair, Subproblems, class_pairs};
    use crate::options::ClassWeights;
    use crate::svm::options::MultiClass;
    use facefold_core::Targets;

    #[test]
    fn each_strategy_pairs_the_classes_that_have_rows() {
        let pair = |first, second| ClassPair { first, second: Some(second) };
        let one_vs_one = [pair(0, 2), pair(0, 3), pair(2, 3)];
        assert_eq!(class_pairs(MultiClass::OneVsOne, &[0, 2, 3]), one_vs_one);
        assert_eq!(class_pairs(MultiClass::OneVsRest, &[0, 2]), [pair(0, 2)]);
        assert_eq!(
            class_pairs(MultiClass::OneVsRest, &[0, 2, 3])[1],
            ClassPair { first: 2, second: None }
        );
        assert!(class_pairs(MultiClass::OneVsOne, &[1]).is_empty());
    }

    #[test]
    fn subproblems_have_their_rows_targets_and_weights() {
        let targets = Targets::Classes { indices: vec![2, 0, 2, 1, 2], count: 4 };
        let subproblems =
            Subproblems::new(&targets, MultiClass::OneVsOne, ClassWeights::Balanced, 0.1).unwrap();
        assert_eq!(subproblems.present, [true, true, true, false]);
        let last = &subproblems.problems[2];
        assert_eq!(subproblems.class_pairs[2], ClassPair { first: 1, second: Some(2) });
        assert_eq!(last.members, [0, 2, 3, 4]);
        assert_eq!(last.targets, [-1.0, -1.0, 1.0, -1.0]);
        assert_eq!(last.weights[2], 5.0 / 3.0);
        let bounds = last.bounds(3.0);
        assert!(bounds[2].0 == 0.0 && (bounds[2].1 - 5.0).abs() < 1e-6, "{bounds:?}");
        assert!(bounds[0].1 == 0.0 && bounds[0].0 < 0.0, "{bounds:?}");
    }
}
