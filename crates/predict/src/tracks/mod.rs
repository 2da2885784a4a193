//! The tracks of a video: the predictions for each, averaged over frames.

mod write;

use facefold_core::{BoundingBox, age_deviation};
use serde::Serialize;

use crate::annotate::{Mark, on_one_line, words};
use crate::prediction::{ClassPrediction, FacePrediction};
use crate::tracker::Tracker;

pub use write::{COLUMNS, csv_line, table};

/// Boxes that overlap by this much in two frames are of one track.
const LEAST_OVERLAP: f32 = 0.3;
/// Seconds without a box after which a track ends.
const MAX_AGE_SECONDS: f64 = 1.0;

/// The predictions of one bundle for one track, averaged over its frames.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackSummary {
    /// From 1, in the order of their coming.
    pub track: usize,
    /// The frames in which they were first and last seen, of those that were looked at, from 0.
    pub first_frame: u64,
    /// See `first_frame`.
    pub last_frame: u64,
    /// The same as seconds from the beginning.
    pub first_seconds: f64,
    /// See `first_seconds`.
    pub last_seconds: f64,
    /// Number of frames with their face.
    pub frames: u32,
    /// Mean detector score.
    pub score: f32,
    /// The bundle.
    pub bundle: String,
    /// Mean probabilities of gender.
    pub gender: Option<ClassPrediction>,
    /// Mean probabilities of age groups.
    pub age_group: Option<ClassPrediction>,
    /// Mean of the predicted ages, in years.
    pub age: Option<f32>,
    /// Mean of the intervals' lower ends. Frames of one track share most of their error, so the
    /// interval is as wide as that of a single picture.
    pub age_low: Option<f32>,
    /// Mean of the intervals' upper ends.
    pub age_high: Option<f32>,
    /// Standard deviation of the mean distribution, in years: within frames and between them.
    pub age_uncertainty: Option<f32>,
    /// Mean probabilities of a class-per-folder bundle.
    pub class: Option<ClassPrediction>,
}

impl TrackSummary {
    /// The prediction in a line or two.
    fn words(&self) -> Vec<String> {
        let age = self.age.map(|age| (age, self.age_low.zip(self.age_high)));
        words([&self.class, &self.gender, &self.age_group], age)
    }
}

/// Aggregates predictions frame by frame.
#[derive(Debug)]
pub struct TrackAggregator {
    rate: f64,
    tracker: Tracker,
    /// By track, then by bundle.
    means: Vec<Vec<Mean>>,
}

/// Sums over the frames of one track and bundle.
#[derive(Debug, Clone, Default)]
struct Mean {
    bundle: String,
    first_frame: u64,
    last_frame: u64,
    frames: u32,
    score: f64,
    gender: MeanProbabilities,
    age_group: MeanProbabilities,
    class: MeanProbabilities,
    age: Sum,
    age_low: Sum,
    age_high: Sum,
    age_distribution: Vec<f64>,
}

/// A sum of values that may be missing.
#[derive(Debug, Clone, Default)]
struct Sum(f64, u32);

impl Sum {
    fn add(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.0 += f64::from(value);
            self.1 += 1;
        }
    }

    fn mean(&self) -> Option<f32> {
        (self.1 > 0).then(|| (self.0 / f64::from(self.1)) as f32)
    }
}

/// Sums of the probabilities of classes.
#[derive(Debug, Clone, Default)]
struct MeanProbabilities(Vec<(String, f64)>, u32);

impl MeanProbabilities {
    fn add(&mut self, prediction: Option<&ClassPrediction>) {
        let Some(prediction) = prediction else { return };
        if self.0.is_empty() {
            self.0 = prediction.probabilities.iter().map(|(name, _)| (name.clone(), 0.0)).collect();
        }
        for ((_, sum), (_, share)) in self.0.iter_mut().zip(&prediction.probabilities) {
            *sum += f64::from(*share);
        }
        self.1 += 1;
    }

    fn mean(&self) -> Option<ClassPrediction> {
        let share = |(name, sum): &(String, f64)| (name.clone(), (sum / f64::from(self.1)) as f32);
        ClassPrediction::new(self.0.iter().map(share).collect())
    }
}

impl Mean {
    fn add(&mut self, frame: u64, prediction: &FacePrediction) {
        if self.frames == 0 {
            prediction.bundle.clone_into(&mut self.bundle);
            self.first_frame = frame;
        }
        self.last_frame = frame;
        self.frames += 1;
        self.score += f64::from(prediction.score.unwrap_or_default());
        self.gender.add(prediction.gender.as_ref());
        self.age_group.add(prediction.age_group.as_ref());
        self.class.add(prediction.class.as_ref());
        self.age.add(prediction.age);
        self.age_low.add(prediction.age_low);
        self.age_high.add(prediction.age_high);
        if let Some(probabilities) = &prediction.age_distribution {
            self.age_distribution.resize(probabilities.len(), 0.0);
            for (sum, share) in self.age_distribution.iter_mut().zip(probabilities) {
                *sum += f64::from(*share);
            }
        }
    }

    fn track(&self, number: usize, rate: f64) -> TrackSummary {
        let frames = f64::from(self.frames);
        let distribution: Vec<f32> =
            self.age_distribution.iter().map(|sum| (sum / frames) as f32).collect();
        TrackSummary {
            track: number + 1,
            first_frame: self.first_frame,
            last_frame: self.last_frame,
            first_seconds: self.first_frame as f64 / rate,
            last_seconds: self.last_frame as f64 / rate,
            frames: self.frames,
            score: (self.score / frames) as f32,
            bundle: self.bundle.clone(),
            gender: self.gender.mean(),
            age_group: self.age_group.mean(),
            age: self.age.mean(),
            age_low: self.age_low.mean(),
            age_high: self.age_high.mean(),
            age_uncertainty: (!distribution.is_empty()).then(|| age_deviation(&distribution)),
            class: self.class.mean(),
        }
    }
}

impl TrackAggregator {
    /// For a video of which `rate` frames a second are looked at.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        let max_age = (MAX_AGE_SECONDS * rate).ceil() as u64;
        Self { rate, tracker: Tracker::new(LEAST_OVERLAP, max_age), means: Vec::new() }
    }

    /// Adds the predictions for a frame: those for one face are adjacent, one a bundle. Gives the
    /// track (from 0) of each prediction; `None` for predictions without a face.
    pub fn add(&mut self, frame: u64, predictions: &[FacePrediction]) -> Vec<Option<usize>> {
        let mut faces: Vec<(u16, BoundingBox)> = Vec::new();
        for prediction in predictions {
            if let Some(bounding_box) = prediction.bounding_box
                && faces.iter().all(|(index, _)| *index != prediction.face_index)
            {
                faces.push((prediction.face_index, bounding_box));
            }
        }
        let boxes: Vec<BoundingBox> = faces.iter().map(|(_, bounding_box)| *bounding_box).collect();
        let people = self.tracker.follow(frame, &boxes);
        self.means.resize(self.tracker.people(), Vec::new());
        let person_of = |prediction: &FacePrediction| {
            let face = faces.iter().position(|(index, _)| *index == prediction.face_index)?;
            prediction.bounding_box.and(people.get(face).copied())
        };
        let of_answers: Vec<Option<usize>> = predictions.iter().map(person_of).collect();
        for (prediction, track) in predictions.iter().zip(&of_answers) {
            let Some(track) = track else { continue };
            let means = &mut self.means[*track];
            let known = means.iter().position(|mean| mean.bundle == prediction.bundle);
            let at = known.unwrap_or_else(|| {
                means.push(Mean::default());
                means.len() - 1
            });
            means[at].add(frame, prediction);
        }
        of_answers
    }

    /// The means of a track (from 0) so far: one entry a bundle.
    #[must_use]
    pub fn so_far(&self, track: usize) -> Vec<TrackSummary> {
        let means = self.means.get(track).map_or(&[][..], Vec::as_slice);
        means.iter().map(|mean| mean.track(track, self.rate)).collect()
    }

    /// The marks of a frame's faces, given its predictions and their tracks by [`Self::add`]: the
    /// track, and its means so far.
    #[must_use]
    pub fn marks(&self, predictions: &[FacePrediction], people: &[Option<usize>]) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for (prediction, track) in predictions.iter().zip(people) {
            let (Some(bounding_box), Some(number)) = (prediction.bounding_box, *track) else {
                continue;
            };
            if marks.iter().any(|mark| mark.number == number) {
                continue;
            }
            let known = self.so_far(number);
            let mut lines = vec![format!("track {}", number + 1)];
            match known.as_slice() {
                [one] => lines.extend(one.words()),
                several => {
                    lines.extend(several.iter().map(|one| on_one_line(&one.bundle, &one.words())));
                }
            }
            marks.push(Mark { bounding_box, number, lines });
        }
        marks
    }

    /// All tracks in order of appearance; one entry a track and bundle.
    #[must_use]
    pub fn all(&self) -> Vec<TrackSummary> {
        (0..self.means.len()).flat_map(|track| self.so_far(track)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::TrackAggregator;
    use crate::prediction::{ClassPrediction, FacePrediction};

    fn prediction(index: u16, left: f32, female: f32, age: f32) -> FacePrediction {
        let probabilities = vec![("female".to_owned(), female), ("male".to_owned(), 1.0 - female)];
        let mut distribution = vec![0.0; 117];
        distribution[age as usize] = 1.0;
        FacePrediction {
            face_index: index,
            bounding_box: Some([left, 0.0, left + 100.0, 100.0].into()),
            score: Some(0.8),
            gender: ClassPrediction::new(probabilities),
            age: Some(age),
            age_low: Some(age - 5.0),
            age_high: Some(age + 7.0),
            age_distribution: Some(distribution),
            ..FacePrediction::empty("", "faces")
        }
    }

    #[test]
    fn a_tracks_prediction_is_the_mean_over_its_frames() {
        let mut people = TrackAggregator::new(5.0);
        // The second frame is uncertain; the other two outweigh it.
        people.add(0, &[prediction(0, 0.0, 0.9, 30.0)]);
        people.add(1, &[prediction(0, 300.0, 0.1, 60.0), prediction(1, 5.0, 0.3, 36.0)]);
        let tracks = people.add(4, &[prediction(0, 9.0, 0.9, 36.0)]);
        assert_eq!(tracks, [Some(0)]);
        let all = people.all();
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!((first.track, first.frames), (1, 3));
        assert_eq!((first.first_seconds, first.last_seconds), (0.0, 0.8));
        let gender = first.gender.as_ref().unwrap();
        assert_eq!(gender.label, "female");
        assert!((gender.probability - 0.7).abs() < 1e-6);
        assert_eq!(
            (first.age, first.age_low, first.age_high),
            (Some(34.0), Some(29.0), Some(41.0))
        );
        // Ages 30, 36, 36: numpy.std([30, 36, 36])
        assert!((first.age_uncertainty.unwrap() - 2.828_427).abs() < 1e-4);
        assert_eq!((all[1].frames, all[1].age), (1, Some(60.0)));
    }

    #[test]
    fn frames_without_a_face_and_several_bundles_are_separate() {
        let mut people = TrackAggregator::new(1.0);
        let other = |prediction: FacePrediction| FacePrediction {
            bundle: "other".to_owned(),
            ..prediction
        };
        let one = prediction(0, 0.0, 0.8, 20.0);
        people.add(0, &[one.clone(), other(one.clone())]);
        let no_face = FacePrediction { bounding_box: None, ..one.clone() };
        assert_eq!(people.add(1, &[no_face.clone(), other(no_face)]), [None, None]);
        people.add(2, &[one.clone(), other(FacePrediction { age: Some(40.0), ..one })]);
        let predicted: Vec<_> =
            people.all().into_iter().map(|p| (p.track, p.bundle, p.frames, p.age)).collect();
        let expected =
            [(1, "faces".to_owned(), 2, Some(20.0)), (1, "other".to_owned(), 2, Some(30.0))];
        assert_eq!(predicted, expected);
    }

    #[test]
    fn frames_are_annotated_with_the_means_so_far() {
        let mut people = TrackAggregator::new(5.0);
        people.add(0, &[prediction(0, 0.0, 0.9, 30.0)]);
        let predictions = [prediction(0, 300.0, 0.2, 60.0), prediction(1, 4.0, 0.7, 40.0)];
        let tracks = people.add(1, &predictions);
        let marks = people.marks(&predictions, &tracks);
        assert_eq!(marks[0].lines, ["track 2", "male 80 %", "60 years (55 to 67)"]);
        assert_eq!(marks[1].lines, ["track 1", "female 80 %", "35 years (30 to 42)"]);
        assert_eq!(marks[1].bounding_box.left, 4.0);
    }
}
