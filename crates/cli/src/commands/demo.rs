//! `facefold demo`: the whole pipeline on drawn faces.

use std::path::Path;

use anyhow::Result;
use facefold_core::Extractor;
use facefold_datasets::Dataset;
use facefold_datasets::synthetic::SyntheticOptions;
use facefold_predict::{DEFAULT_BUNDLE, Predictor, default_bundle, table};

use super::{cv, data, extract, threads};
use crate::arguments::{
    CvArguments, DEFAULT_DEVICE, DEFAULT_MODEL, DemoArguments, EvaluationArguments,
    ExtractArguments, LearningArguments, NetworkArguments, SourceArguments, ThresholdArguments,
    Tree,
};
use crate::containers::BackendArguments;
use crate::network::{self, Faces};
use crate::output::{self, Output};
use crate::{Outcome, interrupt, provenance};

/// Stands first in the report.
const DRAWN: &str = "The faces are drawn, of people who do not exist: these figures show that the \
                     pipeline works and are no result on faces.";

/// Stands before the prediction for a drawn face.
const DRAWING: &str = "The embedded bundle on one of these faces. It was trained on photographs, and \
                       a drawing is none: expect a note that it is unlike the training faces, and \
                       believe nothing of what is predicted.";

/// What to try after the demo.
const NEXT: &str = "\
Next:
  facefold predict photo.jpg     gender, age and age group of the face in a photograph
  facefold serve                 the same over HTTP, with a page at http://127.0.0.1:8080
  facefold bundle show           what it was trained on, and what it must not be used for
";

/// Runs `demo`.
///
/// # Errors
/// If a step fails. What was drawn, extracted and fitted is kept, and the same command goes on.
pub fn run(arguments: &DemoArguments, output: Output) -> Result<Outcome> {
    let interrupted = interrupt::listen()?;
    let (model, extractor, fallback) = extractor(arguments)?;
    output.say(&format!("Network: {}", provenance::network_name(extractor.info())))?;
    if let Some(reason) = &fallback {
        output.say(reason)?;
    }
    output.say(&extractor.info().licence)?;

    let pictures = arguments.out.join("pictures");
    let options = SyntheticOptions {
        subjects: arguments.subjects,
        pictures: arguments.pictures,
        seed: arguments.seed,
        threads: arguments.threads,
        ..SyntheticOptions::default()
    };
    let Some(drawn) = data::draw(&pictures, &options, &interrupted)? else {
        return Ok(Outcome::Interrupted);
    };
    output.say(&format!("Drew {} pictures of {} subjects", drawn.pictures, drawn.subjects))?;

    // One store a network, so that a demo that fell back once does not block the next.
    let store = arguments.out.join(format!("store-{model}"));
    let extraction = extract_arguments(arguments, &model, &pictures, &store);
    let dataset = extract::load_source(&extraction.source)?;
    let extracted = extract::extract(
        &extraction,
        &dataset,
        extractor.as_ref(),
        threads(arguments.threads),
        &interrupted,
    )?;
    if extracted.interrupted {
        return Ok(Outcome::Interrupted);
    }
    output.say(&format!(
        "Embedded {} pictures, rejected {} ({:.0} pictures/s)",
        extracted.distinct_pictures as u64 - extracted.rejected.values().sum::<u64>(),
        extracted.rejected.values().sum::<u64>(),
        extracted.pictures_per_second
    ))?;

    let warnings: Vec<String> = fallback.into_iter().chain([DRAWN.to_owned()]).collect();
    let cv_arguments = cv_arguments(arguments, &store);
    let Some(report) = cv::cross_validate(&cv_arguments, &warnings, &interrupted)? else {
        return Ok(Outcome::Interrupted);
    };
    output.answer(&report, || facefold_report::terminal(&report))?;
    output.say(&first_face(arguments, &model, &pictures, &dataset)?)?;
    output.say(NEXT)?;
    output.say(&arguments.out.join("report.md").display().to_string())?;
    Ok(Outcome::Done)
}

/// What the embedded bundle predicts for one of the drawn faces, or why it cannot.
fn first_face(
    arguments: &DemoArguments,
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
    let faces = Faces { taps: Predictor::needs_taps(&bundles), ..Faces::default() };
    let predictor =
        Predictor::new(network::extractor(&network(arguments, model), faces)?, bundles)?;
    let path = pictures.join(&sample.path);
    let answers = predictor.predict(&path.display().to_string(), &fs_err::read(&path)?)?;
    Ok(format!("{DRAWING}\n{}", table::table(&answers)))
}

fn network(arguments: &DemoArguments, model: &str) -> NetworkArguments {
    NetworkArguments {
        model: model.to_owned(),
        precision: None,
        device: DEFAULT_DEVICE.to_owned(),
        threads: arguments.threads,
        offline: arguments.offline,
    }
}

/// The extractor, the name of its model pack, and why it is not the usual one.
fn extractor(arguments: &DemoArguments) -> Result<(String, Box<dyn Extractor>, Option<String>)> {
    let extractor = |model: &str| network::extractor(&network(arguments, model), Faces::default());
    if let Some(model) = &arguments.model {
        return Ok((model.clone(), extractor(model)?, None));
    }
    match extractor(DEFAULT_MODEL) {
        Ok(extractor) => Ok((DEFAULT_MODEL.to_owned(), extractor, None)),
        Err(error) => {
            output::note(&format!("{error:#}"));
            let reason = "The weights of buffalo_s cannot be had, so this ran on an untrained \
                          network (seeded random weights, whole pictures as crops).";
            Ok(("untrained".to_owned(), extractor("untrained")?, Some(reason.to_owned())))
        }
    }
}

fn extract_arguments(
    arguments: &DemoArguments,
    model: &str,
    pictures: &Path,
    store: &Path,
) -> ExtractArguments {
    ExtractArguments {
        source: SourceArguments {
            kind: "adience".to_owned(),
            root: pictures.to_owned(),
            labels: None,
            tree: Tree::Aligned,
            frontal: false,
        },
        store: store.to_owned(),
        network: network(arguments, model),
        backend: BackendArguments::default(),
        taps: false,
        aligned: false,
        augment: 0,
        oversample: 0,
        retry_rejected: false,
        strict: false,
    }
}

fn cv_arguments(arguments: &DemoArguments, store: &Path) -> CvArguments {
    CvArguments {
        evaluation: EvaluationArguments {
            learning: LearningArguments {
                store: vec![store.to_owned()],
                task: vec!["gender".to_owned(), "age-group".to_owned()],
                features: None,
                label_policy: "exact".to_owned(),
                age_groups: "adience".to_owned(),
                beside: Vec::new(),
                min_quality: Vec::new(),
                ages: None,
                without_augmented: false,
                seed: arguments.seed,
                settings: Vec::new(),
                memory: None,
                init: None,
                threads: arguments.threads,
            },
            test_store: Vec::new(),
            columns: Vec::new(),
            without_mirrored: false,
            thresholds: ThresholdArguments::default(),
            protocol: None,
            seeds: 1,
            out: arguments.out.clone(),
        },
        head: ["mlp", "svm", "linear"].map(str::to_owned).to_vec(),
    }
}
