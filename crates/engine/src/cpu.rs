//! Detects what the processor supports, and chooses kernels and precision.

use std::fmt;
use std::str::FromStr;

use crate::executor::EngineError;

/// The environment variable that forces a family of kernels.
pub const ENGINE_VARIABLE: &str = "FACEFOLD_ENGINE";

/// A family of kernels, from the one that runs anywhere to the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// Plain Rust, for any processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// AVX-512 with bf16 conversions, and matrix tiles (AMX) for products in bf16.
    Amx,
}

impl Kernel {
    const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];

    /// Whether this machine can run it. Asks the operating system for the tile registers on the
    /// first call.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => {
                Self::Avx512.is_available()
                    && is_x86_feature_detected!("avx512bf16")
                    && crate::kernels::tiles_are_permitted()
            }
            #[allow(unreachable_patterns, reason = "reached where a kernel above is compiled out")]
            _ => false,
        }
    }

    /// All that this machine can run, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|kernel| kernel.is_available()).collect()
    }

    /// The fastest that this machine can run.
    #[must_use]
    pub fn fastest() -> Self {
        Self::ALL.into_iter().rev().find(|kernel| kernel.is_available()).unwrap_or(Self::Portable)
    }

    /// What `FACEFOLD_ENGINE` forces, else the fastest.
    ///
    /// # Errors
    /// A value that names no kernel, or one that this machine cannot run.
    pub fn choose() -> Result<Self, EngineError> {
        match std::env::var(ENGINE_VARIABLE) {
            Ok(name) if !name.is_empty() => {
                let forced = name.parse::<Self>().and_then(Self::checked);
                forced.map_err(|error| EngineError::Device(format!("{ENGINE_VARIABLE}: {error}")))
            }
            _ => Ok(Self::fastest()),
        }
    }

    /// Itself, where this machine can run it.
    pub(crate) fn checked(self) -> Result<Self, EngineError> {
        if self.is_available() {
            return Ok(self);
        }
        let names: Vec<String> = Self::available().iter().map(ToString::to_string).collect();
        Err(EngineError::Device(format!(
            "this machine cannot run the `{self}` kernels; it can run {}",
            names.join(", ")
        )))
    }

    /// The fastest precision whose outputs stay within 1 - cosine <= 1e-6 of f32's.
    #[must_use]
    pub fn default_precision(self) -> Precision {
        if self == Self::Amx { Precision::Bf16x3 } else { Precision::F32 }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        })
    }
}

impl FromStr for Kernel {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        Self::ALL.into_iter().find(|kernel| kernel.to_string() == name).ok_or_else(|| {
            EngineError::Device(format!(
                "no kernels are called `{name}`; expected portable, avx2, avx512 or amx"
            ))
        })
    }
}

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
        for kernel in Kernel::ALL {
            assert_eq!(kernel.to_string().parse::<Kernel>().unwrap(), kernel);
        }
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        assert!("sse".parse::<Kernel>().unwrap_err().to_string().contains("`sse`"));
    }

    #[test]
    fn the_portable_kernels_run_anywhere() {
        assert!(Kernel::available().contains(&Kernel::Portable));
        assert!(Kernel::available().contains(&Kernel::fastest()));
        assert_eq!(Precision::Bf16.on(Kernel::Portable), Precision::F32);
    }
}
