//! Sequential minimal optimisation (SMO) over a kernel matrix in memory, for classification and
//! regression alike.
//!
//! maximise  sum z b - epsilon sum |b| - b' K b / 2  over the coefficients b,
//! subject to  sum b = 0  and  low <= b <= high.
//!
//! Classes: z is 1 or -1, epsilon 0, and b lies between 0 and z times the cost. Years: z is the
//! target, and b lies between -cost and cost. Pairs of coefficients are chosen by second order
//! (Fan, Chen and Lin, "Working set selection using second order information for training support
//! vector machines", 2005: LIBSVM's rule); the residuals' update and the choice of the first of
//! the next pair share one pass.

use facefold_kernels::{Vectorised, dispatch_simd};

use super::lanes::{LANES, RUNS, RunningMax, larger, larger_lanes, largest};

/// Stop when the most violating pair violates the optimality conditions by less: the default of
/// LIBSVM and scikit-learn.
pub(super) const TOLERANCE: f32 = 1e-3;
/// Lower limit of the curvature, for equal rows.
const LEAST_CURVATURE: f32 = 1e-6;
/// Times that the residuals are recomputed in f64 before they are taken as converged.
const REFRESHES: usize = 5;

/// Length of a kernel row for `n` rows.
pub(super) fn stride(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// The dual problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct DualProblem<'a> {
    /// n rows of [`stride`] values; what is beyond column n counts for nothing, but is finite.
    pub(super) kernel: &'a [f32],
    /// z.
    pub(super) targets: &'a [f32],
    /// Lowest and highest coefficient of each row.
    pub(super) bounds: &'a [(f64, f64)],
    /// Half-width of the epsilon-insensitive tube.
    pub(super) epsilon: f32,
}

/// Coefficients and what belongs to them.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    /// b.
    pub(super) coefficients: Vec<f64>,
    /// z - K b.
    pub(super) residuals: Vec<f32>,
    /// Bias: added to the kernel sum to give a decision.
    pub(super) bias: f64,
    /// Violation of the optimality (KKT) conditions by the most violating pair.
    pub(super) violation: f32,
}

impl Solution {
    /// No coefficient yet.
    pub(super) fn start(targets: &[f32]) -> Self {
        let coefficients = vec![0.0; targets.len()];
        Self { coefficients, residuals: targets.to_vec(), bias: 0.0, violation: f32::INFINITY }
    }

    /// Where to start at `ratio` times the cost: the coefficients grow with it, so those at their
    /// bounds stay there.
    pub(super) fn scaled(&self, targets: &[f32], ratio: f64) -> Self {
        let grow = |(residual, target): (&f32, &f32)| target - ratio as f32 * (target - residual);
        Self {
            coefficients: self.coefficients.iter().map(|value| value * ratio).collect(),
            residuals: self.residuals.iter().zip(targets).map(grow).collect(),
            ..self.clone()
        }
    }
}

/// Solves from a start within the bounds.
pub(super) fn solve(problem: DualProblem<'_>, start: Solution) -> Solution {
    dispatch_simd(Solver::new(problem, start))
}

/// The state of the search, in rows of [`stride`] values.
struct Solver<'a> {
    problem: DualProblem<'a>,
    coefficients: Vec<f64>,
    residuals: Vec<f32>,
    /// Added to the residual gives the gain of increasing the coefficient; minus infinity at the
    /// bound.
    up_offset: Vec<f32>,
    /// Minus the residual gives the gain of decreasing the coefficient; minus infinity at the
    /// bound.
    down_offset: Vec<f32>,
    diagonal: Vec<f32>,
}

/// An update of a working set (i, j): the coefficients of `up` and `down` change by plus and minus
/// `size`.
struct Step {
    up: usize,
    down: usize,
    size: f32,
}

impl<'a> Solver<'a> {
    fn new(problem: DualProblem<'a>, start: Solution) -> Self {
        let (n, stride) = (problem.targets.len(), stride(problem.targets.len()));
        let mut residuals = start.residuals;
        residuals.resize(stride, 0.0);
        let mut solver = Self {
            problem,
            coefficients: start.coefficients,
            residuals,
            up_offset: vec![f32::NEG_INFINITY; stride],
            down_offset: vec![f32::NEG_INFINITY; stride],
            diagonal: vec![1.0; stride],
        };
        for row in 0..n {
            solver.diagonal[row] = problem.kernel[row * stride + row];
            solver.update_offsets(row);
        }
        solver
    }

    /// Updates the offsets of a row: which ways its coefficient can change, and what epsilon takes
    /// from the gain.
    fn update_offsets(&mut self, row: usize) {
        let (value, (low, high)) = (self.coefficients[row], self.problem.bounds[row]);
        let epsilon = self.problem.epsilon;
        self.up_offset[row] = match value {
            _ if value >= high => f32::NEG_INFINITY,
            _ if value < 0.0 => epsilon,
            _ => -epsilon,
        };
        self.down_offset[row] = match value {
            _ if value <= low => f32::NEG_INFINITY,
            _ if value > 0.0 => epsilon,
            _ => -epsilon,
        };
    }

    /// How far a coefficient can increase before a kink of the objective.
    fn room_above(&self, row: usize) -> f64 {
        let value = self.coefficients[row];
        if value < 0.0 { -value } else { self.problem.bounds[row].1 - value }
    }

    /// How far a coefficient can decrease before a kink of the objective.
    fn room_below(&self, row: usize) -> f64 {
        let value = self.coefficients[row];
        if value > 0.0 { value } else { value - self.problem.bounds[row].0 }
    }

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn kernel_row(&self, row: usize) -> &'a [f32] {
        let stride = self.residuals.len();
        &self.problem.kernel[row * stride..(row + 1) * stride]
    }

    /// Applies a step to the residuals, and selects i: the row with the largest gain of increasing,
    /// that gain, and the largest gain of decreasing a row.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn update_and_select_i(&mut self, taken: &Step) -> (usize, f32, f32) {
        let (up, down) = (self.kernel_row(taken.up), self.kernel_row(taken.down));
        let runs = self.residuals.as_chunks_mut::<LANES>().0.chunks_mut(RUNS);
        let runs = runs.zip(up.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(down.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.up_offset.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.down_offset.as_chunks::<LANES>().0.chunks(RUNS));
        let mut best = RunningMax::new();
        let mut lows = [f32::NEG_INFINITY; LANES];
        for (at, ((((residuals, up), down), up_offset), down_offset)) in runs.enumerate() {
            let mut most = [f32::NEG_INFINITY; LANES];
            let lines = residuals.iter_mut().zip(up).zip(down).zip(up_offset).zip(down_offset);
            for ((((residuals, up), down), up_offset), down_offset) in lines {
                let (mut highs, mut deeps) = ([0.0; LANES], [0.0; LANES]);
                for lane in 0..LANES {
                    let residual = residuals[lane] - taken.size * (up[lane] - down[lane]);
                    residuals[lane] = residual;
                    highs[lane] = residual + up_offset[lane];
                    deeps[lane] = down_offset[lane] - residual;
                }
                most = larger_lanes(highs, most);
                lows = larger_lanes(deeps, lows);
            }
            best.offer(at, most);
        }
        let row = best.row(self.residuals.len(), |row| self.residuals[row] + self.up_offset[row]);
        (row, best.value, largest(lows))
    }

    /// Selects j: the row that, decreased while `up` increases, gains most by second order.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn select_j(&self, up: usize, gain: f32) -> Option<usize> {
        let (kernel, own) = (self.kernel_row(up), self.diagonal[up]);
        let objective_gain = |residual: f32, down_offset: f32, diagonal: f32, kernel: f32| {
            let gradient = larger(gain + (down_offset - residual), 0.0);
            let curvature = larger(own + diagonal - 2.0 * kernel, LEAST_CURVATURE);
            gradient * gradient / curvature
        };
        let runs = self.residuals.as_chunks::<LANES>().0.chunks(RUNS);
        let runs = runs.zip(self.down_offset.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.diagonal.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(kernel.as_chunks::<LANES>().0.chunks(RUNS));
        let mut best = RunningMax::new();
        for (at, (((residuals, down_offset), diagonal), kernel)) in runs.enumerate() {
            let mut most = [0.0; LANES];
            let lines = residuals.iter().zip(down_offset).zip(diagonal).zip(kernel);
            for (((residuals, down_offset), diagonal), kernel) in lines {
                let mut values = [0.0; LANES];
                for lane in 0..LANES {
                    let (residual, down_offset) = (residuals[lane], down_offset[lane]);
                    values[lane] =
                        objective_gain(residual, down_offset, diagonal[lane], kernel[lane]);
                }
                most = larger_lanes(values, most);
            }
            best.offer(at, most);
        }
        let row = best.row(self.residuals.len(), |row| {
            objective_gain(
                self.residuals[row],
                self.down_offset[row],
                self.diagonal[row],
                kernel[row],
            )
        });
        (best.value > 0.0).then_some(row)
    }

    /// The step of a pair: to the maximum of the parabola, or to the first bound or kink.
    fn step(&mut self, up: usize, down: usize, gain: f32) -> Step {
        let product = self.kernel_row(up)[down];
        let curvature = self.diagonal[up] + self.diagonal[down] - 2.0 * product;
        let gradient = f64::from(gain + (self.down_offset[down] - self.residuals[down]));
        let wanted = gradient / f64::from(curvature.max(LEAST_CURVATURE));
        let (above, below) = (self.room_above(up), self.room_below(down));
        let step = wanted.min(above).min(below);
        // At a kink the coefficient is set, not summed up, so that it lies there exactly.
        let bounds = self.problem.bounds;
        let (old_up, old_down) = (self.coefficients[up], self.coefficients[down]);
        self.coefficients[up] = match old_up {
            old if step < above => old + step,
            old if old < 0.0 => 0.0,
            _ => bounds[up].1,
        };
        self.coefficients[down] = match old_down {
            old if step < below => old - step,
            old if old > 0.0 => 0.0,
            _ => bounds[down].0,
        };
        self.update_offsets(up);
        self.update_offsets(down);
        Step { up, down, size: step as f32 }
    }

    /// Recomputes the residuals in f64: rounding errors of tens of thousands of f32 steps add up.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn refresh(&mut self) {
        let n = self.problem.targets.len();
        let support: Vec<usize> = (0..n).filter(|&row| self.coefficients[row] != 0.0).collect();
        for from in (0..n).step_by(1024) {
            let to = (from + 1024).min(n);
            let mut sums = [0.0_f64; 1024];
            for &row in &support {
                let coefficient = self.coefficients[row];
                let kernel = &self.kernel_row(row)[from..to];
                for (sum, &value) in sums.iter_mut().zip(kernel) {
                    *sum += coefficient * f64::from(value);
                }
            }
            let targets = &self.problem.targets[from..to];
            let residuals = self.residuals[from..to].iter_mut();
            for ((residual, &target), sum) in residuals.zip(targets).zip(&sums) {
                *residual = (f64::from(target) - sum) as f32;
            }
        }
    }

    /// The bias of the decision function: the mean residual of the rows between their bounds, or
    /// the middle of the interval that the others allow.
    fn bias(&self, gain: f32, low: f32) -> f64 {
        let (mut sum, mut free) = (0.0, 0.0);
        for (row, &value) in self.coefficients.iter().enumerate() {
            let (low, high) = self.problem.bounds[row];
            if value != 0.0 && value > low && value < high {
                let epsilon = f64::from(self.problem.epsilon);
                sum += f64::from(self.residuals[row]) - epsilon * value.signum();
                free += 1.0;
            }
        }
        match (gain.is_finite(), low.is_finite()) {
            _ if free > 0.0 => sum / free,
            (true, true) => f64::from(gain - low) / 2.0,
            (true, false) => f64::from(gain),
            (false, true) => f64::from(-low),
            (false, false) => 0.0,
        }
    }
}

impl Vectorised for Solver<'_> {
    type Output = Solution;

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(mut self) -> Solution {
        let n = self.problem.targets.len();
        // LIBSVM's limit.
        let most_steps = (100 * n).max(10_000_000);
        let still = Step { up: 0, down: 0, size: 0.0 };
        let (mut up, mut gain, mut low) = self.update_and_select_i(&still);
        let mut refreshes = 0;
        for _ in 0..most_steps {
            let selected = if gain + low < TOLERANCE { None } else { self.select_j(up, gain) };
            let Some(down) = selected else {
                let before = gain + low;
                self.refresh();
                (up, gain, low) = self.update_and_select_i(&still);
                refreshes += 1;
                // Converged by the recomputed residuals too, or limited by rounding.
                if gain + low < TOLERANCE || gain + low <= before || refreshes == REFRESHES {
                    break;
                }
                continue;
            };
            let step = self.step(up, down, gain);
            (up, gain, low) = self.update_and_select_i(&step);
        }
        let bias = self.bias(gain, low);
        self.residuals.truncate(n);
        Solution {
            coefficients: self.coefficients,
            residuals: self.residuals,
            bias,
            violation: gain + low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DualProblem, Solution, TOLERANCE, solve, stride};
    use facefold_core::rng::seeded;
    use proptest::prelude::*;
    use rand::Rng as _;

    /// A Gaussian kernel matrix of n random rows, as the solver wants it.
    fn kernel(n: usize, seed: u64) -> Vec<f32> {
        let mut generator = seeded(seed, "rows");
        let rows: Vec<[f32; 3]> =
            (0..n).map(|_| std::array::from_fn(|_| generator.random_range(-1.0..1.0))).collect();
        let mut kernel = vec![0.0; n * stride(n)];
        for (i, one) in rows.iter().enumerate() {
            for (j, other) in rows.iter().enumerate() {
                let distance: f32 = one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum();
                kernel[i * stride(n) + j] = (-2.0 * distance).exp();
            }
        }
        kernel
    }

    /// By how much a solution misses the conditions of the optimum, and its bias the targets of
    /// rows between their bounds; all from the coefficients alone, in f64.
    fn misses(problem: DualProblem<'_>, solution: &Solution) -> f64 {
        let (n, epsilon) = (problem.targets.len(), f64::from(problem.epsilon));
        let (mut up_offset, mut down_offset) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for row in 0..n {
            let kernel = &problem.kernel[row * stride(n)..][..n];
            let sum: f64 =
                kernel.iter().zip(&solution.coefficients).map(|(&k, b)| f64::from(k) * b).sum();
            let residual = f64::from(problem.targets[row]) - sum;
            let (value, (low, high)) = (solution.coefficients[row], problem.bounds[row]);
            assert!((low..=high).contains(&value), "{value} of {low} to {high}");
            if value < high {
                up_offset = up_offset.max(residual - if value < 0.0 { -epsilon } else { epsilon });
            }
            if value > low {
                down_offset =
                    down_offset.max(-residual - if value > 0.0 { -epsilon } else { epsilon });
            }
        }
        // The bias lies between what the rows ask for.
        let slack = f64::from(TOLERANCE);
        assert!(
            solution.bias > up_offset - 2.0 * slack && solution.bias < 2.0 * slack - down_offset
        );
        up_offset + down_offset
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn solutions_meet_the_conditions_of_the_optimum(
            n in 2..150_usize,
            seed in any::<u64>(),
            cost in 0.1..30.0_f64,
            years in any::<bool>(),
        ) {
            let kernel = kernel(n, seed);
            let mut generator = seeded(seed, "goals");
            let targets: Vec<f32> = (0..n)
                .map(|row| if years { generator.random_range(-2.0..2.0) } else if row % 3 == 0 { 1.0 } else { -1.0 })
                .collect();
            let bounds = |cost: f64| -> Vec<(f64, f64)> {
                targets
                    .iter()
                    .map(|&target| match target {
                        _ if years => (-cost, cost),
                        target if target > 0.0 => (0.0, cost),
                        _ => (-2.0 * cost, 0.0),
                    })
                    .collect()
            };
            let epsilon = if years { 0.1 } else { 0.0 };
            let at_cost = bounds(cost);
            let problem = DualProblem { kernel: &kernel, targets: &targets, bounds: &at_cost, epsilon };
            let solution = solve(problem, Solution::start(&targets));
            let balance: f64 = solution.coefficients.iter().sum();
            prop_assert!(balance.abs() < 1e-9 * cost * n as f64, "{balance}");
            prop_assert!(misses(problem, &solution) < 1.01 * f64::from(TOLERANCE));

            // The same optimum from a start at another cost's.
            let higher = bounds(3.0 * cost);
            let problem = DualProblem { bounds: &higher, ..problem };
            let warm = solve(problem, solution.scaled(&targets, 3.0));
            prop_assert!(misses(problem, &warm) < 1.01 * f64::from(TOLERANCE));
        }
    }

    #[test]
    fn two_rows_have_the_analytic_solution() {
        // Rows at distance d under a linear kernel: b = 2 / d², the bias puts 0 between them.
        let mut kernel = vec![0.0; 2 * stride(2)];
        (kernel[0], kernel[1]) = (9.0, 3.0);
        (kernel[stride(2)], kernel[stride(2) + 1]) = (3.0, 1.0);
        let bounds = [(0.0, 10.0), (-10.0, 0.0)];
        let problem =
            DualProblem { kernel: &kernel, targets: &[1.0, -1.0], bounds: &bounds, epsilon: 0.0 };
        let solution = solve(problem, Solution::start(problem.targets));
        assert!((solution.coefficients[0] - 0.5).abs() < 1e-6, "{solution:?}");
        assert!((solution.bias + 2.0).abs() < 1e-5, "{solution:?}");
    }
}
