//! Bundles with their heads ready, tied to what an extractor gives.

use facefold_core::{
    ExtractorInfo, Face, FeatureMatrix, Fingerprint, FittedHead, HeadError, Predictions, Task,
};
use facefold_heads::{Bundle, FeatureChoice};
use ndarray::Array2;

use crate::answer::{Answer, ClassAnswer};
use crate::predictor::PredictError;

/// Bundles that fit one extractor.
pub(crate) struct Bundles(Vec<Loaded>);

/// A bundle with its heads ready to answer.
struct Loaded {
    name: String,
    bundle: Bundle,
    heads: Vec<Box<dyn FittedHead>>,
}

impl Bundles {
    /// Checks that every bundle was trained on what the extractor gives.
    pub fn new(
        bundles: Vec<(String, Bundle)>,
        fingerprint: &Fingerprint,
        info: &ExtractorInfo,
    ) -> Result<Self, PredictError> {
        let load = |(name, bundle): (String, Bundle)| {
            bundle.check(fingerprint)?;
            let needed = bundle.features.width(&bundle.extractor);
            let found = bundle.features.width(info);
            if needed != found {
                return Err(PredictError::Features { bundle: name, needed, found });
            }
            let heads = bundle.fitted()?;
            Ok(Loaded { name, bundle, heads })
        };
        bundles.into_iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|loaded| loaded.name.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bundle)> {
        self.0.iter().map(|loaded| (loaded.name.as_str(), &loaded.bundle))
    }

    /// What each bundle tells about one face of the picture `path`; `faces` is left at 0.
    pub fn tell(
        &self,
        path: &str,
        plain: &Face,
        mirrored: Option<&Face>,
    ) -> Result<Vec<Answer>, HeadError> {
        let tell = |loaded: &Loaded| {
            let mut answer = Answer {
                face_index: plain.index,
                bounding_box: Some(plain.bounding_box),
                score: Some(plain.score),
                ..Answer::empty(path, &loaded.name)
            };
            loaded.fill(&mut answer, &loaded.matrix(plain, mirrored)?)?;
            Ok(answer)
        };
        self.0.iter().map(tell).collect()
    }
}

impl Loaded {
    /// The features of one face, as the bundle's heads were trained to see them.
    fn matrix(&self, plain: &Face, mirrored: Option<&Face>) -> Result<FeatureMatrix, HeadError> {
        let row = |face: &Face| {
            let embedding = face.embedding.as_slice();
            let features: Vec<f32> = match self.bundle.features {
                FeatureChoice::Embedding => embedding.to_vec(),
                FeatureChoice::Taps => face.taps.clone(),
                FeatureChoice::Both => embedding.iter().chain(&face.taps).copied().collect(),
            };
            Array2::from_shape_vec((1, features.len()), features)
                .map_err(|error| HeadError::Shape(error.to_string()))
        };
        FeatureMatrix::new(row(plain)?, mirrored.map(row).transpose()?)
    }

    fn fill(&self, answer: &mut Answer, matrix: &FeatureMatrix) -> Result<(), HeadError> {
        for (head, fitted) in self.bundle.heads.iter().zip(&self.heads) {
            let predictions = fitted.predict(matrix, &[0])?;
            match (head.task, predictions) {
                (Task::Age, Predictions::Years(years)) => {
                    answer.age = years.first().copied();
                    let ends = head.age_intervals.as_ref().zip(answer.age);
                    let ends = ends.map(|(intervals, age)| intervals.around(age));
                    (answer.age_low, answer.age_high) = ends.unzip();
                    let spread = fitted.spread(matrix, &[0])?;
                    answer.age_spread = spread.and_then(|spread| spread.first().copied());
                    let distribution = fitted.year_distribution(matrix, &[0])?;
                    answer.age_distribution =
                        distribution.map(|shares| shares.iter().copied().collect());
                }
                (Task::Gender, Predictions::Classes(shares)) => {
                    answer.gender = class_answer(&head.classes, &shares);
                }
                (Task::AgeGroup, Predictions::Classes(shares)) => {
                    answer.age_group = class_answer(&head.classes, &shares);
                }
                (Task::Class, Predictions::Classes(shares)) => {
                    answer.class = class_answer(&head.classes, &shares);
                }
                (task, _) => {
                    return Err(HeadError::Damaged(format!(
                        "a head for `{task}` answers otherwise"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn class_answer(classes: &[String], shares: &Array2<f32>) -> Option<ClassAnswer> {
    let probabilities: Vec<(String, f32)> =
        classes.iter().cloned().zip(shares.iter().copied()).collect();
    let (label, probability) = probabilities.iter().max_by(|a, b| a.1.total_cmp(&b.1)).cloned()?;
    Some(ClassAnswer { label, probability, probabilities })
}
