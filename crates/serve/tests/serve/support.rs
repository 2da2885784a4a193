//! Servers of the tests, with the untrained network and small heads trained on drawn faces.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

use facefold_core::{
    AgeEstimate, AgeGroups, AgeIntervals, AgeThreshold, CalibrationRow, ErrorBound, Extraction,
    Extractor, Face, FamiliarityModel, FeatureDataset, FeatureMatrix, Targets, Task, WeightedRows,
};
use facefold_heads::{Bundle, FeatureChoice, HeadOptions, TaskHead, WeightFormat, registry};
use facefold_predict::Predictor;
use facefold_serve::{BasePath, Limits, Options, Server, Stopper};
use facefold_synthetic::portrait;
use facefold_vision::decode;
use facefold_vision::models::UNTRAINED;
use facefold_vision::{LocalExtractor, LocalOptions};
use image::ImageFormat;
use ndarray::Array2;
use serde_json::json;

/// A picture of a drawn face, as a PNG file.
pub fn picture(seed: u64) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    portrait(seed).picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub fn extractor() -> LocalExtractor {
    let limits = decode::Limits { pixels: 4_000_000, ..decode::Limits::default() };
    let options = LocalOptions { limits, ..LocalOptions::new(&UNTRAINED) };
    LocalExtractor::new(&options).expect("an untrained network needs no file")
}

/// The face of a picture, extracted here.
pub fn face(picture: &[u8]) -> Face {
    match extractor().extract(&[picture]).unwrap().remove(0) {
        Extraction::Embedded { mut faces, .. } => faces.remove(0),
        Extraction::Rejected(rejection) => panic!("{rejection:?}"),
    }
}

/// Heads for gender, age group and age, trained on a dozen drawn faces.
pub fn bundle() -> Bundle {
    static BUNDLE: OnceLock<Bundle> = OnceLock::new();
    BUNDLE.get_or_init(train).clone()
}

fn calibration_row(subject: usize) -> CalibrationRow {
    let estimate = AgeEstimate { median: 30.0, deviation: Some(5.0) };
    CalibrationRow { estimate, truth: (25.0, 25.0), weight: 1.0, distance: 0.0, subject }
}

fn train() -> Bundle {
    let extractor = extractor();
    let pictures: Vec<Vec<u8>> = (0..12).map(picture).collect();
    let bytes: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let rows: Vec<f32> = extractor
        .extract(&bytes)
        .unwrap()
        .into_iter()
        .flat_map(|extraction| match extraction {
            Extraction::Embedded { faces, .. } => faces[0].embedding.as_slice().to_vec(),
            Extraction::Rejected(rejection) => panic!("{rejection:?}"),
        })
        .collect();
    let plain = Array2::from_shape_vec((12, rows.len() / 12), rows).unwrap();
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    // Each picture many times over: enough rows to measure what is usual.
    let (repeated, weights) = ((0..120).map(|row| row % 12).collect::<Vec<usize>>(), [1.0; 120]);
    let all = WeightedRows { rows: &repeated, weights: &weights };
    let familiarity = FamiliarityModel::fit(&matrix, all, &repeated).unwrap();
    let groups = AgeGroups::nine();
    let years: Vec<f32> = (0..12).map(|row| row as f32 * 6.0 + 3.0).collect();
    let classes = |count: usize| Targets::Classes {
        indices: (0..12).map(|row| row * count / 12).collect(),
        count,
    };
    let bound = ErrorBound::default();
    let fit = |task, head: &str, classes: Vec<String>, targets: Targets| {
        let mut options = HeadOptions::default();
        options.mlp.epochs = 2;
        let dataset = FeatureDataset::new(&matrix, (0..12).collect(), targets).unwrap();
        let head = registry::head(head, &options).unwrap();
        let state = head.fit(&dataset, &dataset, 0).unwrap().head.state_dict();
        let age_intervals = (task == Task::Age).then(|| {
            AgeIntervals::fit(&std::array::from_fn::<_, 40, _>(calibration_row))
                .expect("enough rows")
        });
        let age_groups = (task == Task::AgeGroup).then(|| groups.clone());
        let age_thresholds = match task {
            Task::Age => vec![AgeThreshold::choose(18, bound, &[9.0; 400], &[40.0; 400])],
            _ => Vec::new(),
        };
        TaskHead { task, classes, age_groups, age_intervals, age_thresholds, state }
    };
    let genders = vec!["female".to_owned(), "male".to_owned()];
    Bundle {
        heads: vec![
            fit(Task::Gender, "linear", genders, classes(2)),
            fit(Task::AgeGroup, "linear", groups.labels(), classes(9)),
            fit(Task::Age, "mlp", Vec::new(), Targets::exact_years(years)),
        ],
        features: FeatureChoice::Embedding,
        mirrored: false,
        familiarity,
        fingerprint: extractor.fingerprint().clone(),
        extractor: extractor.info().clone(),
        training: Vec::new(),
        weights: WeightFormat::F32,
        label_policy: "exact".to_owned(),
        command: "a test".to_owned(),
        metrics: json!({ "age": { "validation": { "regression": { "mean_absolute_error": 9.9 } } } }),
        licence: "none".to_owned(),
        seed: 0,
        facefold_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Settings of a server on a free port with two workers.
pub fn options() -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        base_path: BasePath::default(),
        threads: 2,
        tokens: Vec::new(),
        allowed_origins: Vec::new(),
        results: None,
        limits: Limits { drain_time: Duration::from_mins(1), ..Limits::default() },
    }
}

/// A server that runs until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(options: &Options) -> Self {
        let bundles = vec![("drawn".to_owned(), bundle())];
        let predictor = Predictor::new(extractor(), bundles).expect("the bundle fits");
        let server = Server::bind(predictor, options).expect("a free port");
        let (address, stopper) = (server.address(), server.stopper());
        let thread = std::thread::spawn(move || server.run().expect("threads"));
        Self { address, stopper, thread: Some(thread) }
    }

    /// Waits until the server has ended by itself.
    pub fn join(&mut self) {
        self.thread.take().expect("not joined yet").join().expect("the server did not panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}
