//! Fits machines on a Gram matrix at every cost and gamma, and tries them on validation rows.

use facefold_core::{HeadError, rng};
use facefold_engine::{Matrix, MatrixMut};
use rand::seq::SliceRandom;

use super::gram::Products;
use super::kernel::KernelFunction;
use super::machines::{Column, add_biases};
use super::options::{Kernel, SvmOptions};
use super::questions::{Question, Questions};
use super::solver::{Problem, Solution, TOLERANCE, solve};
use crate::parts::multiplier;

/// Parts of the training rows that are held out in turn for calibration, as in LIBSVM.
const PARTS: usize = 5;

/// One cost and gamma of the grid, its machines, and their decisions on the validation rows.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) cost: f64,
    pub(super) gamma: f64,
    pub(super) columns: Vec<Column>,
    /// Validation rows x machines, row by row.
    pub(super) decisions: Vec<f32>,
    /// Machines that were stopped before their optimum.
    pub(super) unfinished: usize,
}

impl Trial {
    /// Where in the grid it stands.
    pub(super) fn name(&self, kernel: Kernel) -> String {
        match kernel {
            Kernel::Linear => format!("cost {}", self.cost),
            Kernel::Gaussian | Kernel::Polynomial => {
                format!("cost {} gamma {}", self.cost, self.gamma)
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
    /// The row among the products of each validation row.
    pub(super) validation: &'a [usize],
    pub(super) questions: &'a Questions,
    pub(super) options: &'a SvmOptions,
    /// What a gamma of 1 is for rows scaled like these.
    pub(super) unit_gamma: f64,
}

impl Exact<'_> {
    /// The kernel at a gamma.
    pub(super) fn function(&self, gamma: f64) -> KernelFunction {
        KernelFunction::new(self.options, gamma * self.unit_gamma)
    }

    /// The members of a question, in the order of their rows among the products, and those rows.
    fn ordered(&self, question: &Question) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..question.members.len()).collect();
        order.sort_by_key(|&at| self.training[question.members[at]]);
        let rows = order.iter().map(|&at| self.training[question.members[at]]).collect();
        (order, rows)
    }

    /// All machines at every cost of one gamma, in the order of the options' costs.
    pub(super) fn trials(&self, gamma: f64) -> Result<Vec<Trial>, HeadError> {
        let costs = &self.options.cost;
        let trial = |&cost: &f64| Trial {
            cost,
            gamma,
            columns: Vec::new(),
            decisions: Vec::new(),
            unfinished: 0,
        };
        let mut trials: Vec<Trial> = costs.iter().map(trial).collect();
        // From the lowest cost up, each start is near its end.
        let mut rising: Vec<usize> = (0..costs.len()).collect();
        rising.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let mut matrix = Vec::new();
        for question in &self.questions.asked {
            let (order, rows) = self.ordered(question);
            self.products.among(&rows, self.function(gamma), &mut matrix);
            let goals = in_order(&question.goals, &order);
            let mut last: Option<(f64, Solution)> = None;
            for &at in &rising {
                let cost = costs[at];
                let start = match &last {
                    Some((before, solution)) => solution.scaled(&goals, cost / before),
                    None => Solution::start(&goals),
                };
                let bounds = in_order(&question.bounds(cost), &order);
                let epsilon = question.epsilon.unwrap_or(0.0);
                let problem = Problem { kernel: &matrix, goals: &goals, bounds: &bounds, epsilon };
                let solution = solve(problem, start);
                let trial = &mut trials[at];
                trial.unfinished += usize::from(solution.violation >= TOLERANCE);
                trial.columns.push(self.column(question, &order, &solution));
                last = Some((cost, solution));
            }
        }
        self.decide(gamma, &mut trials)?;
        Ok(trials)
    }

    fn column(&self, question: &Question, order: &[usize], solution: &Solution) -> Column {
        let mut coefficients = vec![0.0; self.training.len()];
        for (&at, &value) in order.iter().zip(&solution.coefficients) {
            coefficients[question.members[at]] = value as f32;
        }
        Column { coefficients, bias: solution.bias as f32 }
    }

    /// The decisions of trials at one gamma on the validation rows.
    fn decide(&self, gamma: f64, trials: &mut [Trial]) -> Result<(), HeadError> {
        let machines = self.questions.asked.len();
        let width = machines * trials.len();
        if width == 0 {
            return Ok(());
        }
        let mut coefficients = vec![0.0; self.training.len() * width];
        let columns = trials.iter().flat_map(|trial| &trial.columns);
        for (column, place) in columns.enumerate() {
            for (row, &value) in place.coefficients.iter().enumerate() {
                coefficients[row * width + column] = value;
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
                for (trial, part) in trials.iter_mut().zip(row.chunks_exact(machines)) {
                    trial.decisions.extend_from_slice(part);
                }
            }
        }
        for trial in trials {
            let biases: Vec<f32> = trial.columns.iter().map(|column| column.bias).collect();
            add_biases(&mut trial.decisions, &biases);
        }
        Ok(())
    }

    /// Decisions on the members of a question, each by a machine that did not see it.
    pub(super) fn held_out(&self, question: &Question, trial: &Trial, seed: u64) -> Vec<f64> {
        let (order, rows) = self.ordered(question);
        let mut matrix = Vec::new();
        self.products.among(&rows, self.function(trial.gamma), &mut matrix);
        let goals = in_order(&question.goals, &order);
        let mut deal: Vec<usize> = (0..goals.len()).collect();
        deal.shuffle(&mut rng::seeded(seed, "held-out parts for calibration"));
        deal.sort_by(|&a, &b| goals[a].total_cmp(&goals[b]));
        let bounds = in_order(&question.bounds(trial.cost), &order);
        let mut decisions = vec![0.0; goals.len()];
        for part in 0..PARTS {
            // A coefficient that cannot leave 0 is a row that is not there.
            let mut kept = bounds.clone();
            let out: Vec<usize> = deal.iter().copied().skip(part).step_by(PARTS).collect();
            for &at in &out {
                kept[at] = (0.0, 0.0);
            }
            let problem = Problem { kernel: &matrix, goals: &goals, bounds: &kept, epsilon: 0.0 };
            let solution = solve(problem, Solution::start(&goals));
            for at in out {
                // The residual is goal - sum.
                let sum = f64::from(goals[at]) - f64::from(solution.residuals[at]);
                decisions[order[at]] = sum + solution.bias;
            }
        }
        decisions
    }
}

/// The values at some places.
pub(super) fn in_order<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&at| values[at]).collect()
}
