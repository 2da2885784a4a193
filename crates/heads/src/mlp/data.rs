//! Training batches: shuffled rows with random horizontal flips, mixup and input dropout.
//! `order.rs` has the order of the rows.

use facefold_core::FeatureMatrix;
use facefold_core::rng::{Rng, seeded};
use facefold_kernels::{Vectorised, dispatch_simd};
use rand::Rng as _;
use rand::seq::SliceRandom;

use super::MlpOptions;
use super::dropout::drop_values;
use super::loss::{BatchTargets, EncodedTargets};
use super::order::EpochOrder;
use super::window::Window;
use crate::features::Standardiser;

/// Draws the batches of all epochs.
pub(super) struct Batches<'a> {
    matrix: &'a FeatureMatrix,
    /// Rows of the matrix; batches name them by their positions here.
    rows: &'a [usize],
    features: &'a Standardiser,
    options: &'a MlpOptions,
    size: usize,
    order: EpochOrder,
    /// Rows of the present window, where not all rows are shuffled together.
    window: Window,
    /// One stream a purpose, so that turning one off leaves the others as they were.
    shuffle: Rng,
    mirror: Rng,
    mix: Rng,
    dropout: Rng,
}

impl<'a> Batches<'a> {
    pub(super) fn new(
        (matrix, rows): (&'a FeatureMatrix, &'a [usize]),
        features: &'a Standardiser,
        options: &'a MlpOptions,
        balanced: Option<Vec<Vec<usize>>>,
        seed: u64,
    ) -> Self {
        let n = rows.len();
        let order = EpochOrder::new((matrix, rows), balanced, options.memory_gb * 1e9);
        Self {
            matrix,
            rows,
            features,
            options,
            // Small sets need steps more than they need smooth gradients.
            size: options.batch_size.min((n / 20).max(32)).min(n),
            order,
            window: Window::default(),
            shuffle: seeded(seed, "mlp shuffle"),
            mirror: seeded(seed, "mlp mirror"),
            mix: seeded(seed, "mlp mixup"),
            dropout: seeded(seed, "mlp input dropout"),
        }
    }

    /// Rows a batch.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Batches an epoch; a last one that is not full is left out, other rows each time.
    pub(super) fn count(&self) -> usize {
        self.order.len() / self.size
    }

    /// Rows that are shuffled together, where that is not all of them.
    pub(super) fn window_rows(&self) -> Option<usize> {
        self.order.window_rows()
    }

    /// Starts an epoch.
    pub(super) fn shuffle(&mut self) {
        self.order.shuffle(&mut self.shuffle);
    }

    /// Standardised features (size x d) and targets of a batch of this epoch.
    pub(super) fn batch(
        &mut self,
        number: usize,
        targets: &EncodedTargets,
    ) -> (Vec<f32>, BatchTargets) {
        let places = number * self.size..(number + 1) * self.size;
        if let Some(positions) = self.order.beginning_in(places.clone()) {
            let rows = (self.matrix, self.rows);
            self.window.load(positions, rows, self.features);
        }
        let chosen = self.order.positions(places);
        let alpha = self.options.mixup;
        let mut partners = chosen.to_vec();
        if alpha > 0.0 {
            partners.shuffle(&mut self.mix);
        }
        // A lambda for each row: one for a whole batch would make some batches all mixtures.
        let mut lambda = || if alpha > 0.0 { beta(alpha, &mut self.mix) as f32 } else { 1.0 };
        let pairs: Vec<(usize, usize, f32)> =
            chosen.iter().zip(partners).map(|(&one, other)| (one, other, lambda())).collect();
        let matrix = self.matrix;
        let width = self.features.width();
        let mut values = vec![0.0; self.size * width];
        let mut partner = vec![0.0; width];
        for (&(one, other, lambda), out) in pairs.iter().zip(values.chunks_exact_mut(width)) {
            let mut read = |index: usize, out: &mut [f32]| {
                let mirrored = matrix
                    .mirrored()
                    .filter(|_| self.options.horizontal_flip && self.mirror.random());
                if let Some(row) = self.window.row(index, mirrored.is_some()) {
                    out.copy_from_slice(row);
                } else {
                    let side = mirrored.unwrap_or_else(|| matrix.plain());
                    self.features.apply(side, self.rows[index], out);
                }
            };
            read(one, out);
            if lambda < 1.0 {
                read(other, &mut partner);
                dispatch_simd(Mix { row: out, partner: &partner, lambda });
            }
        }
        if self.options.input_dropout > 0.0 {
            drop_values(&mut values, self.options.input_dropout, &mut self.dropout);
        }
        (values, targets.mixed(&pairs))
    }
}

/// Mixes a row with its partner: lambda row + (1 - lambda) partner.
struct Mix<'a> {
    row: &'a mut [f32],
    partner: &'a [f32],
    lambda: f32,
}

impl Vectorised for Mix<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        for (value, partner) in self.row.iter_mut().zip(self.partner) {
            *value = self.lambda * *value + (1.0 - self.lambda) * partner;
        }
    }
}

/// A draw of Beta(a, a), by Jöhnk's method for a <= 1 (Metrika 8, 1964) and by the ratio of two
/// gamma variates, as sums of the former kind, above it.
fn beta(alpha: f64, generator: &mut Rng) -> f64 {
    let (x, y) = (gamma(alpha, generator), gamma(alpha, generator));
    if x + y > 0.0 { x / (x + y) } else { 0.5 }
}

/// A draw of Gamma(shape, 1) (Marsaglia and Tsang, ACM Transactions on Mathematical Software 26,
/// 2000).
fn gamma(shape: f64, generator: &mut Rng) -> f64 {
    if shape < 1.0 {
        let uniform: f64 = generator.random();
        return gamma(shape + 1.0, generator) * uniform.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(generator);
        let v = (1.0 + c * x).powi(3);
        let uniform: f64 = generator.random();
        if v > 0.0 && uniform.ln() < x * x / 2.0 + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A draw of the normal distribution, by Box and Muller.
fn normal(generator: &mut Rng) -> f64 {
    let (radius, angle): (f64, f64) = (generator.random(), generator.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::beta;
    use facefold_core::rng::seeded;

    /// Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)): 0.1389 for a = 0.4, 0.05 for a = 2.
    #[test]
    fn beta_has_the_right_moments() {
        let mut generator = seeded(3, "test");
        for (alpha, variance) in [(0.4, 0.138_9), (2.0, 0.05)] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut generator)).collect();
            let mean = draws.iter().sum::<f64>() / 2e4;
            let variance_found = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4;
            assert!((mean - 0.5).abs() < 0.01, "{mean}");
            assert!((variance_found - variance).abs() < 0.003, "{variance_found}");
        }
    }
}
