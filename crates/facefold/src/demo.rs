//! The whole pipeline on synthetic faces: they are drawn, embedded, cross-validated on and predicted for.

use std::path::{Path, PathBuf};

use facefold_core::text::with_causes;
use facefold_core::{Extractor as _, Task};
use facefold_datasets::{Dataset, DatasetKind};
use facefold_predict::{DEFAULT_BUNDLE, default_bundle, table};
use facefold_report::Report;
use facefold_vision::LocalExtractor;
use facefold_vision::decode::Limits;

use crate::error::Result;
use crate::evaluation::provenance::network_name;
use crate::evaluation::{EvaluationOptions, cross_validate_stores};
use crate::extract::{DecodeProbe, ExtractOptions, Source, extract};
use crate::network::{DEFAULT_MODEL, Faces, NetworkOptions};
use crate::options::{LearningOptions, Origin};
use crate::parallel::threads;
use crate::prediction::predictor;
use crate::progress::Progress;
use crate::synthetic::{self, SyntheticOptions};

/// Stands first in the report.
const SYNTHETIC: &str = "The faces are drawn, of people who do not exist: these figures show that the \
                         pipeline works and are no result on faces.";

/// Stands before the prediction for a synthetic face.
const DRAWING: &str = "The embedded bundle on one of these faces. It was trained on photographs, and \
                       a drawing is none: expect a note that it is unlike the training faces, and \
                       believe nothing of what is predicted.";

/// What is drawn, and where everything goes.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Directory of pictures, store and report.
    pub out: PathBuf,
    /// Pictures to draw.
    pub pictures: usize,
    /// People to draw.
    pub subjects: usize,
    /// Model pack; none: the default one, or the untrained network where its weights cannot be had.
    pub model: Option<String>,
    /// Seed of everything.
    pub seed: u64,
    /// Worker threads; 0 takes all cores.
    pub threads: usize,
    /// Never fetch weights.
    pub offline: bool,
    /// As in [`ExtractOptions`].
    pub probe: Option<DecodeProbe>,
    /// As in [`EvaluationOptions`].
    pub origin: Origin,
}

/// What came of it.
#[derive(Debug)]
pub struct Demo {
    /// The comparison of MLP, SVM and linear head.
    pub report: Report,
    /// What the embedded bundle predicts for one of the faces, or why it cannot.
    pub face: String,
}

/// Runs the pipeline; `said` gets what a person should read on the way. `None` where it was cancelled: the same call
/// resumes.
///
/// # Errors
/// If a step fails, or `said` does. What was drawn, extracted and fitted is kept.
pub fn demo(
    options: &DemoOptions,
    progress: &dyn Progress,
    mut said: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<Option<Demo>> {
    let (model, extractor, fallback) = extractor(options, progress)?;
    said(&plan(options, &network_name(extractor.info())))?;
    if let Some(reason) = &fallback {
        said(reason)?;
    }
    said(&extractor.info().licence)?;

    let pictures = options.out.join("pictures");
    let drawing = SyntheticOptions {
        subjects: options.subjects,
        pictures: options.pictures,
        seed: options.seed,
        threads: options.threads,
        ..SyntheticOptions::default()
    };
    let Some(drawn) = synthetic::generate(&pictures, &drawing, progress)? else {
        return Ok(None);
    };
    said(&format!("Drew {} pictures of {} subjects", drawn.pictures, drawn.subjects))?;

    // One store a network, so that a demo that fell back once does not block the next.
    let store = options.out.join(format!("store-{model}"));
    let source = Source::new(DatasetKind::Adience, &pictures);
    let dataset = source.load(&())?;
    let extraction = ExtractOptions {
        workers: threads(options.threads),
        probe: options.probe.clone(),
        ..ExtractOptions::new(&store)
    };
    let extracted = extract(&source, &dataset, &extractor, &extraction, progress)?;
    if extracted.interrupted {
        return Ok(None);
    }
    let rejected = extracted.rejected.values().sum::<u64>();
    let embedded = extracted.distinct_pictures as u64 - rejected;
    said(&format!("Embedded {embedded} pictures, rejected {rejected}"))?;

    let learning = LearningOptions {
        seed: options.seed,
        threads: options.threads,
        ..LearningOptions::new(&store, &[Task::Gender, Task::AgeGroup])
    };
    let evaluation = EvaluationOptions {
        warnings: fallback.into_iter().chain([SYNTHETIC.to_owned()]).collect(),
        origin: options.origin.clone(),
        ..EvaluationOptions::new(learning, &["mlp", "svm", "linear"], &options.out)
    };
    let Some(report) = cross_validate_stores(&evaluation, progress)? else {
        return Ok(None);
    };
    let face = first_face(options, &model, &pictures, &dataset)?;
    Ok(Some(Demo { report, face }))
}

/// What is going to be done, in five lines.
fn plan(options: &DemoOptions, network: &str) -> String {
    format!(
        "1. Draws {} faces of {} people who do not exist.\n\
         2. Embeds each with {network}.\n\
         3. Fits three heads for gender and age group, and tests them on people they have not seen.\n\
         4. Writes a report with tables and plots into {}.\n\
         5. Predicts gender and age of one face with the embedded bundle.\n",
        options.pictures,
        options.subjects,
        options.out.display()
    )
}

/// What the embedded bundle predicts for one of the synthetic faces, or why it cannot.
fn first_face(
    options: &DemoOptions,
    model: &str,
    pictures: &Path,
    dataset: &Dataset,
) -> Result<String> {
    let bundle = default_bundle()?;
    let Some(sample) = dataset.samples.first().filter(|_| bundle.extractor.model == model) else {
        return Ok(format!(
            "The embedded bundle needs the weights of {}: no face is predicted.",
            bundle.extractor.model
        ));
    };
    let bundles = vec![(DEFAULT_BUNDLE.to_owned(), bundle)];
    let network = NetworkOptions { offline: options.offline, ..NetworkOptions::default() };
    let predictor = predictor(bundles, &network, Faces::default(), Limits::default(), &())?;
    let path = pictures.join(&sample.path);
    let answers = predictor.predict(&path.display().to_string(), &fs_err::read(&path)?)?;
    Ok(format!("{DRAWING}\n{}", table::table(&answers)))
}

/// The extractor, the name of its model pack, and why it is not the usual one.
fn extractor(
    options: &DemoOptions,
    progress: &dyn Progress,
) -> Result<(String, LocalExtractor, Option<String>)> {
    let network = NetworkOptions { offline: options.offline, ..NetworkOptions::default() };
    let extractor = |model: &str| {
        network.of_model(model).extractor(Faces::default(), Limits::default(), progress)
    };
    if let Some(model) = &options.model {
        return Ok((model.clone(), extractor(model)?, None));
    }
    match extractor(DEFAULT_MODEL) {
        Ok(extractor) => Ok((DEFAULT_MODEL.to_owned(), extractor, None)),
        Err(error) => {
            progress.note(&with_causes(&error).split_whitespace().collect::<Vec<_>>().join(" "));
            let reason = "The weights of buffalo_s cannot be had, so this ran on an untrained \
                          network (seeded random weights, whole pictures as crops).";
            Ok(("untrained".to_owned(), extractor("untrained")?, Some(reason.to_owned())))
        }
    }
}
