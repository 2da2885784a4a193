//! From the name of a model pack to an extractor, fetching missing weights on the way.

use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::ExtractorError;
use facefold_engine::{Kernel, Precision};
use facefold_heads::{Bundle, FeatureChoice};
use facefold_vision::candle_executor::open_device;
use facefold_vision::decode::Limits;
use facefold_vision::extractor::{Backend, LocalExtractor, LocalOptions, PackNetworks};
use facefold_vision::models::{self, FileState, ModelPack, ModelsError, PACKS, Sources};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::progress::{Progress, Stage, Step};

/// The model pack that is taken where none is named.
pub const DEFAULT_MODEL: &str = "buffalo_s";

/// The device that is taken where none is named: the CPU engine.
pub const DEFAULT_DEVICE: &str = "cpu";

/// Which networks to run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The model pack: `buffalo_s`, `buffalo_l` or `untrained`.
    pub model: String,
    /// Arithmetic of the CPU engine; `None` for the fastest that stays within 1e-6 of f32.
    pub precision: Option<Precision>,
    /// `cpu` (the CPU engine), `candle` (candle on the CPU), `cuda:0` or `metal`.
    pub device: String,
    /// Never use the network to fetch missing weights.
    pub offline: bool,
}

impl Default for NetworkOptions {
    /// [`DEFAULT_MODEL`] on [`DEFAULT_DEVICE`].
    fn default() -> Self {
        Self {
            model: DEFAULT_MODEL.to_owned(),
            precision: None,
            device: DEFAULT_DEVICE.to_owned(),
            offline: false,
        }
    }
}

/// What to do with each picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faces {
    /// Keep pooled intermediate features, and run the mirrored crop.
    pub taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    pub aligned: bool,
    /// Embed all faces, not only the main one.
    pub all: bool,
}

impl NetworkOptions {
    /// These options for another model pack.
    #[must_use]
    pub fn of_model(&self, model: impl Into<String>) -> Self {
        Self { model: model.into(), ..self.clone() }
    }

    /// Checks the options without reading or fetching anything.
    ///
    /// # Errors
    /// [`Error::Options`] for an unknown model pack or device, or a precision that the device does
    /// not have.
    pub fn check(&self) -> Result<()> {
        ModelPack::named(&self.model).map_err(Error::options)?;
        self.backend()?;
        Ok(())
    }

    /// An extractor in this process, for pictures within these limits. Missing weights are fetched.
    ///
    /// # Errors
    /// As [`Self::check`]; weights that cannot be had or do not run here.
    pub fn extractor(
        &self,
        faces: Faces,
        limits: Limits,
        progress: &dyn Progress,
    ) -> Result<LocalExtractor> {
        let pack = ModelPack::named(&self.model).map_err(Error::options)?;
        let backend = self.backend()?;
        let options = LocalOptions {
            backend,
            taps: faces.taps,
            aligned: faces.aligned,
            all_faces: faces.all,
            limits,
            ..LocalOptions::new(pack)
        };
        with_weights(pack, &options.models, self.offline, progress, || {
            LocalExtractor::new(&options)
        })
    }

    fn backend(&self) -> Result<Backend> {
        match (self.device.as_str(), self.precision) {
            ("cpu", precision) => Ok(Backend::Engine(precision)),
            (device, Some(precision)) => Err(Error::options(format!(
                "--precision {precision} is for the CPU engine, and --device {device} runs candle in \
                 f32: leave one out"
            ))),
            ("candle", None) => Ok(Backend::Candle(open_device("cpu").map_err(Error::options)?)),
            (device, None) => Ok(Backend::Candle(open_device(device).map_err(Error::options)?)),
        }
    }
}

/// Makes something from a pack's weights. They are fetched only where `make` says that they are
/// missing or damaged, so that weights that are there are read and hashed once.
///
/// # Errors
/// Weights that cannot be had, or whatever else `make` fails with.
pub fn with_weights<T>(
    pack: &ModelPack,
    models: &Path,
    offline: bool,
    progress: &dyn Progress,
    make: impl Fn() -> Result<T, ExtractorError>,
) -> Result<T> {
    match make() {
        Err(error) if lacks_weights(&error) => {
            fetch_weights(pack, models, offline, progress)?;
            Ok(make()?)
        }
        made => Ok(made?),
    }
}

/// Whether weights are missing or damaged, which fetching may mend.
fn lacks_weights(error: &ExtractorError) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref());
    matches!(source, Some(ModelsError::Missing { .. } | ModelsError::Corrupt { .. }))
}

/// Fetches what is missing of a pack into a directory, and notes its terms if it fetched any.
///
/// # Errors
/// If no source has it: which file to put where.
pub fn fetch_weights(
    pack: &ModelPack,
    directory: &Path,
    offline: bool,
    progress: &dyn Progress,
) -> Result<()> {
    let sources = Sources { offline, ..Sources::default() };
    let fetched = models::fetch(pack, directory, &sources, &mut |event| match event {
        models::Progress::Asking(source) => {
            progress.note(&format!("fetching {} from {source}", pack.name));
        }
        models::Progress::Downloaded(done, total) => {
            progress.step(Step { item: pack.name, ..Step::new(Stage::Fetching, done, total) });
        }
        models::Progress::Failed(failure) => {
            progress.note(&format!("{}: {}", failure.source, failure.reason));
        }
    })?;
    if !fetched.written.is_empty() {
        progress.note(pack.licence);
    }
    Ok(())
}

/// A model pack, and which of its files are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackStatus {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Whether it can be used as it is.
    pub present: bool,
    /// Its files.
    pub files: Vec<PackFile>,
    /// Its terms.
    pub licence: &'static str,
}

impl fmt::Display for PackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.present { "here" } else { "not here" };
        writeln!(f, "{} ({state}): {}", self.name, self.summary)?;
        for file in &self.files {
            writeln!(f, "  {:<8} {}", file.state, file.path.display())?;
        }
        write!(f, "  {}", self.licence)
    }
}

/// A file of a model pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackFile {
    /// Where it is, or belongs.
    pub path: PathBuf,
    /// The hash that it should have.
    pub sha256: &'static str,
    /// `good`, `absent` or `damaged`.
    pub state: &'static str,
}

/// Hashes the files of a pack in a directory.
///
/// # Errors
/// A file that cannot be read.
pub fn pack_status(pack: &ModelPack, directory: &Path) -> Result<PackStatus> {
    let found = models::status(pack, directory)?;
    let present = models::is_complete(pack, &found);
    let files = found.into_iter().map(|found| PackFile {
        path: found.path,
        sha256: found.file.sha256,
        state: match found.state {
            FileState::Good => "good",
            FileState::Absent => "absent",
            FileState::Corrupt(_) => "damaged",
        },
    });
    let files = files.collect();
    Ok(PackStatus { name: pack.name, summary: pack.summary, present, files, licence: pack.licence })
}

/// Hashes the files of all packs in a directory.
///
/// # Errors
/// A file that cannot be read.
pub fn pack_statuses(directory: &Path) -> Result<Vec<PackStatus>> {
    PACKS.iter().map(|pack| pack_status(pack, directory)).collect()
}

/// What would run here, and whether the files of the model packs are what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The instructions that the CPU engine uses.
    pub kernels: String,
    /// Its precision, where none is asked for.
    pub default_precision: String,
    /// All instructions that it can use here.
    pub available_kernels: Vec<String>,
    /// The packs.
    pub packs: Vec<PackStatus>,
}

impl Verification {
    /// Refuses files that are not those that belong there.
    ///
    /// # Errors
    /// Their names, and what to do.
    pub fn require_undamaged(&self) -> Result<()> {
        let files = self.packs.iter().flat_map(|pack| &pack.files);
        let damaged = files.filter(|file| file.state == "damaged");
        let damaged: Vec<String> = damaged.map(|file| file.path.display().to_string()).collect();
        if damaged.is_empty() {
            return Ok(());
        }
        Err(Error::Data(format!(
            "not the pinned bytes: {}; delete them and run `facefold models fetch`",
            damaged.join(", ")
        )))
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kernels, precision) = (&self.kernels, &self.default_precision);
        let available = self.available_kernels.join(", ");
        write!(
            f,
            "CPU engine: {kernels} kernels, {precision} by default (this machine can run {available})"
        )?;
        self.packs.iter().try_for_each(|pack| write!(f, "\n{pack}"))
    }
}

/// Hashes all files, and chooses the CPU engine's kernels.
///
/// # Errors
/// A file that cannot be read, or kernels that were asked for and cannot run here.
pub fn verify_weights(directory: &Path) -> Result<Verification> {
    let kernel = Kernel::choose().map_err(|error| Error::Data(error.to_string()))?;
    Ok(Verification {
        kernels: kernel.to_string(),
        default_precision: Precision::default_for(kernel).to_string(),
        available_kernels: Kernel::available().iter().map(ToString::to_string).collect(),
        packs: pack_statuses(directory)?,
    })
}

/// The networks that a bundle's features come from, fetched where that is allowed.
///
/// # Errors
/// A bundle of imported embeddings, or weights that cannot be had.
pub fn bundle_networks(
    bundle: &Bundle,
    offline: bool,
    progress: &dyn Progress,
) -> Result<PackNetworks> {
    bundle.require_network()?;
    let pack = ModelPack::named(&bundle.extractor.model)?;
    let directory = models::default_directory();
    let detects = bundle.extractor.detector != "none";
    let taps = bundle.features != FeatureChoice::Embedding;
    let load = || PackNetworks::load(pack, &directory, detects, taps);
    with_weights(pack, &directory, offline, progress, load)
}
