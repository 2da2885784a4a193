//! Options of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use facefold_serve::BasePath;

use super::network::{RunArguments, known_models};
use super::values::whole;

/// Mebibytes of a request: more than all pictures of one could have.
const MOST_MEBIBYTES: usize = 4096;
/// Megapixels of a picture: more than any camera's.
const MOST_MEGAPIXELS: usize = 10_000;
/// Requests, pictures or faces at a time: more than any machine could work on.
const MOST_AT_A_TIME: usize = 10_000;
/// A day.
const MOST_SECONDS: u64 = 86_400;

/// Options of `serve`.
#[derive(Debug, Args)]
#[command(after_help = include_str!("../../help/serve.txt"))]
pub struct ServeArguments {
    /// Trained bundle; several answer side by side. Default: the embedded one, or none with --model.
    #[arg(long)]
    pub bundle: Vec<PathBuf>,
    /// Address and port; port 0 takes a free one, and the first line of the output says which.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Path below which everything is served, behind a proxy that passes paths on as they are.
    #[arg(long, default_value = "", value_name = "PATH", hide_default_value = true)]
    pub base_path: BasePath,
    /// Directory of the reports to show on the page.
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Bearer token that opens the server; several with commas. Better given in the environment,
    /// where other users of the machine do not see it.
    #[arg(long, env = "FACEFOLD_TOKEN", value_delimiter = ',', hide_env_values = true)]
    pub token: Vec<String>,
    /// Origin whose pages may call the server from a browser (CORS), such as `https://app.example.org`;
    /// `*` for all. Without this option no other site's may.
    #[arg(long, value_name = "ORIGIN", value_parser = facefold_serve::origin)]
    pub allow_origin: Vec<String>,
    /// Model pack of a server that only embeds and has no bundle.
    #[arg(long, value_parser = known_models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Most mebibytes of a request.
    #[arg(long, default_value_t = 32, value_name = "MIB", value_parser = whole(1..=MOST_MEBIBYTES))]
    pub max_body: usize,
    /// Most millions of pixels of a picture.
    #[arg(long, default_value_t = 40, value_name = "MEGAPIXELS", value_parser = whole(1..=MOST_MEGAPIXELS))]
    pub max_pixels: usize,
    /// Most pictures of a request.
    #[arg(long, default_value_t = 64, value_parser = whole(1..=MOST_AT_A_TIME))]
    pub max_pictures: usize,
    /// Most faces of a picture.
    #[arg(long, default_value_t = 32, value_parser = whole(1..=MOST_AT_A_TIME))]
    pub max_faces: usize,
    /// Most requests with pictures at a time; further ones are answered with 429.
    #[arg(long, default_value_t = 64, value_parser = whole(1..=MOST_AT_A_TIME))]
    pub max_requests: usize,
    /// Most pictures that a worker takes at once; 1 turns batching off.
    #[arg(long, default_value_t = 8, value_parser = whole(1..=MOST_AT_A_TIME))]
    pub batch: usize,
    /// Seconds for a request, and for finishing what is in work when the server stops.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS))]
    pub timeout: u64,
    #[command(flatten)]
    pub run: RunArguments,
}
