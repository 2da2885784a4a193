//! The backends that run the networks: the CPU engine or candle.

use candle_core::Device;
use facefold_core::Precision as Class;
use facefold_engine::{Engine, EngineError, Executor, Kernel, Network, Precision};

use crate::candle_executor::CandleExecutor;

/// What runs the networks, and how exactly.
#[derive(Debug, Clone)]
pub enum Backend {
    /// The CPU engine in this precision, or in the fastest exact one of this machine.
    Engine(Option<Precision>),
    /// candle in f32 on this device.
    Candle(Device),
}

impl Default for Backend {
    fn default() -> Self {
        Self::Engine(None)
    }
}

impl Backend {
    /// The precision class of what this backend computes on this machine.
    ///
    /// # Errors
    /// An engine kernel forced on a machine that cannot run it.
    pub fn class(&self) -> Result<Class, EngineError> {
        Ok(match self {
            Self::Engine(Some(precision)) if precision.on(Kernel::choose()?) == Precision::Bf16 => {
                Class::Bf16
            }
            Self::Engine(_) | Self::Candle(_) => Class::F32Equivalent,
        })
    }

    /// The same backend in the class [`Class::F32Equivalent`].
    #[must_use]
    pub fn f32_equivalent(&self) -> Self {
        match self {
            Self::Engine(Some(Precision::Bf16)) => Self::Engine(None),
            other => other.clone(),
        }
    }

    /// Makes a network ready to run.
    ///
    /// # Errors
    /// A network or device that does not fit.
    pub fn executor(&self, network: &Network) -> Result<Box<dyn Executor>, EngineError> {
        Ok(match self {
            Self::Engine(precision) => {
                let kernel = Kernel::choose()?;
                let precision = precision.unwrap_or_else(|| Precision::default_for(kernel));
                Box::new(Engine::new(network, precision, kernel)?)
            }
            Self::Candle(device) => Box::new(CandleExecutor::new(network, device)?),
        })
    }
}
