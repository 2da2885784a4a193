//! The models directory: where it is, what of a pack it holds, and loading with the hash checked.

use std::env;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::unpack::sha256;
use super::{ModelFile, ModelPack, ModelsError};

/// Where weights are kept: `$FACEFOLD_MODELS`, else `facefold/models` in the user's data
/// directory (`$XDG_DATA_HOME`, `~/.local/share`, or `%LOCALAPPDATA%`), else `models` here.
#[must_use]
pub fn default_directory() -> PathBuf {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(directory) = variable("FACEFOLD_MODELS") {
        return directory.into();
    }
    variable("XDG_DATA_HOME")
        .or_else(|| variable("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/share")))
        .map_or_else(|| "models".into(), |data| data.join("facefold/models"))
}

/// What lies under a file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// The pinned bytes.
    Good,
    /// Nothing.
    Absent,
    /// Other bytes, with their SHA-256.
    Corrupt(String),
}

/// A pack's file and what was found under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// The file.
    pub file: ModelFile,
    /// Where it was looked for.
    pub path: PathBuf,
    /// What was found.
    pub state: FileState,
}

/// Hashes a pack's files in a models directory: the embedding network, then each detector.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn status(pack: &ModelPack, directory: &Path) -> Result<Vec<FileStatus>, ModelsError> {
    pack.files()
        .map(|&file| {
            let path = directory.join(file.name);
            let state = match read_if_there(&path)?.map(|bytes| sha256(&bytes)) {
                None => FileState::Absent,
                Some(found) if found == file.sha256 => FileState::Good,
                Some(found) => FileState::Corrupt(found),
            };
            Ok(FileStatus { file, path, state })
        })
        .collect()
}

/// Whether a pack's files, as [`status`] found them, are enough to run it.
#[must_use]
pub fn is_complete(pack: &ModelPack, found: &[FileStatus]) -> bool {
    let good = |file: &ModelFile| {
        found.iter().any(|status| status.file == *file && status.state == FileState::Good)
    };
    pack.network.iter().all(good) && (pack.detectors.is_empty() || pack.detectors.iter().any(good))
}

/// The pack's files with their hashes, for a message that names the missing files.
pub(super) fn needed(pack: &ModelPack) -> String {
    let named = |file: &ModelFile| format!("{} (sha256 {})", file.name, file.sha256);
    let detectors = pack.detectors.iter().map(named).collect::<Vec<_>>().join(" or ");
    let network = pack.network.iter().map(named);
    network.chain((!detectors.is_empty()).then_some(detectors)).collect::<Vec<_>>().join(", and ")
}

/// A file of weights in memory, its hash checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFile {
    /// Which file.
    pub file: ModelFile,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads a pack's detector (the first one there; none if the pack has none) and embedding network.
///
/// # Errors
/// [`ModelsError::Missing`] or [`ModelsError::Corrupt`], each saying what to do.
pub fn load(
    pack: &ModelPack,
    directory: &Path,
) -> Result<(Option<LoadedFile>, Option<LoadedFile>), ModelsError> {
    let first_of = |files: &[ModelFile]| -> Result<Option<LoadedFile>, ModelsError> {
        for &file in files {
            let path = directory.join(file.name);
            let Some(bytes) = read_if_there(&path)? else { continue };
            let found = sha256(&bytes);
            if found != file.sha256 {
                return Err(ModelsError::Corrupt { path, expected: file.sha256, found });
            }
            return Ok(Some(LoadedFile { file, bytes }));
        }
        if files.is_empty() {
            return Ok(None);
        }
        Err(ModelsError::Missing {
            model: pack.name.to_owned(),
            directory: directory.to_owned(),
            needed: needed(pack),
        })
    };
    Ok((first_of(pack.detectors)?, first_of(pack.network.as_slice())?))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ModelsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
