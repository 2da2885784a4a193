//! `facefold demo`: the whole pipeline on synthetic faces.

use std::path::Path;

use anyhow::Result;
use facefold::evaluation::provenance::network_name;
use facefold::extract::Source;
use facefold::network::{DEFAULT_MODEL, NetworkOptions};
use facefold::synthetic::SyntheticOptions;
use facefold::{
    EvaluationOptions, ExtractOptions, Faces, LearningOptions, Progress, cross_validate_stores,
    extract, predictor, synthetic, threads,
};
use facefold_core::{Extractor as _, Task};
use facefold_datasets::{Dataset, DatasetKind};
use facefold_predict::{DEFAULT_BUNDLE, default_bundle, table};
use facefold_vision::LocalExtractor;
use facefold_vision::decode::Limits;

use super::extract::probe;
use crate::arguments::DemoArguments;
use crate::config;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::progress::Terminal;

/// Stands first in the report.
const DRAWN: &str = "The faces are drawn, of people who do not exist: these figures show that the \
                     pipeline works and are no result on faces.";

/// Stands before the prediction for a drawn face.
const DRAWING: &str = "The embedded bundle on one of these faces. It was trained on photographs, and \
                       a drawing is none: expect a note that it is unlike the training faces, and \
                       believe nothing of what is predicted.";

/// What to try after the demo.
const NEXT: &str = "
Next:
  facefold predict photo.jpg     gender, age and age group of the face in a photograph
  facefold serve                 the same over HTTP, with a page at http://127.0.0.1:8080
  facefold bundle show           what it was trained on, and what it must not be used for";

/// Runs `demo`.
///
/// # Errors
/// If a step fails. What was drawn, extracted and fitted is kept, and the same command goes on.
pub fn run(arguments: &DemoArguments, output: Output) -> Result<Outcome> {
    let progress = Terminal::listening()?;
    let (model, extractor, fallback) = extractor(arguments, &progress)?;
    output.say(&plan(arguments, &network_name(extractor.info())))?;
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
    let Some(drawn) = synthetic::generate(&pictures, &options, &progress)? else {
        return Ok(Outcome::Interrupted);
    };
    output.say(&format!("Drew {} pictures of {} subjects", drawn.pictures, drawn.subjects))?;

    // One store a network, so that a demo that fell back once does not block the next.
    let store = arguments.out.join(format!("store-{model}"));
    let source = Source::new(DatasetKind::Adience, &pictures);
    let dataset = source.load(&())?;
    let options = ExtractOptions {
        workers: threads(arguments.threads),
        probe: probe(),
        ..ExtractOptions::new(&store)
    };
    let extracted = extract(&source, &dataset, &extractor, &options, &progress)?;
    progress.finish();
    if extracted.interrupted {
        return Ok(Outcome::Interrupted);
    }
    let rejected = extracted.rejected.values().sum::<u64>();
    let embedded = extracted.distinct_pictures as u64 - rejected;
    output.say(&format!("Embedded {embedded} pictures, rejected {rejected}"))?;

    let warnings: Vec<String> = fallback.into_iter().chain([DRAWN.to_owned()]).collect();
    let learning = LearningOptions {
        seed: arguments.seed,
        threads: arguments.threads,
        ..LearningOptions::new(&store, &[Task::Gender, Task::AgeGroup])
    };
    let options = EvaluationOptions {
        warnings,
        origin: config::origin(),
        ..EvaluationOptions::new(learning, &["mlp", "svm", "linear"], &arguments.out)
    };
    let Some(report) = cross_validate_stores(&options, &progress)? else {
        return Ok(Outcome::Interrupted);
    };
    output.answer(&report, || facefold_report::terminal(&report))?;
    output.say(&first_face(arguments, &model, &pictures, &dataset)?)?;
    output.say(&format!("\n{}\n{NEXT}", arguments.out.join("report.html").display()))?;
    Ok(Outcome::Done)
}

/// What the demo does, in five lines.
fn plan(arguments: &DemoArguments, network: &str) -> String {
    format!(
        "1. Draws {} faces of {} people who do not exist.\n\
         2. Embeds each with {network}.\n\
         3. Fits three heads for gender and age group, and tests them on people they have not seen.\n\
         4. Writes a report with tables and plots into {}.\n\
         5. Predicts gender and age of one face with the embedded bundle.\n",
        arguments.pictures,
        arguments.subjects,
        arguments.out.display()
    )
}

/// What the embedded bundle predicts for one of the synthetic faces, or why it cannot.
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
    let network = NetworkOptions { offline: arguments.offline, ..NetworkOptions::default() };
    let predictor = predictor(bundles, &network, Faces::default(), Limits::default(), &())?;
    let path = pictures.join(&sample.path);
    let answers = predictor.predict(&path.display().to_string(), &fs_err::read(&path)?)?;
    Ok(format!("{DRAWING}\n{}", table::table(&answers)))
}

/// The extractor, the name of its model pack, and why it is not the usual one.
fn extractor(
    arguments: &DemoArguments,
    progress: &dyn Progress,
) -> Result<(String, LocalExtractor, Option<String>)> {
    let network = NetworkOptions { offline: arguments.offline, ..NetworkOptions::default() };
    let extractor = |model: &str| {
        network.of_model(model).extractor(Faces::default(), Limits::default(), progress)
    };
    if let Some(model) = &arguments.model {
        return Ok((model.clone(), extractor(model)?, None));
    }
    match extractor(DEFAULT_MODEL) {
        Ok(extractor) => Ok((DEFAULT_MODEL.to_owned(), extractor, None)),
        Err(error) => {
            progress.note(&format!("{:#}", anyhow::Error::from(error)));
            let reason = "The weights of buffalo_s cannot be had, so this ran on an untrained \
                          network (seeded random weights, whole pictures as crops).";
            Ok(("untrained".to_owned(), extractor("untrained")?, Some(reason.to_owned())))
        }
    }
}
