//! The people of a video or in front of a camera.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use facefold_predict::frames::is_device;
use facefold_predict::{Frame, Frames, Predictor, TrackAggregator, TrackSummary, VideoError};

use super::annotations::AnnotatedPictures;
use crate::error::{Error, Result};
use crate::parallel::Parallel;
use crate::progress::{Progress, Stage, Step};

/// How often it looks whether it is cancelled, where no frame comes.
const LOOK: Duration = Duration::from_millis(100);
/// Frames a second that make sense; the upper end is more than cameras give.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=240.0;

/// How a video is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoOptions {
    /// Frames that are looked at in a second.
    pub rate: f64,
    /// Threads, at least one.
    pub threads: usize,
}

impl VideoOptions {
    /// Checks the rate.
    ///
    /// # Errors
    /// [`Error::Options`] where it makes no sense.
    pub fn check(&self) -> Result<()> {
        if RATES.contains(&self.rate) {
            return Ok(());
        }
        let (least, most) = (RATES.start(), RATES.end());
        Err(Error::options(format!(
            "--fps {}: expected {least} to {most} frames a second",
            self.rate
        )))
    }
}

/// The people of a video.
#[derive(Debug)]
pub struct FollowedVideo {
    /// Everybody who was seen, in the order of their first frame.
    pub people: Vec<TrackSummary>,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Why the video could not be read to its end, or not whole.
    pub failure: Option<Error>,
}

impl FollowedVideo {
    /// Whether there is something to report: a person was seen, or no person is in the frames
    /// that could be read.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        let is_partial = |error| matches!(error, &Error::Video(VideoError::Partial { .. }));
        !self.people.is_empty() || self.failure.as_ref().is_none_or(is_partial)
    }
}

/// Follows the people of a video until its end, or until it is cancelled. Frames are annotated where
/// `annotated` says where to.
///
/// # Errors
/// If ffmpeg is missing, or the extractor or a head fails. A video that cannot be read to its end is a
/// [`FollowedVideo::failure`].
pub fn follow_video(
    path: &Path,
    predictor: &Predictor,
    annotated: Option<&AnnotatedPictures>,
    options: VideoOptions,
    progress: &dyn Progress,
) -> Result<FollowedVideo> {
    options.check()?;
    let threads = options.threads.max(1);
    let frames = Frames::open(path, options.rate)?;
    let (stopper, is_camera) = (frames.stopper(), is_device(path));
    let mut people = TrackAggregator::new(options.rate);
    // A camera goes on while we work: of its frames the newest few wait here, others are dropped.
    let (sender, receiver) = sync_channel(threads);
    let (followed, read) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || send(frames, &sender, is_camera));
        let work = Work { predictor, annotated, threads };
        let followed = work.follow(&receiver, &mut people, progress);
        stopper.stop();
        drop(receiver);
        (followed, reader.join())
    });
    followed?;
    let cancelled = progress.is_cancelled();
    let failure = match read {
        // It was ended from here.
        _ if cancelled => None,
        Ok(read) => read.err().map(Error::from),
        Err(_) => Some(Error::data("reading the frames panicked")),
    };
    Ok(FollowedVideo { people: people.all(), cancelled, failure })
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
            // No further rows are read.
            return Ok(());
        }
    }
    Ok(())
}

/// What frames are worked on with.
struct Work<'a> {
    predictor: &'a Predictor,
    annotated: Option<&'a AnnotatedPictures>,
    threads: usize,
}

impl Work<'_> {
    /// Takes as many frames as there are threads at a time; people are followed in order.
    fn follow(
        &self,
        frames: &Receiver<Frame>,
        people: &mut TrackAggregator,
        progress: &dyn Progress,
    ) -> Result<()> {
        let parallel = Parallel { threads: self.threads, stage: Stage::Frames, progress: &() };
        let mut done = 0;
        while !progress.is_cancelled() {
            let first = match frames.recv_timeout(LOOK) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let block: Vec<Frame> =
                std::iter::once(first).chain(frames.try_iter().take(self.threads - 1)).collect();
            let answered =
                parallel.map(&block, |_, frame| self.predictor.predict("", &frame.picture))?;
            done += block.len() as u64;
            progress.step(Step::new(Stage::Frames, done, None));
            let mut marks = Vec::with_capacity(block.len());
            for (frame, answers) in block.iter().zip(&answered) {
                let persons = people.add(frame.number, answers);
                marks.push(people.marks(answers, &persons));
            }
            if let Some(annotated) = self.annotated {
                parallel.map(&block, |index, frame| {
                    annotated.frame(frame.number, &frame.picture, &marks[index])
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use facefold_predict::VideoError;

    use super::{FollowedVideo, VideoOptions};

    #[test]
    fn a_part_of_a_film_without_people_is_an_answer() {
        let (path, said) = (PathBuf::new(), String::new());
        let ended = |failure: Option<VideoError>| FollowedVideo {
            people: Vec::new(),
            cancelled: false,
            failure: failure.map(Into::into),
        };
        assert!(ended(None).has_answer());
        let partial = VideoError::Partial { path: path.clone(), frames: 1, said: said.clone() };
        assert!(ended(Some(partial)).has_answer());
        assert!(!ended(Some(VideoError::Failed { path, frames: 0, said })).has_answer());
    }

    #[test]
    fn a_rate_is_some_frames_a_second() {
        let check = |rate| VideoOptions { rate, threads: 1 }.check();
        assert!(check(5.0).is_ok() && check(0.5).is_ok());
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(check(wrong).unwrap_err().to_string().contains("--fps"), "{wrong}");
        }
    }
}
