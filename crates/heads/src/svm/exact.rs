//! Fits classifiers on a Gram matrix at every cost and gamma, and tries them on validation rows.

use facefold_core::{HeadError, rng};
use facefold_kernels::{Matrix, MatrixMut};
use rand::seq::SliceRandom;

use super::classifiers::{DualCoefficients, add_biases};
use super::gram::Products;
use super::kernel::KernelFunction;
use super::options::{Kernel, SvmOptions};
use super::solver::{DualProblem, Solution, TOLERANCE, solve};
use super::subproblems::{Subproblem, Subproblems};
use crate::group_folds::{count_subjects, stratified_group_folds};
use crate::state_dict::multiplier;

/// Folds of the training rows for out-of-fold decisions, as many as in LIBSVM.
const FOLDS: usize = 5;

/// One cost and gamma of the grid, its classifiers, and their decisions on the validation rows.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) cost: f64,
    pub(super) gamma: f64,
    pub(super) duals: Vec<DualCoefficients>,
    /// Validation rows x classifiers, row by row.
    pub(super) decisions: Vec<f32>,
    /// Binary classifiers whose fit was stopped before their optimum.
    pub(super) unfinished: usize,
    /// How often all rows were read, where there are too many to begin with all of them.
    pub(super) passes: Option<usize>,
}

impl Trial {
    /// Where in the grid it stands.
    pub(super) fn name(&self, kernel: Kernel) -> String {
        match kernel {
            Kernel::Linear => format!("C {}", self.cost),
            Kernel::Gaussian | Kernel::Polynomial => {
                format!("C {} gamma {}", self.cost, self.gamma)
            }
        }
    }
}

/// What is fitted on what.
#[derive(Debug)]
pub(super) struct Exact<'a> {
    pub(super) products: Products<'a>,
    /// The row among the products of each training row.
    pub(super) training: &'a [usize],
    /// The subject of each training row.
    pub(super) subjects: &'a [usize],
    /// The row among the products of each validation row.
    pub(super) validation: &'a [usize],
    pub(super) subproblems: &'a Subproblems,
    pub(super) options: &'a SvmOptions,
    /// What a gamma of 1 is for rows scaled like these.
    pub(super) unit_gamma: f64,
}

impl Exact<'_> {
    /// The kernel at a gamma.
    pub(super) fn function(&self, gamma: f64) -> KernelFunction {
        KernelFunction::new(self.options, gamma * self.unit_gamma)
    }

    /// The members of a subproblem, in the order of their rows among the products, and those rows.
    fn ordered(&self, subproblem: &Subproblem) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..subproblem.members.len()).collect();
        order.sort_by_key(|&at| self.training[subproblem.members[at]]);
        let rows = order.iter().map(|&at| self.training[subproblem.members[at]]).collect();
        (order, rows)
    }

    /// All classifiers at every cost of one gamma, in the order of the options' costs.
    pub(super) fn trials(&self, gamma: f64) -> Result<Vec<Trial>, HeadError> {
        let costs = &self.options.c;
        let trial = |&cost: &f64| Trial {
            cost,
            gamma,
            duals: Vec::new(),
            decisions: Vec::new(),
            unfinished: 0,
            passes: None,
        };
        let mut trials: Vec<Trial> = costs.iter().map(trial).collect();
        // From the lowest cost up, each start is near its end.
        let mut rising: Vec<usize> = (0..costs.len()).collect();
        rising.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let mut matrix = Vec::new();
        for subproblem in &self.subproblems.problems {
            let (order, rows) = self.ordered(subproblem);
            self.products.among(&rows, self.function(gamma), &mut matrix);
            let targets = in_order(&subproblem.targets, &order);
            let mut last: Option<(f64, Solution)> = None;
            for &at in &rising {
                let cost = costs[at];
                let start = match &last {
                    Some((before, solution)) => solution.scaled(&targets, cost / before),
                    None => Solution::start(&targets),
                };
                let bounds = in_order(&subproblem.bounds(cost), &order);
                let epsilon = subproblem.epsilon.unwrap_or(0.0);
                let problem =
                    DualProblem { kernel: &matrix, targets: &targets, bounds: &bounds, epsilon };
                let solution = solve(problem, start);
                let trial = &mut trials[at];
                trial.unfinished += usize::from(solution.violation >= TOLERANCE);
                trial.duals.push(self.dual(subproblem, &order, &solution));
                last = Some((cost, solution));
            }
        }
        self.decide(gamma, &mut trials)?;
        Ok(trials)
    }

    fn dual(
        &self,
        subproblem: &Subproblem,
        order: &[usize],
        solution: &Solution,
    ) -> DualCoefficients {
        let mut coefficients = vec![0.0; self.training.len()];
        for (&at, &value) in order.iter().zip(&solution.coefficients) {
            coefficients[subproblem.members[at]] = value as f32;
        }
        DualCoefficients { coefficients, bias: solution.bias as f32 }
    }

    /// The decisions of trials at one gamma on the validation rows.
    fn decide(&self, gamma: f64, trials: &mut [Trial]) -> Result<(), HeadError> {
        let classifiers = self.subproblems.problems.len();
        let width = classifiers * trials.len();
        if width == 0 {
            return Ok(());
        }
        let mut coefficients = vec![0.0; self.training.len() * width];
        let duals = trials.iter().flat_map(|trial| &trial.duals);
        for (dual, place) in duals.enumerate() {
            for (row, &value) in place.coefficients.iter().enumerate() {
                coefficients[row * width + dual] = value;
            }
        }
        let mut multiplier = multiplier()?;
        let coefficients = multiplier.pack(Matrix::new(&coefficients, self.training.len(), width));
        for rows in self.validation.chunks(256) {
            let similar = self.products.between(rows, self.training, self.function(gamma));
            let mut sums = vec![0.0; rows.len() * width];
            multiplier.multiply_panels(
                Matrix::new(&similar, rows.len(), self.training.len()),
                &coefficients,
                0..width,
                MatrixMut::new(&mut sums, rows.len(), width),
            );
            for row in sums.chunks_exact(width) {
                for (trial, part) in trials.iter_mut().zip(row.chunks_exact(classifiers)) {
                    trial.decisions.extend_from_slice(part);
                }
            }
        }
        for trial in trials {
            let biases: Vec<f32> = trial.duals.iter().map(|dual| dual.bias).collect();
            add_biases(&mut trial.decisions, &biases);
        }
        Ok(())
    }

    /// Out-of-fold decisions on the members of a subproblem: each by a classifier that saw no row of
    /// its subject. `None` where a sign has rows of one subject only.
    pub(super) fn held_out(
        &self,
        subproblem: &Subproblem,
        trial: &Trial,
        seed: u64,
    ) -> Option<Vec<f64>> {
        let (order, rows) = self.ordered(subproblem);
        let targets = in_order(&subproblem.targets, &order);
        let subjects: Vec<usize> =
            order.iter().map(|&at| self.subjects[subproblem.members[at]]).collect();
        let signs: Vec<usize> = targets.iter().map(|&target| usize::from(target > 0.0)).collect();
        for sign in 0..2 {
            let own = subjects.iter().zip(&signs).filter(|(_, other)| **other == sign);
            if count_subjects(own.map(|(&subject, _)| subject)) < 2 {
                return None;
            }
        }
        let mut by_target: Vec<usize> = (0..targets.len()).collect();
        by_target.shuffle(&mut rng::seeded(seed, "held-out parts for calibration"));
        by_target.sort_by(|&a, &b| targets[a].total_cmp(&targets[b]));
        let fold_of = stratified_group_folds(&by_target, &subjects, &signs, FOLDS);
        let mut matrix = Vec::new();
        self.products.among(&rows, self.function(trial.gamma), &mut matrix);
        let bounds = in_order(&subproblem.bounds(trial.cost), &order);
        let mut decisions = vec![0.0; targets.len()];
        for fold in 0..FOLDS {
            // A coefficient that cannot leave 0 is a row that is not there.
            let mut kept = bounds.clone();
            let out: Vec<usize> = (0..targets.len()).filter(|&at| fold_of[at] == fold).collect();
            if out.is_empty() {
                continue;
            }
            for &at in &out {
                kept[at] = (0.0, 0.0);
            }
            let problem =
                DualProblem { kernel: &matrix, targets: &targets, bounds: &kept, epsilon: 0.0 };
            let solution = solve(problem, Solution::start(&targets));
            for at in out {
                // The residual is target - sum.
                let sum = f64::from(targets[at]) - f64::from(solution.residuals[at]);
                decisions[order[at]] = sum + solution.bias;
            }
        }
        Some(decisions)
    }
}

/// The values at some places.
pub(super) fn in_order<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&at| values[at]).collect()
}
