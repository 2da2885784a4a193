//! How embeddings are computed: the options of every command that runs the networks.

use std::ops::RangeInclusive;

use clap::{Args, ValueEnum};

/// The model pack that commands take where none is named.
pub const DEFAULT_MODEL: &str = "buffalo_s";

/// What runs the networks where nothing is named.
pub const DEFAULT_DEVICE: &str = "cpu";

/// More threads than any machine has cores.
pub const MOST_THREADS: usize = 1024;

/// Reads a whole number in a range.
pub fn whole(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let found = text.parse().ok().filter(|number| range.contains(number));
        found.ok_or_else(|| {
            format!("expected a whole number from {} to {}", range.start(), range.end())
        })
    }
}

/// How embeddings are computed; shared by all commands that compute some.
#[derive(Debug, Args, Clone)]
pub struct NetworkArguments {
    /// Model pack: `buffalo_s`, `buffalo_l` or `untrained`.
    #[arg(long, default_value = DEFAULT_MODEL)]
    pub model: String,
    /// Arithmetic of the CPU engine; by default the fastest that stays within 1e-6 of f32.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = DEFAULT_DEVICE)]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

/// How the networks of a bundle run; the bundle says which they are.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Arithmetic of the CPU engine; must be of the bundle's precision class.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = DEFAULT_DEVICE)]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

impl RunArguments {
    /// The same for a model pack.
    pub fn of_model(&self, model: String) -> NetworkArguments {
        NetworkArguments {
            model,
            precision: self.precision,
            device: self.device.clone(),
            threads: self.threads,
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
