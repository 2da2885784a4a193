//! The people of a video: what the bundles told about each, averaged over frames.

mod write;

use facefold_core::age_deviation;
use serde::Serialize;

use crate::annotate::{Mark, on_one_line, words};
use crate::answer::{Answer, ClassAnswer};
use crate::tracker::{BoundingBox, Tracker};

pub use write::{COLUMNS, csv_line, table};

/// Boxes that overlap by this much in two frames show the same person.
const LEAST_OVERLAP: f32 = 0.3;
/// Seconds for which somebody may be out of sight and still be the same person.
const PATIENCE: f64 = 1.0;

/// What one bundle told about one person, averaged over the frames in which their face was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Person {
    /// From 1, in the order of their coming.
    pub person: usize,
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
    /// The bundle that answers.
    pub bundle: String,
    /// Mean probabilities of gender.
    pub gender: Option<ClassAnswer>,
    /// Mean probabilities of age groups.
    pub age_group: Option<ClassAnswer>,
    /// Mean of the told ages, in years.
    pub age: Option<f32>,
    /// Mean of the intervals' lower ends. Frames of one person share most of their error, so the
    /// interval is as wide as that of a single picture.
    pub age_low: Option<f32>,
    /// Mean of the intervals' upper ends.
    pub age_high: Option<f32>,
    /// Standard deviation of the mean belief, in years: within frames and between them.
    pub age_uncertainty: Option<f32>,
    /// Mean probabilities of a class-per-folder bundle.
    pub class: Option<ClassAnswer>,
}

impl Person {
    /// The answer in a line or two.
    fn words(&self) -> Vec<String> {
        let age = self.age.map(|age| (age, self.age_low.zip(self.age_high)));
        words([&self.class, &self.gender, &self.age_group], age)
    }
}

/// Collects answers frame by frame.
#[derive(Debug)]
pub struct People {
    rate: f64,
    tracker: Tracker,
    /// By person, then by bundle.
    means: Vec<Vec<Mean>>,
}

/// Sums over the frames of one person, as one bundle told them.
#[derive(Debug, Clone, Default)]
struct Mean {
    bundle: String,
    first_frame: u64,
    last_frame: u64,
    frames: u32,
    score: f64,
    gender: Shares,
    age_group: Shares,
    class: Shares,
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
struct Shares(Vec<(String, f64)>, u32);

impl Shares {
    fn add(&mut self, answer: Option<&ClassAnswer>) {
        let Some(answer) = answer else { return };
        if self.0.is_empty() {
            self.0 = answer.probabilities.iter().map(|(name, _)| (name.clone(), 0.0)).collect();
        }
        for ((_, sum), (_, share)) in self.0.iter_mut().zip(&answer.probabilities) {
            *sum += f64::from(*share);
        }
        self.1 += 1;
    }

    fn mean(&self) -> Option<ClassAnswer> {
        let share = |(name, sum): &(String, f64)| (name.clone(), (sum / f64::from(self.1)) as f32);
        ClassAnswer::new(self.0.iter().map(share).collect())
    }
}

impl Mean {
    fn add(&mut self, frame: u64, answer: &Answer) {
        if self.frames == 0 {
            answer.bundle.clone_into(&mut self.bundle);
            self.first_frame = frame;
        }
        self.last_frame = frame;
        self.frames += 1;
        self.score += f64::from(answer.score.unwrap_or_default());
        self.gender.add(answer.gender.as_ref());
        self.age_group.add(answer.age_group.as_ref());
        self.class.add(answer.class.as_ref());
        self.age.add(answer.age);
        self.age_low.add(answer.age_low);
        self.age_high.add(answer.age_high);
        if let Some(shares) = &answer.age_distribution {
            self.age_distribution.resize(shares.len(), 0.0);
            for (sum, share) in self.age_distribution.iter_mut().zip(shares) {
                *sum += f64::from(*share);
            }
        }
    }

    fn person(&self, number: usize, rate: f64) -> Person {
        let frames = f64::from(self.frames);
        let belief: Vec<f32> =
            self.age_distribution.iter().map(|sum| (sum / frames) as f32).collect();
        Person {
            person: number + 1,
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
            age_uncertainty: (!belief.is_empty()).then(|| age_deviation(&belief)),
            class: self.class.mean(),
        }
    }
}

impl People {
    /// For a video of which `rate` frames a second are looked at.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        let patience = (PATIENCE * rate).ceil() as u64;
        Self { rate, tracker: Tracker::new(LEAST_OVERLAP, patience), means: Vec::new() }
    }

    /// Adds the answers for a frame: those for one face stand together, one a bundle. Gives the
    /// number of the person (from 0) of each answer; none for answers without a face.
    pub fn add(&mut self, frame: u64, answers: &[Answer]) -> Vec<Option<usize>> {
        let mut faces: Vec<(u16, BoundingBox)> = Vec::new();
        for answer in answers {
            if let Some(bounding_box) = answer.bounding_box
                && faces.iter().all(|(index, _)| *index != answer.face_index)
            {
                faces.push((answer.face_index, bounding_box));
            }
        }
        let boxes: Vec<BoundingBox> = faces.iter().map(|(_, bounding_box)| *bounding_box).collect();
        let people = self.tracker.follow(frame, &boxes);
        self.means.resize(self.tracker.people(), Vec::new());
        let person_of = |answer: &Answer| {
            let face = faces.iter().position(|(index, _)| *index == answer.face_index)?;
            answer.bounding_box.and(people.get(face).copied())
        };
        let of_answers: Vec<Option<usize>> = answers.iter().map(person_of).collect();
        for (answer, person) in answers.iter().zip(&of_answers) {
            let Some(person) = person else { continue };
            let means = &mut self.means[*person];
            let known = means.iter().position(|mean| mean.bundle == answer.bundle);
            let at = known.unwrap_or_else(|| {
                means.push(Mean::default());
                means.len() - 1
            });
            means[at].add(frame, answer);
        }
        of_answers
    }

    /// What is known of a person (from 0) so far: one entry a bundle.
    #[must_use]
    pub fn so_far(&self, person: usize) -> Vec<Person> {
        let means = self.means.get(person).map_or(&[][..], Vec::as_slice);
        means.iter().map(|mean| mean.person(person, self.rate)).collect()
    }

    /// The marks of a frame's faces, given its answers and their people as [`Self::add`] gave them:
    /// who it is, and what is known of them so far.
    #[must_use]
    pub fn marks(&self, answers: &[Answer], people: &[Option<usize>]) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for (answer, person) in answers.iter().zip(people) {
            let (Some(bounding_box), Some(number)) = (answer.bounding_box, *person) else {
                continue;
            };
            if marks.iter().any(|mark| mark.number == number) {
                continue;
            }
            let known = self.so_far(number);
            let mut lines = vec![format!("person {}", number + 1)];
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

    /// Everybody, in the order of their coming; one entry a person and bundle.
    #[must_use]
    pub fn everybody(&self) -> Vec<Person> {
        (0..self.means.len()).flat_map(|person| self.so_far(person)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::People;
    use crate::answer::{Answer, ClassAnswer};

    fn answer(index: u16, left: f32, female: f32, age: f32) -> Answer {
        let shares = vec![("female".to_owned(), female), ("male".to_owned(), 1.0 - female)];
        let mut belief = vec![0.0; 117];
        belief[age as usize] = 1.0;
        Answer {
            face_index: index,
            bounding_box: Some([left, 0.0, left + 100.0, 100.0]),
            score: Some(0.8),
            gender: ClassAnswer::new(shares),
            age: Some(age),
            age_low: Some(age - 5.0),
            age_high: Some(age + 7.0),
            age_distribution: Some(belief),
            ..Answer::empty("", "faces")
        }
    }

    #[test]
    fn a_persons_answer_is_the_mean_over_their_frames() {
        let mut people = People::new(5.0);
        // The second frame is unsure, the other two outvote it.
        people.add(0, &[answer(0, 0.0, 0.9, 30.0)]);
        people.add(1, &[answer(0, 300.0, 0.1, 60.0), answer(1, 5.0, 0.3, 36.0)]);
        let persons = people.add(4, &[answer(0, 9.0, 0.9, 36.0)]);
        assert_eq!(persons, [Some(0)]);
        let all = people.everybody();
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!((first.person, first.frames), (1, 3));
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
    fn frames_without_a_face_and_several_bundles_are_kept_apart() {
        let mut people = People::new(1.0);
        let other = |answer: Answer| Answer { bundle: "other".to_owned(), ..answer };
        let one = answer(0, 0.0, 0.8, 20.0);
        people.add(0, &[one.clone(), other(one.clone())]);
        let nobody = Answer { bounding_box: None, ..one.clone() };
        assert_eq!(people.add(1, &[nobody.clone(), other(nobody)]), [None, None]);
        people.add(2, &[one.clone(), other(Answer { age: Some(40.0), ..one })]);
        let told: Vec<_> =
            people.everybody().into_iter().map(|p| (p.person, p.bundle, p.frames, p.age)).collect();
        let expected =
            [(1, "faces".to_owned(), 2, Some(20.0)), (1, "other".to_owned(), 2, Some(30.0))];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_frame_is_marked_with_what_is_known_so_far() {
        let mut people = People::new(5.0);
        people.add(0, &[answer(0, 0.0, 0.9, 30.0)]);
        let answers = [answer(0, 300.0, 0.2, 60.0), answer(1, 4.0, 0.7, 40.0)];
        let persons = people.add(1, &answers);
        let marks = people.marks(&answers, &persons);
        assert_eq!(marks[0].lines, ["person 2", "male 80 %", "60 years (55 to 67)"]);
        assert_eq!(marks[1].lines, ["person 1", "female 80 %", "35 years (30 to 42)"]);
        assert_eq!(marks[1].bounding_box[0], 4.0);
    }
}
