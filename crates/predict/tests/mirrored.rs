//! Each bundle predicts by the crops that its heads were trained on, whatever other bundles are
//! given: the crop alone, or also its mirror image.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::ops::Range;

use facefold_core::{
    Extraction, Extractor as _, Face, FaceVariant, FeatureDataset, FeatureMatrix, PredictedTargets,
    Targets, Task,
};
use facefold_heads::{Bundle, FeatureChoice, HeadOptions, TaskHead, WeightFormat, registry};
use facefold_predict::export::{WeightStorage, export};
use facefold_predict::{ExplainError, FaceSelector, Predictor};
use facefold_vision::extractor::PackNetworks;
use facefold_vision::models::{UNTRAINED, default_directory};
use facefold_vision::{LocalExtractor, LocalOptions};
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::Array2;

const PICTURES: usize = 16;

/// Features that heads see, and whether of mirrored crops too.
type Kind = (FeatureChoice, bool);

const KINDS: [Kind; 4] = [
    (FeatureChoice::Embedding, true),
    (FeatureChoice::Embedding, false),
    (FeatureChoice::Both, true),
    (FeatureChoice::Both, false),
];

/// A picture of waves that is not like its mirror image, as a PNG file.
fn picture(number: usize) -> Vec<u8> {
    let wave = |x: u32, y: u32, channel: f32| {
        let (x, y) = (x as f32 / 112.0, y as f32 / 112.0);
        let phase = number as f32 * (0.7 + channel);
        (127.5 + 120.0 * (phase + 9.0 * x * x + (3.0 + channel) * y).sin()) as u8
    };
    let pixels = RgbImage::from_fn(112, 112, |x, y| Rgb([0.0, 1.0, 2.0].map(|c| wave(x, y, c))));
    let mut bytes = Cursor::new(Vec::new());
    pixels.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn extractor(taps: bool) -> LocalExtractor {
    LocalExtractor::new(&LocalOptions { taps, ..LocalOptions::new(&UNTRAINED) }).unwrap()
}

/// The faces of all pictures, each with its mirrored crop, as `extract --taps` keeps them.
fn faces(extractor: &LocalExtractor) -> Vec<Face> {
    let pictures: Vec<Vec<u8>> = (0..PICTURES).map(picture).collect();
    let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let faces = extractor.extract(&pictures).unwrap().into_iter().flat_map(|found| match found {
        Extraction::Embedded { faces, .. } => faces,
        Extraction::Rejected(rejection) => panic!("{rejection:?}"),
    });
    faces.collect()
}

/// The matrix that heads of a kind are trained on.
fn matrix(faces: &[Face], (features, mirrored): Kind) -> FeatureMatrix {
    let rows = |variant: FaceVariant| {
        let mut values = Vec::new();
        for face in faces.iter().filter(|face| face.variant == variant) {
            values.extend_from_slice(face.embedding.as_slice());
            values.extend(face.taps.iter().filter(|_| features == FeatureChoice::Both));
        }
        Array2::from_shape_vec((PICTURES, values.len() / PICTURES), values).unwrap()
    };
    let mirrored = mirrored.then(|| rows(FaceVariant::MIRRORED));
    FeatureMatrix::new(rows(FaceVariant::PLAIN), mirrored).unwrap()
}

/// A bundle of heads for gender and age, trained on a matrix.
fn bundle(
    extractor: &LocalExtractor,
    matrix: &FeatureMatrix,
    (features, mirrored): Kind,
) -> Bundle {
    let dataset = |rows: Range<usize>, task: Task| {
        let targets = match task {
            Task::Age => Targets::exact_years(rows.clone().map(|row| 20.0 + row as f32).collect()),
            _ => Targets::Classes { indices: rows.clone().map(|row| row % 2).collect(), count: 2 },
        };
        FeatureDataset::new(matrix, rows.collect(), targets).unwrap()
    };
    let head = |task: Task| {
        let linear = registry::head("linear", &HeadOptions::default()).unwrap();
        let fit = linear.fit(&dataset(0..12, task), &dataset(12..PICTURES, task), 3).unwrap();
        let classes = match task {
            Task::Age => Vec::new(),
            _ => vec!["female".to_owned(), "male".to_owned()],
        };
        TaskHead {
            task,
            classes,
            age_groups: None,
            age_intervals: None,
            age_thresholds: Vec::new(),
            state: fit.head.state_dict(),
        }
    };
    Bundle {
        heads: [Task::Gender, Task::Age].map(head).into(),
        features,
        mirrored,
        familiarity: None,
        fingerprint: extractor.fingerprint().clone(),
        extractor: extractor.info().clone(),
        training: Vec::new(),
        weights: WeightFormat::F32,
        label_policy: "exact".to_owned(),
        command: String::new(),
        metrics: serde_json::Value::Null,
        licence: String::new(),
        seed: 3,
        facefold_version: String::new(),
    }
}

/// Each kind's matrix and bundle.
fn trained() -> Vec<(FeatureMatrix, Bundle)> {
    let extractor = extractor(true);
    let faces = faces(&extractor);
    let trained = KINDS.map(|kind| {
        let matrix = matrix(&faces, kind);
        let bundle = bundle(&extractor, &matrix, kind);
        (matrix, bundle)
    });
    trained.into()
}

fn predictor(bundles: &[Bundle]) -> Predictor {
    let numbered = bundles.iter().enumerate();
    let bundles: Vec<_> =
        numbered.map(|(number, bundle)| (number.to_string(), bundle.clone())).collect();
    Predictor::new(extractor(Predictor::needs_taps(&bundles)), bundles).unwrap()
}

#[test]
fn a_bundle_predicts_alone_and_with_others_as_it_was_measured() {
    let (matrices, bundles): (Vec<_>, Vec<_>) = trained().into_iter().unzip();
    let together = predictor(&bundles);
    for (number, (matrix, bundle)) in matrices.iter().zip(&bundles).enumerate() {
        let alone = predictor(std::slice::from_ref(bundle));
        assert_eq!(alone.wants_mirrored(), bundle.mirrored);
        let fitted = bundle.fitted().unwrap();
        for row in 0..PICTURES {
            let measured = |head: usize| fitted[head].predict(matrix, &[row]).unwrap().targets;
            let (PredictedTargets::Classes(gender), PredictedTargets::Regression(years)) =
                (measured(0), measured(1))
            else {
                panic!("other targets")
            };
            let found = alone.predict("", &picture(row)).unwrap().swap_remove(0);
            let mut among = together.predict("", &picture(row)).unwrap().swap_remove(number);
            assert_eq!(among.bundle, number.to_string());
            among.bundle.clone_from(&found.bundle);
            assert!(among == found, "{:?} in picture {row}: {among:?}, {found:?}", KINDS[number]);
            assert_eq!(found.age, Some(years[0]), "{:?} in picture {row}", KINDS[number]);
            let found = found.gender.unwrap().probabilities;
            let found: Vec<f32> = found.into_iter().map(|(_, probability)| probability).collect();
            assert_eq!(found, gender.row(0).to_vec(), "{:?} in picture {row}", KINDS[number]);
        }
    }
}

#[test]
fn a_bundle_is_explained_alike_alone_and_with_another() -> Result<(), ExplainError> {
    let bundles: Vec<Bundle> = trained().into_iter().map(|(_, bundle)| bundle).collect();
    // Of embeddings of the crop alone, next to one of both crops and taps.
    let pair = [bundles[1].clone(), bundles[2].clone()];
    let selector = FaceSelector { face_index: 0, aligned: true };
    let together = predictor(&pair).explain(&picture(1), selector)?.explanations;
    let mut alone = Vec::new();
    for (number, bundle) in pair.iter().enumerate() {
        let explained = predictor(std::slice::from_ref(bundle)).explain(&picture(1), selector)?;
        alone.extend(explained.explanations.into_iter().map(|mut explanation| {
            explanation.bundle = number.to_string();
            explanation
        }));
    }
    assert!(together == alone);
    Ok(())
}

#[test]
fn an_exported_file_mirrors_where_the_heads_were_trained_so() {
    let has =
        |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|part| part == name.as_bytes());
    for ((_, bundle), (features, mirrored)) in trained().iter().zip(KINDS) {
        let taps = features == FeatureChoice::Both;
        let networks = PackNetworks::load(&UNTRAINED, &default_directory(), false, taps).unwrap();
        let file = export(bundle, Some(&networks), &[], WeightStorage::F32).unwrap().bytes;
        assert_eq!(has(&file, "crop/mirrored"), mirrored, "{features}");
    }
}
