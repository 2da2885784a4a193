//! What computes the embeddings: options of `extract`.

use clap::builder::TypedValueParser as _;
use clap::{Args, ValueEnum};
use facefold_insightface::Dialect;

use super::values::known;

/// What computes the embeddings, and where.
#[derive(Debug, Args, Clone, Default)]
pub struct BackendArguments {
    /// What computes the embeddings: this program, or insightface containers.
    #[arg(long, value_enum, default_value_t = BackendKind::Local)]
    pub backend: BackendKind,
    /// Address of an insightface container, such as `http://127.0.0.1:18081`; several replicas
    /// share the load.
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Bearer token for the containers, or one for each --url with commas between. Better given in the
    /// environment, where other users of the machine do not see it.
    #[arg(long, env = "FACEFOLD_TOKEN", value_delimiter = ',', hide_env_values = true)]
    pub token: Vec<String>,
    /// Header of every request to the containers, as a gateway may ask for: `--header "X-Api-Key: KEY"`. It may be
    /// a secret, so no `run.toml` has it.
    #[arg(long, value_name = "NAME: VALUE", hide_env_values = true)]
    pub header: Vec<String>,
    /// How the containers are spoken to; `rest` is that of InsightFace-REST and `facefold serve`.
    #[arg(long, value_name = "rest|face-detection-recognition",
        value_parser = known(["rest", "face-detection-recognition"]).try_map(|name| name.parse::<Dialect>()), hide_possible_values = true)]
    pub dialect: Option<Dialect>,
    /// Seconds to wait for a container's answer about one picture (default 60).
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<f64>,
    /// Seconds to go on trying while no container answers, at the start too (default 60).
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub patience: Option<f64>,
}

/// A day: no user waits longer for a response.
const MOST_SECONDS: f64 = 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|seconds| *seconds > 0.0 && *seconds <= MOST_SECONDS);
    found.ok_or_else(|| format!("expected seconds, from above 0 to {MOST_SECONDS}"))
}

/// What computes embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum BackendKind {
    /// In process.
    #[default]
    Local,
    /// Insightface containers at `--url`.
    Insightface,
}
