//! Ties trained bundles to the extractor that their features come from.

use facefold_core::{
    Extraction, Extractor, ExtractorError, Face, FaceVariant, FeatureMatrix, FittedHead, HeadError,
    Predictions, Task,
};

use facefold_heads::{Bundle, BundleError, FeatureChoice};
use ndarray::Array2;

use crate::answer::{Answer, ClassAnswer};

/// Why a picture could not be told about, other than by its own fault.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// A bundle made with another network, or damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A head that cannot answer.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The extractor failed.
    #[error(transparent)]
    Extractor(#[from] ExtractorError),
    /// Bundles that want features the extractor does not give.
    #[error("the bundle `{bundle}` needs {needed} features a face, the extractor gives {found}")]
    Features {
        /// The bundle's name.
        bundle: String,
        /// What it needs.
        needed: usize,
        /// What there is.
        found: usize,
    },
}

/// A bundle with its heads ready to answer.
struct Loaded {
    name: String,
    bundle: Bundle,
    heads: Vec<Box<dyn FittedHead>>,
}

/// Answers for pictures. Called from several threads at once.
pub struct Predictor {
    extractor: Box<dyn Extractor>,
    bundles: Vec<Loaded>,
}

impl Predictor {
    /// Whether any of these bundles sees taps, so that the extractor must give them.
    #[must_use]
    pub fn needs_taps(bundles: &[(String, Bundle)]) -> bool {
        bundles.iter().any(|(_, bundle)| bundle.features != FeatureChoice::Embedding)
    }

    /// Ties named bundles to an extractor.
    ///
    /// # Errors
    /// A bundle with another fingerprint than the extractor's, or one that cannot be restored.
    pub fn new(
        extractor: Box<dyn Extractor>,
        bundles: Vec<(String, Bundle)>,
    ) -> Result<Self, PredictError> {
        let bundles = bundles
            .into_iter()
            .map(|(name, bundle)| {
                bundle.check(extractor.fingerprint())?;
                let needed = bundle.features.width(&bundle.extractor);
                let found = bundle.features.width(extractor.info());
                if needed != found {
                    return Err(PredictError::Features { bundle: name, needed, found });
                }
                let heads = bundle.fitted()?;
                Ok(Loaded { name, bundle, heads })
            })
            .collect::<Result<_, PredictError>>()?;
        Ok(Self { extractor, bundles })
    }

    /// Number of bundles.
    #[must_use]
    pub fn bundles(&self) -> usize {
        self.bundles.len()
    }

    /// What every bundle tells about the faces of a picture: faces in the extractor's order, and
    /// for each face one answer a bundle. A picture without a face gets one rejected answer a
    /// bundle.
    ///
    /// # Errors
    /// [`PredictError`] where the extractor or a head fails; a bad picture is an answer.
    pub fn predict(&self, path: &str, bytes: &[u8]) -> Result<Vec<Answer>, PredictError> {
        let mut outcomes = self.extractor.extract(&[bytes])?;
        match outcomes.pop() {
            Some(Extraction::Embedded { faces, found }) => self.tell(path, &faces, found),
            Some(Extraction::Rejected(rejection)) => {
                let answers = self.bundles.iter();
                Ok(answers.map(|b| Answer::rejected(path, &b.name, &rejection)).collect())
            }
            None => Err(ExtractorError::new("the extractor gave no outcome for a picture").into()),
        }
    }

    fn tell(&self, path: &str, faces: &[Face], found: u32) -> Result<Vec<Answer>, PredictError> {
        let mut indices: Vec<u16> = faces.iter().map(|face| face.index).collect();
        indices.dedup();
        let mut answers = Vec::with_capacity(indices.len() * self.bundles.len());
        for index in indices {
            let of =
                |variant| faces.iter().find(|face| face.index == index && face.variant == variant);
            let Some(plain) = of(FaceVariant::PLAIN) else { continue };
            for loaded in &self.bundles {
                let mut answer = Answer {
                    face_index: index,
                    faces: found,
                    bounding_box: Some(plain.bounding_box),
                    score: Some(plain.score),
                    ..Answer::empty(path, &loaded.name)
                };
                let matrix = loaded.matrix(plain, of(FaceVariant::MIRRORED))?;
                loaded.fill(&mut answer, &matrix)?;
                answers.push(answer);
            }
        }
        Ok(answers)
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
