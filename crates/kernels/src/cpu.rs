//! Detects what the processor supports, and chooses kernels.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use std::arch::asm;
use std::fmt;
use std::str::FromStr;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use std::sync::OnceLock;

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
                    && tiles_are_permitted()
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
    pub fn choose() -> Result<Self, KernelError> {
        match std::env::var(ENGINE_VARIABLE) {
            Ok(name) if !name.is_empty() => {
                let forced = name.parse::<Self>().and_then(Self::checked);
                forced.map_err(|error| KernelError::Variable(Box::new(error)))
            }
            _ => Ok(Self::fastest()),
        }
    }

    /// Itself, where this machine can run it.
    ///
    /// # Errors
    /// This machine cannot run it.
    pub fn checked(self) -> Result<Self, KernelError> {
        if self.is_available() {
            return Ok(self);
        }
        let names: Vec<String> = Self::available().iter().map(ToString::to_string).collect();
        Err(KernelError::Unavailable { kernel: self, available: names.join(", ") })
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
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        Self::ALL
            .into_iter()
            .find(|kernel| kernel.to_string() == name)
            .ok_or_else(|| KernelError::Unknown(name.to_owned()))
    }
}

/// Why kernels cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A name of none.
    #[error("no kernels are called `{0}`; expected portable, avx2, avx512 or amx")]
    Unknown(String),
    /// Kernels for another processor.
    #[error("this machine cannot run the `{kernel}` kernels; it can run {available}")]
    Unavailable {
        /// What was asked for.
        kernel: Kernel,
        /// What there is.
        available: String,
    },
    /// What the environment asks for cannot be had.
    #[error("{ENGINE_VARIABLE}: {0}")]
    Variable(Box<KernelError>),
}

/// Asks the operating system, once, for the use of tile registers.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_are_permitted() -> bool {
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    *PERMITTED.get_or_init(|| {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0);
        let has_tiles = leaf.edx & (1 << 24) != 0 && leaf.edx & (1 << 22) != 0;
        let mut result = ARCH_PRCTL;
        if has_tiles {
            // SAFETY: the call changes nothing but the permission; a kernel that does not know
            // it returns an error.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") result,
                    in("rdi") ARCH_REQ_XCOMP_PERM,
                    in("rsi") XFEATURE_XTILEDATA,
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack),
                );
            }
        }
        has_tiles && result == 0
    })
}

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn names_read_back() {
        for kernel in Kernel::ALL {
            assert_eq!(kernel.to_string().parse::<Kernel>().unwrap(), kernel);
        }
        assert!("sse".parse::<Kernel>().unwrap_err().to_string().contains("`sse`"));
    }

    #[test]
    fn the_portable_kernels_run_anywhere() {
        assert!(Kernel::available().contains(&Kernel::Portable));
        assert!(Kernel::available().contains(&Kernel::fastest()));
    }
}
