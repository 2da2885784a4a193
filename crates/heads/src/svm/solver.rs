//! Sequential minimal optimisation over a kernel matrix in memory: the one problem that both
//! classification and regression are.
//!
//! maximise  sum z b - epsilon sum |b| - b' K b / 2  over the coefficients b,
//! subject to  sum b = 0  and  low <= b <= high.
//!
//! Classes: z is 1 or -1, epsilon 0, and b lies between 0 and z times the cost. Years: z is the
//! goal, and b lies between -cost and cost. Pairs of coefficients are chosen by second order (Fan,
//! Chen and Lin, "Working set selection using second order information for training support
//! vector machines", 2005: LIBSVM's rule); the residuals' update and the choice of the first of
//! the next pair share one pass.

use facefold_engine::{Vectorised, dispatch_simd};

use super::lanes::{Best, LANES, RUNS, larger, larger_lanes, largest};

/// Stop when the best pair promises less; LIBSVM's and scikit-learn's default.
pub(super) const TOLERANCE: f32 = 1e-3;
/// The least curvature, for rows that are the same.
const LEAST_CURVATURE: f32 = 1e-6;
/// Times that rounding may be taken out of the residuals before they are believed.
const REFRESHES: usize = 5;

/// Length of a kernel row for `n` rows.
pub(super) fn stride(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// What to solve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'a> {
    /// n rows of [`stride`] values; what is beyond column n counts for nothing, but is finite.
    pub(super) kernel: &'a [f32],
    /// z.
    pub(super) goals: &'a [f32],
    /// Lowest and highest coefficient of each row.
    pub(super) bounds: &'a [(f64, f64)],
    /// What the goals may be missed by for nothing.
    pub(super) epsilon: f32,
}

/// Coefficients and what belongs to them.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    /// b.
    pub(super) coefficients: Vec<f64>,
    /// z - K b.
    pub(super) residuals: Vec<f32>,
    /// What is added to the kernel sum to give a decision.
    pub(super) bias: f64,
    /// By how much the best pair misses the conditions of the optimum.
    pub(super) violation: f32,
}

impl Solution {
    /// No coefficient yet.
    pub(super) fn start(goals: &[f32]) -> Self {
        let coefficients = vec![0.0; goals.len()];
        Self { coefficients, residuals: goals.to_vec(), bias: 0.0, violation: f32::INFINITY }
    }

    /// Where to start at `ratio` times the cost: the coefficients grow with it, so those at their
    /// bounds stay there.
    pub(super) fn scaled(&self, goals: &[f32], ratio: f64) -> Self {
        let grow = |(residual, goal): (&f32, &f32)| goal - ratio as f32 * (goal - residual);
        Self {
            coefficients: self.coefficients.iter().map(|value| value * ratio).collect(),
            residuals: self.residuals.iter().zip(goals).map(grow).collect(),
            ..self.clone()
        }
    }
}

/// Solves from a start within the bounds.
pub(super) fn solve(problem: Problem<'_>, start: Solution) -> Solution {
    dispatch_simd(Solver::new(problem, start))
}

/// The state of the search, in rows of [`stride`] values.
struct Solver<'a> {
    problem: Problem<'a>,
    coefficients: Vec<f64>,
    residuals: Vec<f32>,
    /// Added to the residual: the gain of raising the coefficient; minus infinity at the bound.
    raise: Vec<f32>,
    /// Minus the residual: the gain of lowering the coefficient; minus infinity at the bound.
    lower: Vec<f32>,
    diagonal: Vec<f32>,
}

/// A pair of rows, whose coefficients go up and down by `size`.
struct Step {
    up: usize,
    down: usize,
    size: f32,
}

impl<'a> Solver<'a> {
    fn new(problem: Problem<'a>, start: Solution) -> Self {
        let (n, stride) = (problem.goals.len(), stride(problem.goals.len()));
        let mut residuals = start.residuals;
        residuals.resize(stride, 0.0);
        let mut solver = Self {
            problem,
            coefficients: start.coefficients,
            residuals,
            raise: vec![f32::NEG_INFINITY; stride],
            lower: vec![f32::NEG_INFINITY; stride],
            diagonal: vec![1.0; stride],
        };
        for row in 0..n {
            solver.diagonal[row] = problem.kernel[row * stride + row];
            solver.place(row);
        }
        solver
    }

    /// Notes which ways the coefficient of a row can go, and what epsilon takes from the gain.
    fn place(&mut self, row: usize) {
        let (value, (low, high)) = (self.coefficients[row], self.problem.bounds[row]);
        let epsilon = self.problem.epsilon;
        self.raise[row] = match value {
            _ if value >= high => f32::NEG_INFINITY,
            _ if value < 0.0 => epsilon,
            _ => -epsilon,
        };
        self.lower[row] = match value {
            _ if value <= low => f32::NEG_INFINITY,
            _ if value > 0.0 => epsilon,
            _ => -epsilon,
        };
    }

    /// How far a coefficient can go up until the objective bends.
    fn room_above(&self, row: usize) -> f64 {
        let value = self.coefficients[row];
        if value < 0.0 { -value } else { self.problem.bounds[row].1 - value }
    }

    /// How far a coefficient can go down until the objective bends.
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

    /// Takes a step, and gives the row that gains most by going up, its gain, and the greatest gain
    /// of one going down.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn advance(&mut self, taken: &Step) -> (usize, f32, f32) {
        let (up, down) = (self.kernel_row(taken.up), self.kernel_row(taken.down));
        let runs = self.residuals.as_chunks_mut::<LANES>().0.chunks_mut(RUNS);
        let runs = runs.zip(up.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(down.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.raise.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.lower.as_chunks::<LANES>().0.chunks(RUNS));
        let mut best = Best::new();
        let mut lows = [f32::NEG_INFINITY; LANES];
        for (at, ((((residuals, up), down), raise), lower)) in runs.enumerate() {
            let mut most = [f32::NEG_INFINITY; LANES];
            let lines = residuals.iter_mut().zip(up).zip(down).zip(raise).zip(lower);
            for ((((residuals, up), down), raise), lower) in lines {
                let (mut highs, mut deeps) = ([0.0; LANES], [0.0; LANES]);
                for lane in 0..LANES {
                    let residual = residuals[lane] - taken.size * (up[lane] - down[lane]);
                    residuals[lane] = residual;
                    highs[lane] = residual + raise[lane];
                    deeps[lane] = lower[lane] - residual;
                }
                most = larger_lanes(highs, most);
                lows = larger_lanes(deeps, lows);
            }
            best.offer(at, most);
        }
        let row = best.row(self.residuals.len(), |row| self.residuals[row] + self.raise[row]);
        (row, best.value, largest(lows))
    }

    /// The row that, going down while `up` goes up, gains most by second order.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn partner(&self, up: usize, gain: f32) -> Option<usize> {
        let (kernel, own) = (self.kernel_row(up), self.diagonal[up]);
        let promise = |residual: f32, lower: f32, diagonal: f32, kernel: f32| {
            let slope = larger(gain + (lower - residual), 0.0);
            let curvature = larger(own + diagonal - 2.0 * kernel, LEAST_CURVATURE);
            slope * slope / curvature
        };
        let runs = self.residuals.as_chunks::<LANES>().0.chunks(RUNS);
        let runs = runs.zip(self.lower.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(self.diagonal.as_chunks::<LANES>().0.chunks(RUNS));
        let runs = runs.zip(kernel.as_chunks::<LANES>().0.chunks(RUNS));
        let mut best = Best::new();
        for (at, (((residuals, lower), diagonal), kernel)) in runs.enumerate() {
            let mut most = [0.0; LANES];
            let lines = residuals.iter().zip(lower).zip(diagonal).zip(kernel);
            for (((residuals, lower), diagonal), kernel) in lines {
                let mut values = [0.0; LANES];
                for lane in 0..LANES {
                    let (residual, lower) = (residuals[lane], lower[lane]);
                    values[lane] = promise(residual, lower, diagonal[lane], kernel[lane]);
                }
                most = larger_lanes(values, most);
            }
            best.offer(at, most);
        }
        let row = best.row(self.residuals.len(), |row| {
            promise(self.residuals[row], self.lower[row], self.diagonal[row], kernel[row])
        });
        (best.value > 0.0).then_some(row)
    }

    /// The step that a pair takes: to the top of the parabola, or to where one of them must stop.
    fn step(&mut self, up: usize, down: usize, gain: f32) -> Step {
        let product = self.kernel_row(up)[down];
        let curvature = self.diagonal[up] + self.diagonal[down] - 2.0 * product;
        let slope = f64::from(gain + (self.lower[down] - self.residuals[down]));
        let wanted = slope / f64::from(curvature.max(LEAST_CURVATURE));
        let (above, below) = (self.room_above(up), self.room_below(down));
        let step = wanted.min(above).min(below);
        // At a bend the coefficient is set, not summed up, so that it lies there exactly.
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
        self.place(up);
        self.place(down);
        Step { up, down, size: step as f32 }
    }

    /// Sums the residuals anew, in f64: tens of thousands of steps in f32 leave their traces.
    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn refresh(&mut self) {
        let n = self.problem.goals.len();
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
            let goals = &self.problem.goals[from..to];
            let residuals = self.residuals[from..to].iter_mut();
            for ((residual, &goal), sum) in residuals.zip(goals).zip(&sums) {
                *residual = (f64::from(goal) - sum) as f32;
            }
        }
    }

    /// The value that decisions are raised by: what the rows between their bounds miss their goals
    /// by, or the middle of what the others allow.
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
        let n = self.problem.goals.len();
        // LIBSVM's limit.
        let most_steps = (100 * n).max(10_000_000);
        let still = Step { up: 0, down: 0, size: 0.0 };
        let (mut up, mut gain, mut low) = self.advance(&still);
        let mut refreshes = 0;
        for _ in 0..most_steps {
            let partner = if gain + low < TOLERANCE { None } else { self.partner(up, gain) };
            let Some(down) = partner else {
                let before = gain + low;
                self.refresh();
                (up, gain, low) = self.advance(&still);
                refreshes += 1;
                // Where the sum agrees that no pair is left, or rounding forbids more.
                if gain + low < TOLERANCE || gain + low <= before || refreshes == REFRESHES {
                    break;
                }
                continue;
            };
            let step = self.step(up, down, gain);
            (up, gain, low) = self.advance(&step);
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
    use super::{Problem, Solution, TOLERANCE, solve, stride};
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

    /// By how much a solution misses the conditions of the optimum, and its bias the goals of rows
    /// between their bounds; all from the coefficients alone, in f64.
    fn misses(problem: Problem<'_>, solution: &Solution) -> f64 {
        let (n, epsilon) = (problem.goals.len(), f64::from(problem.epsilon));
        let (mut raise, mut lower) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for row in 0..n {
            let kernel = &problem.kernel[row * stride(n)..][..n];
            let sum: f64 =
                kernel.iter().zip(&solution.coefficients).map(|(&k, b)| f64::from(k) * b).sum();
            let residual = f64::from(problem.goals[row]) - sum;
            let (value, (low, high)) = (solution.coefficients[row], problem.bounds[row]);
            assert!((low..=high).contains(&value), "{value} of {low} to {high}");
            if value < high {
                raise = raise.max(residual - if value < 0.0 { -epsilon } else { epsilon });
            }
            if value > low {
                lower = lower.max(-residual - if value > 0.0 { -epsilon } else { epsilon });
            }
        }
        // The bias lies between what the rows ask for.
        let slack = f64::from(TOLERANCE);
        assert!(solution.bias > raise - 2.0 * slack && solution.bias < 2.0 * slack - lower);
        raise + lower
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
            let goals: Vec<f32> = (0..n)
                .map(|row| if years { generator.random_range(-2.0..2.0) } else if row % 3 == 0 { 1.0 } else { -1.0 })
                .collect();
            let bounds = |cost: f64| -> Vec<(f64, f64)> {
                goals
                    .iter()
                    .map(|&goal| match goal {
                        _ if years => (-cost, cost),
                        goal if goal > 0.0 => (0.0, cost),
                        _ => (-2.0 * cost, 0.0),
                    })
                    .collect()
            };
            let epsilon = if years { 0.1 } else { 0.0 };
            let at_cost = bounds(cost);
            let problem = Problem { kernel: &kernel, goals: &goals, bounds: &at_cost, epsilon };
            let solution = solve(problem, Solution::start(&goals));
            let balance: f64 = solution.coefficients.iter().sum();
            prop_assert!(balance.abs() < 1e-9 * cost * n as f64, "{balance}");
            prop_assert!(misses(problem, &solution) < 1.01 * f64::from(TOLERANCE));

            // The same optimum from a start at another cost's.
            let higher = bounds(3.0 * cost);
            let problem = Problem { bounds: &higher, ..problem };
            let warm = solve(problem, solution.scaled(&goals, 3.0));
            prop_assert!(misses(problem, &warm) < 1.01 * f64::from(TOLERANCE));
        }
    }

    #[test]
    fn two_rows_have_the_solution_of_the_book() {
        // Rows at distance d under a linear kernel: b = 2 / d², the bias puts 0 between them.
        let mut kernel = vec![0.0; 2 * stride(2)];
        (kernel[0], kernel[1]) = (9.0, 3.0);
        (kernel[stride(2)], kernel[stride(2) + 1]) = (3.0, 1.0);
        let bounds = [(0.0, 10.0), (-10.0, 0.0)];
        let problem =
            Problem { kernel: &kernel, goals: &[1.0, -1.0], bounds: &bounds, epsilon: 0.0 };
        let solution = solve(problem, Solution::start(problem.goals));
        assert!((solution.coefficients[0] - 0.5).abs() < 1e-6, "{solution:?}");
        assert!((solution.bias + 2.0).abs() < 1e-5, "{solution:?}");
    }
}
