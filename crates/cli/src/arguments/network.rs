//! How embeddings are computed: the options of every command that runs the networks.

use clap::{Args, ValueEnum};
use facefold::NetworkOptions;
use facefold::network::{DEFAULT_DEVICE, DEFAULT_MODEL};
use facefold_engine::Precision;
use facefold_vision::models::PACKS;

use super::values::{Known, MOST_THREADS, known, whole};

/// Devices, of several GPUs the first.
const DEVICES: [&str; 4] = [DEFAULT_DEVICE, "candle", "cuda:0", "metal"];

/// The name of a model pack.
pub fn known_models() -> Known {
    known(PACKS.iter().map(|pack| pack.name))
}

/// How embeddings are computed; shared by all commands that compute some.
#[derive(Debug, Args, Clone)]
pub struct NetworkArguments {
    /// Model pack: `buffalo_s`, `buffalo_l` or `untrained`.
    #[arg(long, default_value = DEFAULT_MODEL, value_parser = known_models(), hide_possible_values = true)]
    pub model: String,
    /// Arithmetic of the CPU engine; by default the fastest that stays within 1e-6 of f32.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = DEFAULT_DEVICE, value_parser = known(DEVICES), hide_possible_values = true)]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

impl NetworkArguments {
    /// The library's options.
    pub fn options(&self) -> NetworkOptions {
        NetworkOptions {
            model: self.model.clone(),
            precision: self.precision.map(Precision::from),
            device: self.device.clone(),
            offline: self.offline,
        }
    }
}

/// How the networks of a bundle run; the bundle says which they are.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Arithmetic of the CPU engine; must be of the bundle's precision class.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = DEFAULT_DEVICE, value_parser = known(DEVICES), hide_possible_values = true)]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

impl RunArguments {
    /// The library's options.
    pub fn options(&self) -> NetworkOptions {
        NetworkOptions {
            model: DEFAULT_MODEL.to_owned(),
            precision: self.precision.map(Precision::from),
            device: self.device.clone(),
            offline: self.offline,
        }
    }
}

/// Arithmetic of the CPU engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// Single precision.
    F32,
    /// Each number as two bf16 halves: near f32, on AMX.
    Bf16x3,
    /// bf16: quicker, cosine to f32 about 0.9999; a store of its own.
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16x3 => Self::Bf16x3,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}
