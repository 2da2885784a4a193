//! Kernel values from inner products, with an exponential that the compiler can vectorise.

use facefold_kernels::{Vectorised, dispatch_simd};

use super::options::{Kernel, SvmOptions};

/// A kernel with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KernelFunction {
    pub(super) kernel: Kernel,
    pub(super) gamma: f32,
    pub(super) degree: u32,
}

impl KernelFunction {
    /// The options' kernel at one gamma.
    pub(super) fn new(options: &SvmOptions, gamma: f64) -> Self {
        Self { kernel: options.kernel, gamma: gamma as f32, degree: options.degree }
    }

    /// Turns the inner products of one row with some others into kernel values, given the squared
    /// length of the row and those of the others.
    pub(super) fn apply(self, products: &mut [f32], length: f32, lengths: &[f32]) {
        match self.kernel {
            Kernel::Linear => {}
            Kernel::Gaussian => {
                dispatch_simd(Gaussian { products, length, lengths, gamma: self.gamma });
            }
            Kernel::Polynomial => {
                for value in products {
                    *value = (self.gamma * *value + 1.0).powi(self.degree as i32);
                }
            }
        }
    }
}

struct Gaussian<'a> {
    products: &'a mut [f32],
    length: f32,
    lengths: &'a [f32],
    gamma: f32,
}

impl Vectorised for Gaussian<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
    #[inline(always)]
    fn run(self) {
        for (value, &length) in self.products.iter_mut().zip(self.lengths) {
            let distance = self.length + length - 2.0 * *value;
            let distance = if distance > 0.0 { distance } else { 0.0 };
            *value = exp(-self.gamma * distance);
        }
    }
}

/// exp(x) for x <= 0, within two units of the last place; below -87, where exp(x) leaves the
/// normal numbers, exp(-87).
///
/// After Cephes' `expf`: x = n ln 2 + r, a polynomial in r, and n put into the exponent's bits.
#[allow(clippy::inline_always, reason = "`dispatch_simd` compiles what is inlined")]
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, of which the first has few bits, so that its product with n is exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (p * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::{KernelFunction, exp};
    use crate::svm::options::Kernel;

    #[test]
    fn exp_is_that_of_f64() {
        assert_eq!(exp(0.0), 1.0);
        let mut worst = 0.0_f64;
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.4e-7, "{worst}");
        assert!(exp(-1e30) > 0.0 && exp(-1e30) < 1e-37);
    }

    #[test]
    fn kernels_match_their_definitions() {
        // Rows (1, 2) and (3, -1): product 1, squared lengths 5 and 10.
        let value = |kernel| {
            let mut products = [1.0];
            KernelFunction { kernel, gamma: 0.1, degree: 3 }.apply(&mut products, 5.0, &[10.0]);
            products[0]
        };
        assert_eq!(value(Kernel::Linear), 1.0);
        assert!((value(Kernel::Gaussian) - (-1.3_f32).exp()).abs() < 1e-6);
        assert!((value(Kernel::Polynomial) - 1.1_f32.powi(3)).abs() < 1e-6);
    }
}
