//! How embeddings are computed: the options of every command that runs the networks.

use clap::Args;
use facefold::NetworkOptions;
use facefold::network::{DEFAULT_DEVICE, DEFAULT_MODEL};
use facefold_engine::Precision;
use facefold_vision::models::PACKS;

use super::values::{Known, MOST_THREADS, known, one_of, whole};

/// What the CPU engine computes in.
const PRECISIONS: [&str; 3] = ["f32", "bf16x3", "bf16"];

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
    #[command(flatten)]
    pub run: RunArguments,
}

impl NetworkArguments {
    /// The library's options.
    pub fn options(&self) -> NetworkOptions {
        self.run.options().of_model(&self.model)
    }
}

/// How networks run; which they are, a bundle may say.
#[derive(Debug, Args, Clone)]
pub struct RunArguments {
    /// Arithmetic of the CPU engine: f32, bf16x3 (each number as two bf16 halves: near f32, on AMX) or bf16 (quicker,
    /// cosine to f32 about 0.9999; stores and bundles of its own). Default: the fastest that stays within 1e-6 of f32.
    #[arg(long, value_parser = one_of::<Precision>(PRECISIONS), hide_possible_values = true)]
    pub precision: Option<Precision>,
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
            precision: self.precision,
            device: self.device.clone(),
            offline: self.offline,
        }
    }
}
