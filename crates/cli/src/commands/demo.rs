//! `facefold demo`: the whole pipeline on drawn faces.

use anyhow::Result;
use facefold_core::Extractor;
use facefold_datasets::drawn::DrawOptions;

use super::{cv, data, extract, threads};
use crate::arguments::{
    CvArguments, DemoArguments, EvaluationArguments, ExtractArguments, LearningArguments,
    NetworkArguments, SourceArguments, Tree,
};
use crate::containers::BackendArguments;
use crate::network::{self, Faces};
use crate::output::{self, Output};
use crate::{Outcome, interrupt, provenance};

/// Stands first in the report.
const DRAWN: &str = "The faces are drawn, of people who do not exist: these figures show that the \
                     pipeline works and are no result on faces.";

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
    let options = DrawOptions {
        subjects: arguments.subjects,
        pictures: arguments.pictures,
        seed: arguments.seed,
        threads: arguments.threads,
        ..DrawOptions::default()
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
    output.say(&arguments.out.join("report.md").display().to_string())?;
    Ok(Outcome::Done)
}

/// The extractor, the name of its model pack, and why it is not the usual one.
fn extractor(arguments: &DemoArguments) -> Result<(String, Box<dyn Extractor>, Option<String>)> {
    let network = |model: &str| NetworkArguments {
        model: model.to_owned(),
        precision: None,
        device: "cpu".to_owned(),
        threads: arguments.threads,
        offline: arguments.offline,
    };
    if let Some(model) = &arguments.model {
        return Ok((model.clone(), network::extractor(&network(model), Faces::default())?, None));
    }
    match network::extractor(&network("buffalo_s"), Faces::default()) {
        Ok(extractor) => Ok(("buffalo_s".to_owned(), extractor, None)),
        Err(error) => {
            output::note(&format!("{error:#}"));
            let reason = "The weights of buffalo_s cannot be had, so this ran on an untrained \
                          network (seeded random weights, whole pictures as crops).";
            let extractor = network::extractor(&network("untrained"), Faces::default())?;
            Ok(("untrained".to_owned(), extractor, Some(reason.to_owned())))
        }
    }
}

fn extract_arguments(
    arguments: &DemoArguments,
    model: &str,
    pictures: &std::path::Path,
    store: &std::path::Path,
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
        network: NetworkArguments {
            model: model.to_owned(),
            precision: None,
            device: "cpu".to_owned(),
            threads: arguments.threads,
            offline: arguments.offline,
        },
        backend: BackendArguments::default(),
        taps: false,
        aligned: false,
        augment: 0,
        oversample: 0,
        retry_rejected: false,
        strict: false,
    }
}

fn cv_arguments(arguments: &DemoArguments, store: &std::path::Path) -> CvArguments {
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
            protocol: None,
            seeds: 1,
            out: arguments.out.clone(),
        },
        head: ["mlp", "svm", "linear"].map(str::to_owned).to_vec(),
    }
}
