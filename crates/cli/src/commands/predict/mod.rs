//! `facefold predict`: answers for pictures, or for the people of a video, from trained bundles.

mod annotations;
mod printer;
mod video;

use std::sync::atomic::Ordering;

use anyhow::Result;
use facefold_heads::Bundle;
use facefold_predict::{FacePrediction, Predictor, Status};

use super::{Usage, threads};
use crate::arguments::{FacesName, PredictArguments};
use crate::bundles;
use crate::fan_out::for_each_outcome;
use crate::inputs::{Input, inputs, outside};
use crate::network::{self, Faces};
use crate::output::{self, Output};
use crate::unreadable::Unreadable;
use crate::{Outcome, interrupt, progress};
use annotations::Annotations;
use printer::Printer;

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
    let work = |index: usize, input: &Input| {
        let bytes = match input.read() {
            Ok(bytes) => bytes,
            Err(rejection) => return Ok(predictor.rejected(&input.name(), &rejection)),
        };
        let answers = predictor.predict(&input.name(), &bytes)?;
        if let Some(annotations) = &annotations {
            annotations.picture(index, &bytes, &answers)?;
        }
        Ok(answers)
    };
    let mut printer = Printer::new(arguments, predictor, output)?;
    let (mut unreadable, mut is_rejected) = (Unreadable::default(), false);
    let threads = threads(arguments.run.threads);
    let done = for_each_outcome(&inputs, threads, &interrupted, &bar, work, |answers| {
        if let Some(FacePrediction { path, status: Status::Rejected(rejection), .. }) =
            answers.first()
        {
            is_rejected = true;
            unreadable.see(path, rejection);
        }
        bar.suspend(|| printer.print(answers))
    });
    bar.finish_and_clear();
    done?;
    printer.finish()?;
    if let Some(annotations) = annotations {
        output::note(&annotations.summary("picture"));
    }
    if interrupted.load(Ordering::Relaxed) {
        return Ok(Outcome::Interrupted);
    }
    unreadable.finish(inputs.len())?;
    Ok(if arguments.strict && is_rejected { Outcome::Rejected } else { Outcome::Done })
}

fn predictor(
    arguments: &PredictArguments,
    bundles: Vec<(String, Bundle)>,
    faces: FacesName,
) -> Result<Predictor> {
    // The bundle says which networks its features come from.
    let model = bundles.first().map_or_else(String::new, |(_, b)| b.extractor.model.clone());
    let aligned = bundles::take_whole_pictures(&bundles, arguments.aligned);
    let network = arguments.run.of_model(model);
    let faces = Faces {
        taps: Predictor::needs_taps(&bundles),
        aligned,
        all: arguments.faces.unwrap_or(faces) == FacesName::All,
    };
    Ok(Predictor::new(network::extractor(&network, faces)?, bundles)?)
}
