//! `predict --video`: the people of a video or in front of a camera.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Result;
use facefold_predict::frames::is_device;
use facefold_predict::{
    Frame, Frames, Predictor, TrackAggregator, TrackSummary, VideoError, tracks,
};

use super::annotations::Annotations;
use crate::arguments::{AnswerFormat, PredictArguments};
use crate::commands::threads;
use crate::fan_out::fan_out;
use crate::output::{self, Output};
use crate::{Outcome, interrupt, progress};

/// How often it looks whether the user asked to stop, where no frame comes.
const LOOK: Duration = Duration::from_millis(100);
/// Frames a second, where the user does not say.
const DEFAULT_RATE: f64 = 5.0;
/// Frames a second that make sense; the upper end is more than cameras give.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=240.0;

/// Checks the rate of frames.
///
/// # Errors
/// What was expected.
pub fn rate(asked: Option<f64>) -> Result<f64, String> {
    let asked = asked.unwrap_or(DEFAULT_RATE);
    if RATES.contains(&asked) {
        return Ok(asked);
    }
    let (least, most) = (RATES.start(), RATES.end());
    Err(format!("--fps {asked}: expected {least} to {most} frames a second"))
}

/// Follows the people of a video until its end, or until the user asks to stop.
///
/// # Errors
/// If ffmpeg is missing or cannot read the video, or the extractor fails. What was found until
/// then is printed before.
pub fn run(
    arguments: &PredictArguments,
    path: &Path,
    rate: f64,
    predictor: &Predictor,
    output: Output,
) -> Result<Outcome> {
    let annotations =
        arguments.media.annotate.as_deref().map(Annotations::of_frames).transpose()?;
    let frames = Frames::open(path, rate)?;
    let interrupted = interrupt::listen()?;
    let (stopper, is_camera) = (frames.stopper(), is_device(path));
    let threads = threads(arguments.run.threads);
    let bar = progress::counter("frames");
    let mut people = TrackAggregator::new(rate);
    // A camera goes on while we work: of its frames the newest few wait here, others are dropped.
    let (sender, receiver) = sync_channel(threads);
    let (followed, read) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || send(frames, &sender, is_camera));
        let work = Work { predictor, annotations: annotations.as_ref(), threads };
        let followed = work.follow(&receiver, &mut people, &interrupted, &bar);
        stopper.stop();
        drop(receiver);
        (followed, reader.join())
    });
    bar.finish_and_clear();
    followed?;
    let was_stopped = interrupted.load(Ordering::Relaxed);
    let failure = match read {
        // It was ended from here.
        _ if was_stopped => None,
        Ok(read) => read.err().map(anyhow::Error::from),
        Err(_) => Some(anyhow::anyhow!("reading the frames panicked")),
    };
    let all = people.all();
    if failure.is_none() || !all.is_empty() {
        print(arguments, &all, output)?;
    }
    if let Some(annotations) = annotations {
        output::note(&annotations.summary("frame"));
    }
    match failure {
        Some(error) => Err(error),
        None if was_stopped => Ok(Outcome::Interrupted),
        None => Ok(Outcome::Done),
    }
}

/// Sends frames on as they come. A camera is not held up: frames for which there is no room are
/// dropped.
fn send(frames: Frames, sender: &SyncSender<Frame>, is_camera: bool) -> Result<(), VideoError> {
    for frame in frames {
        let frame = frame?;
        let sent = if is_camera {
            match sender.try_send(frame) {
                Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
                Err(TrySendError::Disconnected(_)) => Err(()),
            }
        } else {
            sender.send(frame).map_err(drop)
        };
        if sent.is_err() {
            // Nobody wants more.
            return Ok(());
        }
    }
    Ok(())
}

/// What frames are worked on with.
struct Work<'a> {
    predictor: &'a Predictor,
    annotations: Option<&'a Annotations>,
    threads: usize,
}

impl Work<'_> {
    /// Takes as many frames as there are threads at a time; people are followed in order.
    fn follow(
        &self,
        frames: &Receiver<Frame>,
        people: &mut TrackAggregator,
        interrupted: &AtomicBool,
        progress: &indicatif::ProgressBar,
    ) -> Result<()> {
        while !interrupted.load(Ordering::Relaxed) {
            let first = match frames.recv_timeout(LOOK) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let block: Vec<Frame> =
                std::iter::once(first).chain(frames.try_iter().take(self.threads - 1)).collect();
            let go = AtomicBool::new(false);
            let told = fan_out(&block, self.threads, &go, progress, |_, frame| {
                Ok(self.predictor.predict("", &frame.picture)?)
            })?;
            let mut marks = Vec::with_capacity(block.len());
            for (frame, answers) in block.iter().zip(&told) {
                let persons = people.add(frame.number, answers);
                marks.push(people.marks(answers, &persons));
            }
            if let Some(annotations) = self.annotations {
                let hidden = indicatif::ProgressBar::hidden();
                fan_out(&block, self.threads, &go, &hidden, |index, frame| {
                    annotations.frame(frame.number, &frame.picture, &marks[index])
                })?;
            }
        }
        Ok(())
    }
}

fn print(arguments: &PredictArguments, all: &[TrackSummary], output: Output) -> Result<()> {
    if output.is_json() || arguments.format == AnswerFormat::Json {
        return output::document(all);
    }
    match arguments.format {
        AnswerFormat::Table | AnswerFormat::Json if all.is_empty() => {
            output::note("no face was found in any frame");
            Ok(())
        }
        AnswerFormat::Table | AnswerFormat::Json => output::line(&tracks::table(all)),
        AnswerFormat::Jsonl => {
            for person in all {
                output::document_line(person)?;
            }
            Ok(())
        }
        AnswerFormat::Csv => {
            output::line(&tracks::COLUMNS.join(","))?;
            for person in all {
                output::line(&tracks::csv_line(person))?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_some_frames_a_second() {
        assert_eq!((rate(None), rate(Some(0.5))), (Ok(5.0), Ok(0.5)));
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(rate(Some(wrong)).unwrap_err().contains("--fps"), "{wrong}");
        }
    }
}
