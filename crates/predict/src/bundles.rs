//! Bundles with their heads ready, checked against an extractor.

use facefold_core::{
    AgeEstimate, AgeThreshold, ExtractorInfo, Face, FeatureMatrix, Fingerprint, FittedHead,
    HeadError, PredictedTargets, Prediction, Task, age_deviation,
};
use facefold_heads::{Bundle, FeatureChoice, TaskHead};
use ndarray::{Array2, ArrayView1};

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

    /// The predictions for faces, of one or several pictures: for each face, one a bundle. Each
    /// head predicts all faces in one call.
    pub fn predict_faces(
        &self,
        faces: &[Crops<'_>],
    ) -> Result<Vec<Vec<FacePrediction>>, HeadError> {
        let mut predictions = vec![Vec::with_capacity(self.len()); faces.len()];
        for loaded in &self.0 {
            let mut of_bundle = Vec::with_capacity(faces.len());
            // Faces with a mirrored crop and faces without one are rows of different matrices.
            let both = |face: &Crops<'_>| loaded.mirrored(face).is_some();
            for faces in faces.chunk_by(|a, b| both(a) == both(b)) {
                of_bundle.extend(loaded.predict_faces(faces)?);
            }
            for (predictions, prediction) in predictions.iter_mut().zip(of_bundle) {
                predictions.push(prediction);
            }
        }
        Ok(predictions)
    }

    /// The change of each head of each bundle from its prediction for the first row to that for
    /// each of the others, in the order of bundles and heads. `mirrored` has a row a row, or none;
    /// only bundles that were trained on mirrored crops see it.
    pub fn shifts(
        &self,
        plain: &[Features<'_>],
        mirrored: Option<&[Features<'_>]>,
    ) -> Result<Vec<OcclusionEffect>, HeadError> {
        let mut shifts = Vec::new();
        for loaded in &self.0 {
            let mirrored = mirrored.filter(|_| loaded.bundle.mirrored);
            let matrix = loaded.matrix(plain, mirrored)?;
            let rows: Vec<usize> = (0..matrix.rows()).collect();
            for (head, fitted) in loaded.bundle.heads.iter().zip(&loaded.heads) {
                let bundle = loaded.name.clone();
                let prediction = fitted.predict(&matrix, &rows)?;
                shifts.extend(OcclusionEffect::between(
                    bundle,
                    head.task,
                    &head.classes,
                    &prediction.targets,
                ));
            }
        }
        Ok(shifts)
    }
}

/// A face by its crop, and by its mirrored crop where that was extracted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crops<'a> {
    /// The picture.
    pub path: &'a str,
    /// Number of faces found in it.
    pub found: u32,
    pub plain: &'a Face,
    pub mirrored: Option<&'a Face>,
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
    /// The mirrored crop of a face, where the bundle was trained on such and the face has one.
    fn mirrored<'a>(&self, face: &Crops<'a>) -> Option<&'a Face> {
        face.mirrored.filter(|_| self.bundle.mirrored)
    }

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

    /// The predictions for faces that all have a mirrored crop for the bundle, or all have none.
    fn predict_faces(&self, faces: &[Crops<'_>]) -> Result<Vec<FacePrediction>, HeadError> {
        let plain: Vec<Features<'_>> = faces.iter().map(|face| face.plain.into()).collect();
        let mirrored: Option<Vec<Features<'_>>> =
            faces.iter().map(|face| self.mirrored(face).map(Features::from)).collect();
        let matrix = self.matrix(&plain, mirrored.as_deref())?;
        let empty = |face: &Crops<'_>| FacePrediction {
            faces_found: face.found,
            face_index: face.plain.index,
            bounding_box: Some(face.plain.bounding_box),
            landmarks: Some(face.plain.landmarks),
            score: Some(face.plain.score),
            norm: Some(face.plain.embedding.norm()),
            ..FacePrediction::empty(face.path, &self.name)
        };
        let mut predictions: Vec<FacePrediction> = faces.iter().map(empty).collect();
        self.fill(&mut predictions, &matrix)?;
        Ok(predictions)
    }

    /// Fills in what the heads predict for the rows of the matrix, one a prediction.
    fn fill(
        &self,
        predictions: &mut [FacePrediction],
        matrix: &FeatureMatrix,
    ) -> Result<(), HeadError> {
        let rows: Vec<usize> = (0..matrix.rows()).collect();
        if let Some(familiarity) = &self.bundle.familiarity {
            for (prediction, face) in predictions.iter_mut().zip(familiarity.of(matrix, &rows)?) {
                prediction.familiarity = Some(face);
            }
        }
        for (head, fitted) in self.bundle.heads.iter().zip(&self.heads) {
            let predicted = fitted.predict(matrix, &rows)?;
            match (head.task, &predicted.targets) {
                (Task::Age, PredictedTargets::Regression(years)) => {
                    fill_ages(predictions, head, years, &predicted);
                }
                (Task::Gender, PredictedTargets::Classes(rows)) => {
                    for (prediction, row) in predictions.iter_mut().zip(rows.rows()) {
                        prediction.gender = class_prediction(&head.classes, row);
                    }
                }
                (Task::AgeGroup, PredictedTargets::Classes(rows)) => {
                    for (prediction, row) in predictions.iter_mut().zip(rows.rows()) {
                        prediction.age_group = class_prediction(&head.classes, row);
                    }
                }
                (Task::Class, PredictedTargets::Classes(rows)) => {
                    for (prediction, row) in predictions.iter_mut().zip(rows.rows()) {
                        prediction.class = class_prediction(&head.classes, row);
                    }
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

/// Fills in the ages that `head` predicted, after the familiarity.
fn fill_ages(
    predictions: &mut [FacePrediction],
    head: &TaskHead,
    years: &[f32],
    predicted: &Prediction,
) {
    let estimates = AgeEstimate::of_prediction(predicted);
    for (row, (prediction, estimate)) in predictions.iter_mut().zip(&estimates).enumerate() {
        let age = years[row];
        prediction.age = Some(age);
        prediction.age_mc_dropout_uncertainty =
            predicted.uncertainty.as_ref().map(|uncertainty| uncertainty[row]);
        let distance = prediction.familiarity.map_or(0.0, |face| face.distance);
        let ends =
            head.age_intervals.as_ref().map(|intervals| intervals.around(estimate, distance));
        (prediction.age_low, prediction.age_high) = ends.unzip();
        prediction.age_distribution =
            predicted.age_distribution.as_ref().map(|rows| rows.row(row).to_vec());
        let probabilities = prediction.age_distribution.as_deref();
        prediction.age_uncertainty = probabilities.map(age_deviation);
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

fn class_prediction(
    classes: &[String],
    probabilities: ArrayView1<'_, f32>,
) -> Option<ClassPrediction> {
    ClassPrediction::new(classes.iter().cloned().zip(probabilities.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use facefold_core::{
        Embedding, ExtractorInfo, Face, FaceVariant, FamiliarityModel, FeatureDataset,
        FeatureMatrix, Fingerprint, FittedHead, HeadError, Precision, Prediction, StateDict,
        TAPS_LAYOUT, Targets, Task, TrainingLog, WeightedRows,
    };
    use facefold_heads::{Bundle, FeatureChoice, HeadOptions, TaskHead, WeightFormat, registry};
    use ndarray::Array2;

    use super::{Bundles, Crops, Loaded};

    const ROWS: usize = 160;
    const WIDTH: usize = 8;

    /// A head that notes the rows of each call.
    struct Noted(Box<dyn FittedHead>, Arc<Mutex<Vec<usize>>>);

    impl FittedHead for Noted {
        fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
            self.1.lock().unwrap().push(rows.len());
            self.0.predict(matrix, rows)
        }

        fn log(&self) -> &TrainingLog {
            self.0.log()
        }

        fn state_dict(&self) -> StateDict {
            self.0.state_dict()
        }
    }

    fn value((row, column): (usize, usize)) -> f32 {
        (row as f32 * (0.37 + 0.11 * column as f32)).sin() * (1.0 + column as f32)
    }

    /// A bundle of one head of each kind for gender and age, whose calls are noted.
    fn bundles(calls: &Arc<Mutex<Vec<usize>>>) -> Bundles {
        let matrix = FeatureMatrix::new(Array2::from_shape_fn((ROWS, WIDTH), value), None)
            .and_then(|matrix| matrix.with_embedding(WIDTH))
            .unwrap();
        let mut options = HeadOptions::default();
        options.mlp.hidden_layer_sizes = vec![16];
        (options.mlp.epochs, options.mlp.min_steps) = (1, 1);
        let examples = |rows: std::ops::Range<usize>, task: Task| {
            let sum = |row: usize| value((row, 0)) + value((row, 1));
            let targets = match task {
                Task::Age => {
                    Targets::exact_years(rows.clone().map(|row| 30.0 + sum(row)).collect())
                }
                _ => Targets::Classes {
                    indices: rows.clone().map(|row| usize::from(sum(row) > 0.0)).collect(),
                    count: 2,
                },
            };
            FeatureDataset::new(&matrix, rows.collect(), targets).unwrap()
        };
        let fit = |(kind, task): (&str, Task)| {
            let head = registry::head(kind, &options).unwrap();
            let fit = head.fit(&examples(0..120, task), &examples(120..ROWS, task), 3).unwrap();
            let classes = match task {
                Task::Age => Vec::new(),
                _ => vec!["female".to_owned(), "male".to_owned()],
            };
            let (age_groups, age_intervals, age_thresholds) = (None, None, Vec::new());
            let state = fit.head.state_dict();
            let head = TaskHead { task, classes, age_groups, age_intervals, age_thresholds, state };
            let noted: Box<dyn FittedHead> = Box::new(Noted(fit.head, Arc::clone(calls)));
            (head, noted)
        };
        let fitted = [("svm", Task::Gender), ("mlp-ensemble", Task::Age)].map(fit);
        let (heads, noted) = fitted.into_iter().unzip();
        let (rows, weights) = ((0..ROWS).collect::<Vec<_>>(), [1.0; ROWS]);
        let all = WeightedRows { rows: &rows, weights: &weights };
        let extractor = ExtractorInfo {
            backend: "local".to_owned(),
            model: "untrained".to_owned(),
            detector: "none".to_owned(),
            network: "mobilefacenet".to_owned(),
            precision: Precision::F32Equivalent,
            execution: "test".to_owned(),
            embedding_length: WIDTH,
            taps_length: 0,
            taps_layout: TAPS_LAYOUT.to_owned(),
            licence: String::new(),
        };
        let bundle = Bundle {
            heads,
            features: FeatureChoice::Embedding,
            mirrored: false,
            familiarity: FamiliarityModel::fit(&matrix, all, all.rows).unwrap(),
            fingerprint: Fingerprint::builder().text("test", "bundles").finish(),
            extractor,
            training: Vec::new(),
            weights: WeightFormat::F32,
            label_policy: "exact".to_owned(),
            command: String::new(),
            metrics: serde_json::Value::Null,
            licence: String::new(),
            seed: 3,
            facefold_version: String::new(),
        };
        Bundles(vec![Loaded { name: "bundle".to_owned(), bundle, heads: noted }])
    }

    fn face(index: u16) -> Face {
        let embedding = (0..WIDTH).map(|column| value((7 * usize::from(index) + 1, column)));
        Face {
            index,
            variant: FaceVariant::PLAIN,
            embedding: Embedding::new(embedding.collect()).unwrap(),
            norm: None,
            taps: Vec::new(),
            bounding_box: [0.0; 4].into(),
            landmarks: [[0.0; 2]; 5],
            score: 1.0,
            luminance: 0.0,
            sharpness: 0.0,
        }
    }

    #[test]
    fn all_faces_of_a_picture_are_predicted_in_one_call() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut bundles = bundles(&calls);
        let faces: Vec<Face> = (0..5).map(face).collect();
        let crops = |mirrored: fn(&Face) -> Option<&Face>| -> Vec<Crops<'_>> {
            faces
                .iter()
                .map(|plain| Crops { path: "a.jpg", found: 5, plain, mirrored: mirrored(plain) })
                .collect()
        };
        let plain = crops(|_| None);
        let together = bundles.predict_faces(&plain).unwrap();
        assert_eq!(calls.lock().unwrap().split_off(0), [5, 5]);
        let alone: Vec<_> =
            plain.chunks(1).flat_map(|one| bundles.predict_faces(one).unwrap()).collect();
        assert!(together == alone);
        let first = &together[0][0];
        assert!(first.age_distribution.is_some() && first.familiarity.is_some());
        assert!(first.gender.is_some() && together[0] != together[1]);

        // Mirrored crops, which are there for another bundle, change nothing.
        let some = crops(|face| (face.index > 1).then_some(face));
        calls.lock().unwrap().clear();
        assert!(bundles.predict_faces(&some).unwrap() == alone);
        assert_eq!(calls.lock().unwrap().split_off(0), [5, 5]);

        // Some without a mirrored crop: each is predicted as alone, in the order of the faces.
        bundles.0[0].bundle.mirrored = true;
        assert!(bundles.predict_faces(&some).unwrap() == alone);
        assert_eq!(calls.lock().unwrap().split_off(0), [2, 2, 3, 3]);
    }
}
