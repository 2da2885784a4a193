//! A bundle: one file with trained heads and all that they need to predict new pictures.
//!
//! The file is in the safetensors format, readable without facefold: its metadata key `facefold`
//! holds the JSON manifest, a head's tensors are named `<number of the head>/<name>`, those of the
//! familiarity `familiarity/<name>`, and the tensor `checksum` is the BLAKE3 hash of the manifest
//! and of the other tensors. Matrices of heads are stored in the bundle's [`WeightFormat`], their
//! vectors in single precision. The file holds no time and no path, so the same heads give the same
//! bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::{
    AgeGroups, AgeIntervals, AgeThreshold, ExtractorInfo, FamiliarityModel, Fingerprint,
    FittedHead, HeadError, StateDict, TargetKind, Task, files,
};
use facefold_onnx::computation::{ComputationGraph, Value};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::choice::FeatureChoice;
use crate::familiarity;
use crate::registry;
use crate::training_set::TrainingSet;
use crate::weights::{self, StoredTensor, WeightFormat};

/// Version of the manifest; a reader refuses any other.
const FORMAT: u32 = 1;
/// The metadata key of the manifest.
const MANIFEST: &str = "facefold";
/// The name of the hash's tensor.
const CHECKSUM: &str = "checksum";
/// A longer file is no bundle.
const MOST_BYTES: u64 = 4 << 30;

/// A head and the meaning of its outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskHead {
    /// What it predicts.
    pub task: Task,
    /// Names of its classes in the order of its outputs; empty for regression.
    pub classes: Vec<String>,
    /// The groups behind the classes of an age-group head.
    pub age_groups: Option<AgeGroups>,
    /// Prediction intervals around the predicted age, where held-out rows calibrate them.
    pub age_intervals: Option<AgeIntervals>,
    /// The limits of the predicted age from which it decides at age thresholds.
    pub age_thresholds: Vec<AgeThreshold>,
    /// The head itself.
    pub state: StateDict,
}

impl TaskHead {
    /// The head, ready to predict.
    ///
    /// # Errors
    /// [`HeadError::Corrupt`] where its state dict is not that of a head for its task and classes.
    pub fn fitted(&self) -> Result<Box<dyn FittedHead>, HeadError> {
        let fitted = registry::restore(&self.state)?;
        let target: TargetKind = serde_json::from_value(self.state.config["target"].clone())
            .map_err(|error| {
                HeadError::Corrupt(format!("target of a `{}` head: {error}", self.state.kind))
            })?;
        let (expected, groups) = match self.task {
            Task::Age => (TargetKind::Regression, None),
            Task::AgeGroup => {
                let groups = self.age_groups.as_ref().map(|groups| groups.ranges().len());
                (TargetKind::Classes { count: self.classes.len() }, groups)
            }
            Task::Gender | Task::Class => (TargetKind::Classes { count: self.classes.len() }, None),
        };
        if target != expected || groups.is_some_and(|groups| groups != self.classes.len()) {
            return Err(HeadError::Corrupt(format!(
                "a head for `{}` with {} class names predicts {target:?}",
                self.task,
                self.classes.len()
            )));
        }
        if self.age_intervals.as_ref().is_some_and(|intervals| !intervals.is_valid()) {
            return Err(HeadError::Corrupt("the intervals of its ages do not fit".to_owned()));
        }
        if let Some(limits) = self.age_thresholds.iter().find(|limits| !limits.is_valid()) {
            return Err(HeadError::Corrupt(format!(
                "the limits of its age threshold {} lie on the wrong sides of it",
                limits.age
            )));
        }
        Ok(fitted)
    }

    /// Appends the head's computation to a graph, and gives its prediction: class probabilities,
    /// n x classes, or ages in years, n x 1.
    ///
    /// # Errors
    /// [`HeadError::Setting`] for a head that cannot be exported, naming those that can;
    /// [`HeadError::Corrupt`] where its state dict is not that of a head.
    pub fn export(&self, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
        registry::export(&self.state, graph)
    }
}

/// Trained heads with all that they need to predict, and their provenance.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// One head a task.
    pub heads: Vec<TaskHead>,
    /// What the heads see of a face.
    pub features: FeatureChoice,
    /// Whether the heads were trained and measured on mirrored crops too: each prediction is then
    /// the mean over the crop and its mirror image (flip TTA), else it is by the crop alone.
    pub mirrored: bool,
    /// Detects faces unlike the training faces, where enough rows were held out to calibrate
    /// it.
    pub familiarity: Option<FamiliarityModel>,
    /// What the training embeddings were made with.
    pub fingerprint: Fingerprint,
    /// The extractor that made them.
    pub extractor: ExtractorInfo,
    /// The sets trained on.
    pub training: Vec<TrainingSet>,
    /// How the file stores the heads' matrices.
    pub weights: WeightFormat,
    /// How labels became targets.
    pub label_policy: String,
    /// The command that trained the heads.
    pub command: String,
    /// What they scored, as the report has it.
    pub metrics: serde_json::Value,
    /// Terms of the weights and the pictures, one line.
    pub licence: String,
    /// Seed of the training.
    pub seed: u64,
    /// Version of facefold that trained the heads.
    pub facefold_version: String,
}

/// The manifest: a bundle without its tensors.
#[derive(Serialize, Deserialize)]
struct Manifest<'a> {
    format: u32,
    heads: Vec<ManifestHead<'a>>,
    features: FeatureChoice,
    /// Present where it is not [`FeatureChoice::usually_mirrored`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mirrored: Option<bool>,
    fingerprint: Cow<'a, Fingerprint>,
    extractor: Cow<'a, ExtractorInfo>,
    training: Cow<'a, [TrainingSet]>,
    weights: WeightFormat,
    label_policy: Cow<'a, str>,
    command: Cow<'a, str>,
    metrics: Cow<'a, serde_json::Value>,
    licence: Cow<'a, str>,
    seed: u64,
    facefold_version: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct ManifestHead<'a> {
    task: Task,
    classes: Cow<'a, [String]>,
    age_groups: Cow<'a, Option<AgeGroups>>,
    #[serde(default)]
    age_intervals: Cow<'a, Option<AgeIntervals>>,
    #[serde(default)]
    age_thresholds: Cow<'a, [AgeThreshold]>,
    kind: Cow<'a, str>,
    config: Cow<'a, serde_json::Value>,
}

impl Bundle {
    /// Writes the bundle to one file, atomically.
    ///
    /// # Errors
    /// [`BundleError::Export`] naming the path.
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        let bytes = self.to_bytes()?;
        files::write_atomic(path, &bytes)
            .map_err(|source| BundleError::Export { path: path.to_owned(), source })
    }

    /// Reads a bundle and makes sure that each of its heads can be used.
    ///
    /// # Errors
    /// [`BundleError::Read`] where the file cannot be read, [`BundleError::Corrupt`] where it is
    /// no bundle; both name the path.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let bytes = files::read_at_most(path, MOST_BYTES).map_err(|source| {
            if files::is_absent(&source) {
                return BundleError::Absent { path: path.to_owned() };
            }
            BundleError::Read { source }
        })?;
        Self::from_bytes(&bytes)
            .map_err(|reason| BundleError::Corrupt { path: path.to_owned(), reason })
    }

    /// The bytes of the bundle's file; the same bundle gives the same bytes. With
    /// [`WeightFormat::F16`] what is read back holds the nearest values of half precision.
    ///
    /// # Errors
    /// [`BundleError::Unwritable`] where a part has no form in the file, or a matrix holds a value
    /// that [`WeightFormat::F16`] cannot.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let unwritable = |error: &dyn fmt::Display| BundleError::Unwritable(error.to_string());
        let manifest = serde_json::to_string(&self.manifest()).map_err(|e| unwritable(&e))?;
        let mut tensors: BTreeMap<String, StoredTensor> =
            self.familiarity.as_ref().map(familiarity::store).unwrap_or_default();
        for (number, head) in self.heads.iter().enumerate() {
            for (name, tensor) in &head.state.tensors {
                let name = format!("{number}/{name}");
                let stored = weights::store(tensor, self.weights)
                    .map_err(|value| unwritable(&overflow(&name, value)))?;
                tensors.insert(name, stored);
            }
        }
        let checksum = checksum(
            &manifest,
            tensors
                .iter()
                .map(|(name, stored)| (name.as_str(), &stored.shape[..], &stored.bytes[..])),
        );
        let mut views = Vec::with_capacity(tensors.len() + 1);
        for (name, stored) in &tensors {
            let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes);
            views.push((name.as_str(), view.map_err(|e| unwritable(&e))?));
        }
        let view = TensorView::new(Dtype::U8, vec![checksum.len()], &checksum);
        views.push((CHECKSUM, view.map_err(|e| unwritable(&e))?));
        let metadata = HashMap::from([(MANIFEST.to_owned(), manifest)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritable(&e))
    }

    /// Reads the bytes of a bundle's file.
    ///
    /// # Errors
    /// What is wrong with the bytes, in words.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|error| format!("it is not a whole safetensors file: {error}"))?;
        let manifest = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(MANIFEST))
            .ok_or_else(|| format!("its metadata lack the key `{MANIFEST}`"))?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| format!("it is not a whole safetensors file: {error}"))?;
        let mut tensors = file.tensors();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        let stored =
            file.tensor(CHECKSUM).map_err(|_| format!("it lacks the tensor `{CHECKSUM}`"))?;
        tensors.retain(|(name, _)| name != CHECKSUM);
        let state = tensors.iter().map(|(name, view)| (name.as_str(), view.shape(), view.data()));
        if stored.data() != checksum(manifest, state) {
            return Err("its checksum does not fit its content".to_owned());
        }
        let manifest: Manifest<'_> = serde_json::from_str(manifest)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!(
                "it has format {}, this facefold reads format {FORMAT}",
                manifest.format
            ));
        }
        let bundle = Self::assemble(manifest, &tensors)?;
        for head in &bundle.heads {
            head.fitted().map_err(|error| error.to_string())?;
        }
        Ok(bundle)
    }

    /// The heads, ready to predict, in the order of [`Self::heads`].
    ///
    /// # Errors
    /// [`HeadError::Corrupt`] where the state dict of one is not that of a head.
    pub fn fitted(&self) -> Result<Vec<Box<dyn FittedHead>>, HeadError> {
        self.heads.iter().map(TaskHead::fitted).collect()
    }

    /// Refuses embeddings that were made with something else than the training embeddings.
    ///
    /// # Errors
    /// [`BundleError::Fingerprint`] naming both and what to do.
    pub fn check(&self, fingerprint: &Fingerprint) -> Result<(), BundleError> {
        if *fingerprint == self.fingerprint {
            return Ok(());
        }
        self.require_network()?;
        Err(BundleError::Fingerprint {
            trained: self.fingerprint.clone(),
            found: fingerprint.clone(),
            model: self.extractor.model.clone(),
            network: self.extractor.network.clone(),
            precision: self.extractor.precision.to_string(),
        })
    }

    /// Refuses a bundle that was trained on imported embeddings: no picture can be embedded for it.
    ///
    /// # Errors
    /// [`BundleError::Imported`] naming the network.
    pub fn require_network(&self) -> Result<(), BundleError> {
        if self.extractor.is_imported() {
            return Err(BundleError::Imported { network: self.extractor.network.clone() });
        }
        Ok(())
    }

    fn manifest(&self) -> Manifest<'_> {
        let heads = self.heads.iter().map(|head| ManifestHead {
            task: head.task,
            classes: Cow::Borrowed(&head.classes),
            age_groups: Cow::Borrowed(&head.age_groups),
            age_intervals: Cow::Borrowed(&head.age_intervals),
            age_thresholds: Cow::Borrowed(&head.age_thresholds),
            kind: Cow::Borrowed(&head.state.kind),
            config: Cow::Borrowed(&head.state.config),
        });
        Manifest {
            format: FORMAT,
            heads: heads.collect(),
            features: self.features,
            mirrored: (self.mirrored != self.features.usually_mirrored()).then_some(self.mirrored),
            fingerprint: Cow::Borrowed(&self.fingerprint),
            extractor: Cow::Borrowed(&self.extractor),
            training: Cow::Borrowed(&self.training),
            weights: self.weights,
            label_policy: Cow::Borrowed(&self.label_policy),
            command: Cow::Borrowed(&self.command),
            metrics: Cow::Borrowed(&self.metrics),
            licence: Cow::Borrowed(&self.licence),
            seed: self.seed,
            facefold_version: Cow::Borrowed(&self.facefold_version),
        }
    }

    fn assemble(
        manifest: Manifest<'_>,
        tensors: &[(String, TensorView<'_>)],
    ) -> Result<Self, String> {
        let mut heads: Vec<TaskHead> = manifest
            .heads
            .into_iter()
            .map(|head| TaskHead {
                task: head.task,
                classes: head.classes.into_owned(),
                age_groups: head.age_groups.into_owned(),
                age_intervals: head.age_intervals.into_owned(),
                age_thresholds: head.age_thresholds.into_owned(),
                state: StateDict {
                    kind: head.kind.into_owned(),
                    config: head.config.into_owned(),
                    tensors: BTreeMap::new(),
                },
            })
            .collect();
        let mut of_familiarity = BTreeMap::new();
        for (name, view) in tensors {
            if let Some(part) = name.strip_prefix(familiarity::PREFIX) {
                of_familiarity.insert(part, view);
                continue;
            }
            let (head, part) = name
                .split_once('/')
                .and_then(|(number, part)| {
                    Some((heads.get_mut(number.parse::<usize>().ok()?)?, part))
                })
                .ok_or_else(|| format!("its tensor `{name}` belongs to no head"))?;
            let tensor =
                weights::load(view).map_err(|error| format!("its tensor `{name}`: {error}"))?;
            head.state.tensors.insert(part.to_owned(), tensor);
        }
        Ok(Self {
            heads,
            features: manifest.features,
            mirrored: manifest.mirrored.unwrap_or(manifest.features.usually_mirrored()),
            familiarity: familiarity::restore(&of_familiarity)?,
            fingerprint: manifest.fingerprint.into_owned(),
            extractor: manifest.extractor.into_owned(),
            training: manifest.training.into_owned(),
            weights: manifest.weights,
            label_policy: manifest.label_policy.into_owned(),
            command: manifest.command.into_owned(),
            metrics: manifest.metrics.into_owned(),
            licence: manifest.licence.into_owned(),
            seed: manifest.seed,
            facefold_version: manifest.facefold_version.into_owned(),
        })
    }
}

/// The error for a value that half precision cannot represent.
fn overflow(tensor: &str, value: f32) -> String {
    format!(
        "its tensor `{tensor}`: expected values that f16 can hold, found {value}; store its weights \
         as f32"
    )
}

/// Hash of the manifest's text and of tensors in the order of their names.
fn checksum<'a>(
    manifest: &str,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 bundle v1");
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(manifest.as_bytes());
    for (name, shape, bytes) in tensors {
        part(name.as_bytes());
        part(format!("{shape:?}").as_bytes());
        part(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Why a bundle cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing is there.
    #[error("expected a bundle at `{}`, found nothing there; `facefold train` makes one", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the bundle: {source}")]
    Read {
        /// Names the path.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the bundle: {source}")]
    Export {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The file is no bundle, or not a whole one.
    #[error(
        "`{}` is not a bundle that can be used: {reason}; make it again with `facefold train`",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A part has no form in the file.
    #[error("the bundle cannot be written: {0}")]
    Unwritable(String),
    /// The embeddings were imported.
    #[error(
        "the bundle was trained on imported embeddings of `{network}`, which facefold cannot make from pictures: \
         expected a bundle trained on a store that `facefold extract` made; `facefold export` writes this one as \
         an ONNX file that takes embeddings of `{network}`"
    )]
    Imported {
        /// The network that made the training embeddings, as it was named.
        network: String,
    },
    /// The embeddings were made with something else.
    #[error(
        "the bundle does not fit these embeddings: expected fingerprint {trained} ({model}, \
         {network}, precision class {precision}), found {found}; use the model and precision class \
         that the bundle was trained with, or train a new bundle on a store of these"
    )]
    Fingerprint {
        /// Of the training embeddings.
        trained: Fingerprint,
        /// Of the embeddings at hand.
        found: Fingerprint,
        /// The model pack trained with.
        model: String,
        /// The network trained with.
        network: String,
        /// The precision class trained with.
        precision: String,
    },
}
