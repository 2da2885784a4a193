//! What the machines of a head are asked: which classes each tells apart, or the years.

use facefold_core::{HeadError, Targets};

use super::options::Scheme;
use crate::linear::mean_and_deviation;
use crate::options::ClassWeights;
use crate::years::midpoints;

/// Two kinds of rows that a machine tells apart: positive decisions are for `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contest {
    pub(super) first: usize,
    /// `None`: all other classes.
    pub(super) second: Option<usize>,
}

impl Contest {
    /// Whether a row of the class is for the first side; `None` where it has no part.
    pub(super) fn side(self, class: usize) -> Option<bool> {
        match self.second {
            _ if class == self.first => Some(true),
            Some(second) if class != second => None,
            _ => Some(false),
        }
    }
}

/// The contests among the classes that have rows.
pub(super) fn contests(scheme: Scheme, present: &[usize]) -> Vec<Contest> {
    let pairs = || {
        present.iter().enumerate().flat_map(|(at, &first)| {
            present[at + 1..].iter().map(move |&second| Contest { first, second: Some(second) })
        })
    };
    match scheme {
        Scheme::OneVsRest if present.len() > 2 => {
            present.iter().map(|&first| Contest { first, second: None }).collect()
        }
        Scheme::OneVsOne | Scheme::OneVsRest => pairs().collect(),
    }
}

/// What one machine is to learn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// Positions among the training rows.
    pub(super) members: Vec<usize>,
    /// 1 or -1 for classes, standardised years else.
    pub(super) goals: Vec<f32>,
    /// What each row counts, times the cost.
    pub(super) weights: Vec<f32>,
    /// What goals may be missed by for nothing; `None` for classes.
    pub(super) epsilon: Option<f32>,
}

impl Question {
    /// Lowest and highest coefficient of each row at a cost.
    pub(super) fn bounds(&self, cost: f64) -> Vec<(f64, f64)> {
        let rows = self.goals.iter().zip(&self.weights);
        rows.map(|(&goal, &weight)| {
            let most = cost * f64::from(weight);
            match self.epsilon {
                Some(_) => (-most, most),
                None if goal > 0.0 => (0.0, most),
                None => (-most, 0.0),
            }
        })
        .collect()
    }
}

/// The questions to a head's machines, and what turns their decisions into answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Questions {
    pub(super) asked: Vec<Question>,
    /// One a question; empty for years.
    pub(super) contests: Vec<Contest>,
    /// Whether each class has training rows; empty for years.
    pub(super) told: Vec<bool>,
    /// Mean and standard deviation of the training years.
    pub(super) years: (f32, f32),
}

impl Questions {
    /// The questions that some targets pose.
    pub(super) fn new(
        targets: &Targets,
        scheme: Scheme,
        class_weights: ClassWeights,
        epsilon: f64,
    ) -> Result<Self, HeadError> {
        match targets {
            Targets::Years(ages) => {
                let all = midpoints(ages);
                if let Some(year) = all.iter().find(|year| !year.is_finite()) {
                    return Err(HeadError::Untrainable(format!("an age of {year} years")));
                }
                let years = mean_and_deviation(&all);
                let question = Question {
                    members: (0..all.len()).collect(),
                    goals: all.iter().map(|year| (year - years.0) / years.1).collect(),
                    weights: vec![1.0; all.len()],
                    epsilon: Some(epsilon as f32),
                };
                let (contests, told) = (Vec::new(), Vec::new());
                Ok(Self { asked: vec![question], contests, told, years })
            }
            Targets::Classes { indices, count } => {
                let weights = class_weights.weights(indices, *count);
                let mut told = vec![false; *count];
                for &class in indices {
                    told[class] = true;
                }
                let contests = contests(scheme, &present(&told));
                let ask = |contest: &Contest| {
                    let mut question = Question {
                        members: Vec::new(),
                        goals: Vec::new(),
                        weights: Vec::new(),
                        epsilon: None,
                    };
                    for (position, &class) in indices.iter().enumerate() {
                        let Some(first) = contest.side(class) else { continue };
                        question.members.push(position);
                        question.goals.push(if first { 1.0 } else { -1.0 });
                        question.weights.push(weights[class]);
                    }
                    question
                };
                let asked = contests.iter().map(ask).collect();
                Ok(Self { asked, contests, told, years: (0.0, 1.0) })
            }
        }
    }
}

/// The classes that have rows.
pub(super) fn present(told: &[bool]) -> Vec<usize> {
    (0..told.len()).filter(|&class| told[class]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Contest, Questions, contests};
    use crate::options::ClassWeights;
    use crate::svm::options::Scheme;
    use facefold_core::Targets;

    #[test]
    fn schemes_ask_about_the_classes_that_have_rows() {
        let pair = |first, second| Contest { first, second: Some(second) };
        let one_vs_one = [pair(0, 2), pair(0, 3), pair(2, 3)];
        assert_eq!(contests(Scheme::OneVsOne, &[0, 2, 3]), one_vs_one);
        assert_eq!(contests(Scheme::OneVsRest, &[0, 2]), [pair(0, 2)]);
        assert_eq!(contests(Scheme::OneVsRest, &[0, 2, 3])[1], Contest { first: 2, second: None });
        assert!(contests(Scheme::OneVsOne, &[1]).is_empty());
    }

    #[test]
    fn questions_hold_their_members_and_weights() {
        let targets = Targets::Classes { indices: vec![2, 0, 2, 1, 2], count: 4 };
        let questions =
            Questions::new(&targets, Scheme::OneVsOne, ClassWeights::Balanced, 0.1).unwrap();
        assert_eq!(questions.told, [true, true, true, false]);
        let last = &questions.asked[2];
        assert_eq!(questions.contests[2], Contest { first: 1, second: Some(2) });
        assert_eq!(last.members, [0, 2, 3, 4]);
        assert_eq!(last.goals, [-1.0, -1.0, 1.0, -1.0]);
        assert_eq!(last.weights[2], 5.0 / 3.0);
        let bounds = last.bounds(3.0);
        assert!(bounds[2].0 == 0.0 && (bounds[2].1 - 5.0).abs() < 1e-6, "{bounds:?}");
        assert!(bounds[0].1 == 0.0 && bounds[0].0 < 0.0, "{bounds:?}");
    }
}
