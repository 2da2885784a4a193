//! A bundle as an ONNX file, for runtimes other than facefold.

mod backbone;

use std::fmt;

use facefold_core::{ExtractorError, HeadError, Task};
use facefold_heads::{Bundle, BundleError, FeatureChoice, TaskHead};
use facefold_onnx::computation::ComputationGraph;
use facefold_onnx::{Graph, OnnxError};
use facefold_vision::extractor::PackNetworks;
use serde::Serialize;
use serde_json::json;

pub use facefold_onnx::WeightStorage;

/// What a file without the network takes: rows of features.
pub const FEATURES: &str = "features";
/// What a file with the network takes: aligned crops.
pub const CROP: &str = "crop";

/// Why a bundle cannot be written as an ONNX file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A task that the bundle has no head for.
    #[error("the bundle has no head for `{asked}`: expected some of {known}")]
    Task {
        /// The task.
        asked: Task,
        /// The bundle's tasks.
        known: String,
    },
    /// A head that has no form in the file.
    #[error("cannot export the head for `{task}`: {source}")]
    Head {
        /// Its task.
        task: Task,
        /// Why.
        source: HeadError,
    },
    /// A network other than the bundle's.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The network cannot be read.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
    /// The network has no form in the file.
    #[error(transparent)]
    Network(#[from] OnnxError),
}

/// An ONNX file, and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exported {
    /// The bytes of the file.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// What it takes.
    pub input: Port,
    /// What it gives, one a task.
    pub outputs: Vec<Port>,
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "takes {}", self.input)?;
        self.outputs.iter().try_for_each(|output| write!(f, "\ngives {output}"))
    }
}

/// An input or output of the file: f32, a face a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its sides without the first, which is the number of faces.
    pub shape: Vec<usize>,
}

impl fmt::Display for Port {
    /// `crop: n x 3 x 112 x 112`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: n", self.name)?;
        self.shape.iter().try_for_each(|side| write!(f, " x {side}"))
    }
}

/// Writes heads of a bundle as an ONNX file: those of these tasks, or all where none is named.
///
/// Without `networks` the file takes [`FEATURES`], n x d, as stores keep them: the embedding, then
/// the taps, as far as the bundle's heads see them. With them it takes [`CROP`],
/// n x 3 x 112 x 112, the RGB values 0 to 255 of aligned crops, and predicts as
/// [`crate::Predictor`] does, by the mirrored crops too where the heads were trained on them. It
/// gives `gender_probability` (or that of another task with classes), n x classes in the order of
/// the note `classes.gender`, and `age`, n years.
///
/// # Errors
/// [`ExportError`]: a task or head that is not to be had, networks that are not the bundle's.
pub fn export(
    bundle: &Bundle,
    networks: Option<&PackNetworks>,
    tasks: &[Task],
    weights: WeightStorage,
) -> Result<Exported, ExportError> {
    let heads = heads(bundle, tasks)?;
    let mut graph = Graph::new("facefold", weights);
    let width = bundle.features.width(&bundle.extractor);
    let (input, crops) = match networks {
        None => (Port { name: FEATURES.to_owned(), shape: vec![width] }, 1),
        Some(networks) => {
            bundle.check(&networks.fingerprint(bundle.extractor.precision))?;
            let shape = vec![3, backbone::SIDE, backbone::SIDE];
            (Port { name: CROP.to_owned(), shape }, backbone::crops(bundle))
        }
    };
    graph.input(&input.name, &input.shape);
    let features = match networks {
        None => FEATURES.to_owned(),
        Some(networks) => backbone::write(&mut graph, networks, bundle)?,
    };
    let mut outputs = Vec::with_capacity(heads.len());
    for head in heads {
        let failed = |source| ExportError::Head { task: head.task, source };
        head.fitted().map_err(failed)?;
        let mut computation = ComputationGraph::default();
        let prediction = head.export(&mut computation).map_err(failed)?;
        let name = output_name(head.task);
        let prediction = graph.computation(&name, &computation, prediction, &features, crops);
        let shape = match head.task {
            Task::Age => {
                let row = graph.integers(&format!("{name}/row"), &[-1]);
                graph.node("Reshape", &[&prediction, &row], &name, &[]);
                Vec::new()
            }
            Task::Gender | Task::AgeGroup | Task::Class => {
                graph.node("Identity", &[&prediction], &name, &[]);
                vec![head.classes.len()]
            }
        };
        graph.output(&name, &shape);
        outputs.push(Port { name, shape });
        note_head(&mut graph, head);
    }
    note_bundle(&mut graph, bundle, networks.is_some());
    Ok(Exported { bytes: graph.to_bytes(), input, outputs })
}

/// `gender_probability`, `age_group_probability`, `class_probability` or `age`.
fn output_name(task: Task) -> String {
    match task {
        Task::Age => "age".to_owned(),
        other => format!("{}_probability", other.to_string().replace('-', "_")),
    }
}

fn heads<'a>(bundle: &'a Bundle, tasks: &[Task]) -> Result<Vec<&'a TaskHead>, ExportError> {
    if tasks.is_empty() {
        return Ok(bundle.heads.iter().collect());
    }
    let find = |&asked: &Task| {
        bundle.heads.iter().find(|head| head.task == asked).ok_or_else(|| {
            let known: Vec<String> =
                bundle.heads.iter().map(|head| format!("`{}`", head.task)).collect();
            ExportError::Task { asked, known: known.join(", ") }
        })
    };
    tasks.iter().map(find).collect()
}

/// What a reader of the file must know of a head.
fn note_head(graph: &mut Graph, head: &TaskHead) {
    let TaskHead { task, classes, age_intervals, age_thresholds, state, .. } = head;
    graph.note(&format!("head.{task}"), state.kind.as_str());
    if !classes.is_empty() {
        graph.note(&format!("classes.{task}"), json!(classes).to_string());
    }
    if let Some(intervals) = age_intervals {
        graph.note(&format!("intervals.{task}"), json!(intervals).to_string());
    }
    if !age_thresholds.is_empty() {
        graph.note(&format!("thresholds.{task}"), json!(age_thresholds).to_string());
    }
}

/// What a reader of the file must know of the bundle.
fn note_bundle(graph: &mut Graph, bundle: &Bundle, with_network: bool) {
    let (embedding, taps) = (bundle.extractor.embedding_length, bundle.extractor.taps_length);
    let columns = match bundle.features {
        FeatureChoice::Embedding => json!({ "embedding": [0, embedding] }),
        FeatureChoice::Taps => json!({ "taps": [0, taps] }),
        FeatureChoice::Both => {
            json!({ "embedding": [0, embedding], "taps": [embedding, embedding + taps] })
        }
    };
    graph.note("features", columns.to_string());
    graph.note("mirrored", (with_network && backbone::crops(bundle) > 1).to_string());
    graph.note("model", bundle.extractor.model.as_str());
    graph.note("network", bundle.extractor.network.as_str());
    graph.note("fingerprint", bundle.fingerprint.to_string());
    graph.note("label_policy", bundle.label_policy.as_str());
    graph.note("metrics", bundle.metrics.to_string());
    graph.note("licence", bundle.licence.as_str());
    graph.note("facefold_version", bundle.facefold_version.as_str());
}
