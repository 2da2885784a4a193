//! `predict --video`: the people of a video or in front of a camera.

use std::io;
use std::path::Path;

use anyhow::Result;
use facefold::prediction::{AnnotatedPictures, VideoOptions, follow_video};
use facefold_predict::{Predictor, TrackSummary, tracks};
use facefold_terminal::{self as terminal, Output, Terminal};

use crate::arguments::{AnswerFormat, PredictArguments};
use crate::outcome::Outcome;

/// Follows the people of a video until its end, or until the user asks to stop.
///
/// # Errors
/// If ffmpeg is missing or cannot read the video, or the extractor fails. What was found until
/// then is printed before.
pub fn run(
    arguments: &PredictArguments,
    path: &Path,
    options: VideoOptions,
    predictor: &Predictor,
    output: Output,
) -> Result<Outcome> {
    let directory = arguments.media.annotate.as_deref();
    let annotated = directory.map(AnnotatedPictures::of_frames).transpose()?;
    let progress = Terminal::listening()?;
    let followed = follow_video(path, predictor, annotated.as_ref(), options, &progress)?;
    progress.finish();
    if followed.has_answer() {
        print(arguments, &followed.people, output)?;
    }
    if let Some(annotated) = annotated {
        terminal::note(&annotated.summary("frame"));
    }
    match followed.failure {
        Some(error) => Err(error.into()),
        None if followed.cancelled => Ok(Outcome::Interrupted),
        None => Ok(Outcome::Done),
    }
}

fn print(arguments: &PredictArguments, all: &[TrackSummary], output: Output) -> io::Result<()> {
    if output.is_json() || arguments.format == AnswerFormat::Json {
        return terminal::document(all);
    }
    match arguments.format {
        AnswerFormat::Table | AnswerFormat::Json if all.is_empty() => {
            terminal::note("no face was found in any frame");
            Ok(())
        }
        AnswerFormat::Table | AnswerFormat::Json => terminal::line(&tracks::table(all)),
        AnswerFormat::Jsonl => all.iter().try_for_each(terminal::document_line),
        AnswerFormat::Csv => {
            terminal::line(&tracks::COLUMNS.join(","))?;
            all.iter().try_for_each(|person| terminal::line(&tracks::csv_line(person)))
        }
    }
}
