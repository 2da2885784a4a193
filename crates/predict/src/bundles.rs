//! Bundles with their heads ready, checked against an extractor.

use facefold_core::{
    AgeEstimate, AgeThreshold, ExtractorInfo, Face, FeatureMatrix, Fingerprint, FittedHead,
    HeadError, Predictions, Task, age_deviation,
};
use facefold_heads::{Bundle, FeatureChoice};
use ndarray::Array2;

use crate::occlusion::OcclusionEffect;
use crate::prediction::{ClassPrediction, FacePrediction, ThresholdDecision};
use crate::predictor::PredictError;

/// The names of the bundles that were trained on whole pictures as aligned crops: with them no face
/// is looked for, and any picture is treated as a face.
#[must_use]
pub fn trained_on_whole_pictures(bundles: &[(String, Bundle)]) -> Vec<&str> {
    let whole = |(_, bundle): &&(String, Bundle)| bundle.extractor.detector == "none";
    bundles.iter().filter(whole).map(|(name, _)| name.as_str()).collect()
}

/// Bundles of one extractor.
pub(crate) struct Bundles(Vec<Loaded>);

/// A bundle with its heads ready to predict.
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

    /// The age thresholds that any of the bundles decides at, ascending.
    pub fn thresholds(&self) -> Vec<u32> {
        let heads = self.0.iter().flat_map(|loaded| &loaded.bundle.heads);
        let mut ages: Vec<u32> =
            heads.flat_map(|head| &head.age_thresholds).map(|limits| limits.age).collect();
        ages.sort_unstable();
        ages.dedup();
        ages
    }

    /// The predictions of each bundle for one face of the picture `path`; `faces` is left at 0.
    pub fn predict_faces(
        &self,
        path: &str,
        plain: &Face,
        mirrored: Option<&Face>,
    ) -> Result<Vec<FacePrediction>, HeadError> {
        let predict_faces = |loaded: &Loaded| {
            let mut prediction = FacePrediction {
                face_index: plain.index,
                bounding_box: Some(plain.bounding_box),
                score: Some(plain.score),
                ..FacePrediction::empty(path, &loaded.name)
            };
            let mirrored = mirrored.map(Features::from);
            let matrix =
                loaded.matrix(&[plain.into()], mirrored.as_ref().map(std::slice::from_ref))?;
            loaded.fill(&mut prediction, &matrix)?;
            Ok(prediction)
        };
        self.0.iter().map(predict_faces).collect()
    }

    /// The change of each head of each bundle from its prediction for the first row to that for
    /// each of the others, in the order of bundles and heads. `mirrored` has a row a row, or none.
    pub fn shifts(
        &self,
        plain: &[Features<'_>],
        mirrored: Option<&[Features<'_>]>,
    ) -> Result<Vec<OcclusionEffect>, HeadError> {
        let mut shifts = Vec::new();
        for loaded in &self.0 {
            let matrix = loaded.matrix(plain, mirrored)?;
            let rows: Vec<usize> = (0..matrix.rows()).collect();
            for (head, fitted) in loaded.bundle.heads.iter().zip(&loaded.heads) {
                let bundle = loaded.name.clone();
                let predictions = fitted.predict(&matrix, &rows)?;
                shifts.extend(OcclusionEffect::between(
                    bundle,
                    head.task,
                    &head.classes,
                    &predictions,
                ));
            }
        }
        Ok(shifts)
    }
}

/// What heads see of one crop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features<'a> {
    pub embedding: &'a [f32],
    /// Empty without taps.
    pub taps: &'a [f32],
}

impl<'a> From<&'a Face> for Features<'a> {
    fn from(face: &'a Face) -> Self {
        Self { embedding: face.embedding.as_slice(), taps: &face.taps }
    }
}

impl Loaded {
    /// The features of crops, a row each, as the bundle's heads were trained to see them.
    fn matrix(
        &self,
        plain: &[Features<'_>],
        mirrored: Option<&[Features<'_>]>,
    ) -> Result<FeatureMatrix, HeadError> {
        let rows = |crops: &[Features<'_>]| {
            let mut features = Vec::new();
            for crop in crops {
                match self.bundle.features {
                    FeatureChoice::Embedding => features.extend_from_slice(crop.embedding),
                    FeatureChoice::Taps => features.extend_from_slice(crop.taps),
                    FeatureChoice::Both => {
                        features.extend(crop.embedding.iter().chain(crop.taps));
                    }
                }
            }
            let shape = (crops.len(), features.len() / crops.len().max(1));
            Array2::from_shape_vec(shape, features)
                .map_err(|error| HeadError::Shape(error.to_string()))
        };
        let embedding = match self.bundle.features {
            FeatureChoice::Embedding | FeatureChoice::Both => {
                self.bundle.extractor.embedding_length
            }
            FeatureChoice::Taps => 0,
        };
        FeatureMatrix::new(rows(plain)?, mirrored.map(rows).transpose()?)?.with_embedding(embedding)
    }

    fn fill(
        &self,
        prediction: &mut FacePrediction,
        matrix: &FeatureMatrix,
    ) -> Result<(), HeadError> {
        if let Some(familiarity) = &self.bundle.familiarity {
            prediction.familiarity = familiarity.of(matrix, &[0])?.pop();
        }
        for (head, fitted) in self.bundle.heads.iter().zip(&self.heads) {
            let predictions = fitted.predict(matrix, &[0])?;
            match (head.task, predictions) {
                (Task::Age, Predictions::Regression(years)) => {
                    prediction.age = years.first().copied();
                    let uncertainty = fitted.uncertainty(matrix, &[0])?;
                    prediction.age_mc_dropout_uncertainty =
                        uncertainty.and_then(|uncertainty| uncertainty.first().copied());
                    let distribution = fitted.age_distribution(matrix, &[0])?;
                    let estimates = AgeEstimate::of_rows(distribution.as_ref(), &years);
                    let distance = prediction.familiarity.map_or(0.0, |face| face.distance);
                    let ends = head.age_intervals.as_ref().zip(estimates.first());
                    let ends = ends.map(|(intervals, age)| intervals.around(age, distance));
                    (prediction.age_low, prediction.age_high) = ends.unzip();
                    prediction.age_distribution =
                        distribution.map(|probabilities| probabilities.iter().copied().collect());
                    let probabilities = prediction.age_distribution.as_deref();
                    prediction.age_uncertainty = probabilities.map(age_deviation);
                    if let Some(age) = prediction.age {
                        let unfamiliar = prediction.is_unfamiliar();
                        let decide = |limits: &AgeThreshold| {
                            if unfamiliar {
                                ThresholdDecision::unfamiliar(limits, probabilities)
                            } else {
                                ThresholdDecision::new(limits, age, probabilities)
                            }
                        };
                        prediction.thresholds = head.age_thresholds.iter().map(decide).collect();
                    }
                }
                (Task::Gender, Predictions::Classes(probabilities)) => {
                    prediction.gender = class_prediction(&head.classes, &probabilities);
                }
                (Task::AgeGroup, Predictions::Classes(probabilities)) => {
                    prediction.age_group = class_prediction(&head.classes, &probabilities);
                }
                (Task::Class, Predictions::Classes(probabilities)) => {
                    prediction.class = class_prediction(&head.classes, &probabilities);
                }
                (task, _) => {
                    return Err(HeadError::Corrupt(format!(
                        "a head for `{task}` has predictions of another kind"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn class_prediction(classes: &[String], probabilities: &Array2<f32>) -> Option<ClassPrediction> {
    ClassPrediction::new(classes.iter().cloned().zip(probabilities.iter().copied()).collect())
}
