//! The precisions that the engine computes in.

use std::fmt;
use std::str::FromStr;

use facefold_kernels::Kernel;

use crate::executor::EngineError;

/// The arithmetic of convolutions and fully connected layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// f32 products and sums.
    F32,
    /// Each factor split into two bf16 values (16 bits of mantissa together); three products of
    /// the four, summed in f32. Near f32: 1 - cosine below 1e-6.
    Bf16x3,
    /// Factors rounded to bf16 (8 bits of mantissa), sums in f32.
    Bf16,
}

impl Precision {
    const ALL: [Self; 3] = [Self::F32, Self::Bf16x3, Self::Bf16];

    /// The fastest on these kernels whose outputs stay within 1 - cosine <= 1e-6 of f32's.
    #[must_use]
    pub fn default_for(kernel: Kernel) -> Self {
        if kernel == Kernel::Amx { Self::Bf16x3 } else { Self::F32 }
    }

    /// What is computed where this is asked for: the bf16 precisions need tiles; elsewhere they
    /// would be slower than f32 and less exact, so f32 stands in for them.
    #[must_use]
    pub fn on(self, kernel: Kernel) -> Self {
        if kernel == Kernel::Amx { self } else { Self::F32 }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        Self::ALL.into_iter().find(|precision| precision.to_string() == name).ok_or_else(|| {
            EngineError::Device(format!(
                "no precision is called `{name}`; expected f32, bf16x3 or bf16"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Precision};

    #[test]
    fn names_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
    }

    #[test]
    fn without_tiles_f32_stands_in_for_bf16() {
        assert_eq!(Precision::Bf16.on(Kernel::Portable), Precision::F32);
    }
}
