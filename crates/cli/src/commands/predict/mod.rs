//! `facefold predict`: answers for pictures, or for the people of a video, from trained bundles.

mod annotations;
mod video;

use std::sync::atomic::Ordering;

use anyhow::Result;
use facefold_heads::Bundle;
use facefold_predict::{Answer, Predictor, Status, csv, table};

use super::{Usage, threads};
use crate::arguments::{AnswerFormat, FacesName, PredictArguments};
use crate::bundles;
use crate::fan_out::fan_out;
use crate::inputs::{inputs, outside};
use crate::network::{self, Faces};
use crate::output::{self, Output};
use crate::{Outcome, interrupt, progress};
use annotations::Annotations;

/// Runs `predict`.
///
/// # Errors
/// If a bundle cannot be read or was made with another network.
pub fn run(arguments: &PredictArguments, output: Output) -> Result<Outcome> {
    let media = &arguments.media;
    if let Some(directory) = &media.annotate {
        outside("--annotate", directory, &arguments.input)?;
    }
    if media.fps.is_some() && media.video.is_none() {
        return Err(Usage::error("--fps is for videos: add --video, or leave it out"));
    }
    let rate = video::rate(media.fps).map_err(Usage::error)?;
    let bundles = bundles::load(&arguments.bundle, |path| path.display().to_string())?;
    match &media.video {
        Some(path) => {
            let predictor = predictor(arguments, bundles, FacesName::All)?;
            video::run(arguments, path, rate, &predictor, output)
        }
        None => pictures(arguments, &predictor(arguments, bundles, FacesName::Main)?, output),
    }
}

fn pictures(
    arguments: &PredictArguments,
    predictor: &Predictor,
    output: Output,
) -> Result<Outcome> {
    let inputs = inputs(&arguments.input)?;
    let directory = arguments.media.annotate.as_deref();
    let annotations = directory.map(|path| Annotations::of_pictures(path, &inputs)).transpose()?;
    let interrupted = interrupt::listen()?;
    let bar = progress::bar(inputs.len() as u64, "predicting");
    let threads = threads(arguments.run.threads);
    let all = fan_out(&inputs, threads, &interrupted, &bar, |index, input| {
        let bytes = match input.read() {
            Ok(bytes) => bytes,
            Err(rejection) => return Ok(predictor.rejected(&input.name(), &rejection)),
        };
        let answers = predictor.predict(&input.name(), &bytes)?;
        if let Some(annotations) = &annotations {
            annotations.picture(index, &bytes, &answers)?;
        }
        Ok(answers)
    });
    bar.finish_and_clear();
    let answers: Vec<Answer> = all?.into_iter().flat_map(|answers: Vec<Answer>| answers).collect();
    print(arguments, &predictor.thresholds(), &answers, output)?;
    if let Some(annotations) = annotations {
        output::note(&annotations.summary("picture"));
    }
    let rejected = |answer: &Answer| matches!(answer.status, Status::Rejected(_));
    Ok(if interrupted.load(Ordering::Relaxed) {
        Outcome::Interrupted
    } else if arguments.strict && answers.iter().any(rejected) {
        Outcome::Rejected
    } else {
        Outcome::Done
    })
}

fn predictor(
    arguments: &PredictArguments,
    bundles: Vec<(String, Bundle)>,
    faces: FacesName,
) -> Result<Predictor> {
    // The bundle says which networks its features come from.
    let model = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    let aligned = bundles.iter().any(|(_, bundle)| bundle.extractor.detector == "none");
    let network = arguments.run.of_model(model);
    let faces = Faces {
        taps: Predictor::needs_taps(&bundles),
        aligned: arguments.aligned || aligned,
        all: arguments.faces.unwrap_or(faces) == FacesName::All,
    };
    Ok(Predictor::new(network::extractor(&network, faces)?, bundles)?)
}

fn print(
    arguments: &PredictArguments,
    thresholds: &[u32],
    answers: &[Answer],
    output: Output,
) -> Result<()> {
    if output.is_json() || arguments.format == AnswerFormat::Json {
        return output::line(&serde_json::to_string_pretty(answers)?);
    }
    match arguments.format {
        AnswerFormat::Table | AnswerFormat::Json => output::line(&table::table(answers)),
        AnswerFormat::Jsonl => {
            for answer in answers {
                output::line(&serde_json::to_string(answer)?)?;
            }
            Ok(())
        }
        AnswerFormat::Csv => {
            let columns = csv::Columns {
                thresholds: thresholds.to_vec(),
                face_index: arguments.faces == Some(FacesName::All),
                bundle: arguments.bundle.len() > 1,
            };
            output::line(&csv::header(&columns))?;
            for answer in answers {
                output::line(&csv::line(answer, &columns))?;
            }
            Ok(())
        }
    }
}
