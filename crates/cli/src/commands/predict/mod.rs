//! `facefold predict`: answers for pictures, or for the people of a video, from trained bundles.

mod printer;
mod video;

use anyhow::Result;
use facefold::prediction::{
    AnnotatedPictures, PictureCrops, PictureFiles, VideoOptions, inputs, predict_pictures,
    require_outside, take_whole_pictures,
};
use facefold::{Faces, Predictor, Progress as _, load_bundles, predictor, threads};
use facefold_terminal::{self as terminal, Output, Terminal};
use facefold_vision::decode::Limits;

use crate::arguments::{FacesName, PredictArguments};
use crate::outcome::{Outcome, usage};
use printer::Printer;

/// Frames a second, where the user does not say.
const DEFAULT_RATE: f64 = 5.0;

/// Runs `predict`.
///
/// # Errors
/// If a bundle cannot be read or was made with another network.
pub fn run(arguments: &PredictArguments, output: Output) -> Result<Outcome> {
    let media = &arguments.media;
    for (option, directory) in [("--annotate", &media.annotate), ("--crops", &media.crops)] {
        if let Some(directory) = directory {
            require_outside(option, directory, &arguments.input)?;
        }
    }
    if media.crops.is_some() && media.video.is_some() {
        return Err(usage(
            "--crops is for pictures: leave it out, or extract the frames with `ffmpeg -i FILE \
             frames/%06d.png` and predict for `frames/`",
        ));
    }
    if media.fps.is_some() && media.video.is_none() {
        return Err(usage("--fps is for videos: add --video, or leave it out"));
    }
    let rate = media.fps.unwrap_or(DEFAULT_RATE);
    let options = VideoOptions { rate, threads: threads(arguments.run.threads) };
    options.check()?;
    let progress = Terminal::default();
    let bundles = load_bundles(&arguments.bundle, |path| path.display().to_string())?;
    let default = if media.video.is_some() { FacesName::All } else { FacesName::Main };
    let faces = Faces {
        taps: false,
        aligned: take_whole_pictures(&bundles, arguments.aligned, &progress),
        all: arguments.faces.unwrap_or(default) == FacesName::All,
    };
    let network = arguments.run.options();
    let predictor = predictor(bundles, &network, faces, Limits::default(), &progress)?;
    match &media.video {
        Some(path) => video::run(arguments, path, options, &predictor, output),
        None => pictures(arguments, &predictor, &progress, output),
    }
}

fn pictures(
    arguments: &PredictArguments,
    predictor: &Predictor,
    progress: &Terminal,
    output: Output,
) -> Result<Outcome> {
    let inputs = inputs(&arguments.input, std::io::stdin().lock(), progress)?;
    let media = &arguments.media;
    let annotated = media.annotate.as_deref();
    let annotated =
        annotated.map(|path| AnnotatedPictures::of_pictures(path, &inputs)).transpose()?;
    let crops = media.crops.as_deref();
    let crops = crops.map(|path| PictureCrops::new(path, &inputs)).transpose()?;
    let files = PictureFiles { annotated: annotated.as_ref(), crops: crops.as_ref() };
    progress.listen()?;
    let mut printer = Printer::new(arguments, predictor, output)?;
    let threads = threads(arguments.run.threads);
    let predicted = predict_pictures(&inputs, predictor, files, threads, progress, |answers| {
        progress.suspend(|| printer.print(answers)).map_err(anyhow::Error::from)
    });
    progress.finish();
    let predicted = predicted?;
    printer.finish()?;
    if let Some(annotated) = annotated {
        terminal::note(&annotated.summary("picture"));
    }
    if let Some(crops) = crops {
        terminal::note(&crops.summary());
    }
    if progress.is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    predicted.unreadable.require_none(inputs.len(), progress)?;
    let is_rejected = arguments.strict && predicted.is_rejected;
    Ok(if is_rejected { Outcome::Rejected } else { Outcome::Done })
}
