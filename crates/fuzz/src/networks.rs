//! Files with weights: ONNX networks and bundles of heads.

use std::sync::OnceLock;

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, AuxiliaryTask, ExtractorInfo, FamiliarityModel, FeatureDataset, FeatureMatrix,
    Fingerprint, Precision, TAPS_LAYOUT, Targets, Task, WeightedRows,
};
use facefold_engine::{Convolution, Network, Op, ValueId};
use facefold_heads::{Bundle, FeatureChoice, HeadOptions, TaskHead, WeightFormat, registry};
use facefold_onnx::{export, import};
use ndarray::Array2;
use rand::Rng as _;

pub(crate) fn onnx(bytes: &[u8]) {
    let Ok(network) = import(bytes) else { return };
    network.validate().unwrap();
    // A network of another input size than that of the file need not fit it.
    if let Ok(written) = export(&network, 64, 64) {
        assert_eq!(import(&written).unwrap().layers.len(), network.layers.len());
    }
}

pub(crate) fn onnx_seeds() -> Vec<Vec<u8>> {
    let values = |count: usize| (0..count).map(|value| value as f32 / 8.0).collect::<Vec<_>>();
    let mut network = Network::new("every", 3);
    let convolution = Op::Convolution(Convolution {
        weight: values(2 * 3 * 3 * 3),
        bias: values(2),
        input_channels: 3,
        output_channels: 2,
        kernel: [3, 3],
        stride: 2,
        padding: 1,
        groups: 1,
    });
    let x = network.push("conv", convolution, &[ValueId::INPUT]);
    let x = network.push("prelu", Op::PRelu(values(2)), &[x]);
    let pool = Op::MaxPool { kernel: 2, stride: 2, padding: 0, ceil: true };
    let small = network.push("max", pool, &[x]);
    let mean = Op::AveragePool { kernel: 3, stride: 1, padding: 1, ceil: false };
    let small = network.push("mean", mean, &[small]);
    let affine = Op::Affine { scale: values(2), shift: values(2) };
    let small = network.push("affine", affine, &[small]);
    let grown = network.push("up", Op::Upsample(2), &[small]);
    let sum = network.push("sum", Op::Add, &[x, grown]);
    let both = network.push("both", Op::Concat, &[sum, x]);
    let score = network.push("score", Op::Sigmoid, &[both]);
    let row = network.push("row", Op::Flatten, &[sum]);
    let linear = Op::Linear { weight: values(2 * 2 * 64), bias: values(2) };
    let embedding = network.push("linear", linear, &[row]);
    let mut few = network.clone();
    network.output("score_8", score);
    network.output("embedding", embedding);
    few.layers.truncate(2);
    few.output("embedding", ValueId(2));
    vec![export(&network, 16, 16).unwrap(), export(&few, 16, 16).unwrap()]
}

/// The input is a manifest, a NUL, the table of tensors as safetensors has it, a NUL, and the
/// tensors; the checksum is added.
pub(crate) fn bundle(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let [manifest, table, data] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let Ok(bundle) = Bundle::from_bytes(&sealed(manifest, table, data)) else { return };
    // In half precision what was made up may not be written.
    let bundle = Bundle { weights: WeightFormat::F32, ..bundle };
    let written = bundle.to_bytes().unwrap();
    // Weights may be NaN in what is no matrix, so the bytes are compared.
    assert_eq!(Bundle::from_bytes(&written).unwrap().to_bytes().unwrap(), written);

    let width = bundle.features.width(&bundle.extractor);
    if (1..=64).contains(&width) {
        let rows = Array2::from_shape_fn((3, width), |(row, column)| (row * column) as f32 - 4.0);
        let matrix = FeatureMatrix::new(rows.clone(), Some(rows)).unwrap();
        let embedding = bundle.extractor.embedding_length.min(width);
        let matrix = matrix.with_embedding(embedding).unwrap();
        for head in bundle.fitted().unwrap() {
            let _ = head.predict(&matrix, &[0, 2]);
        }
        let _ = bundle.familiarity.map(|model| model.of(&matrix, &[0, 1, 2]));
    }
}

/// A file in the format of safetensors, with a right checksum as far as its table can be read.
fn sealed(manifest: &[u8], table: &[u8], data: &[u8]) -> Vec<u8> {
    let manifest = String::from_utf8_lossy(manifest);
    let table: Option<serde_json::Value> = serde_json::from_slice(table).ok();
    let mut entries = match table {
        Some(serde_json::Value::Object(entries)) => entries,
        _ => serde_json::Map::new(),
    };
    let mut hasher = blake3::Hasher::new_derive_key("facefold 2026 bundle v1");
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(manifest.as_bytes());
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default() as usize;
    for (name, entry) in &entries {
        let shape: Vec<usize> =
            entry["shape"].as_array().into_iter().flatten().map(number).collect();
        let [from, to] = [0, 1].map(|end| number(&entry["data_offsets"][end]));
        part(name.as_bytes());
        part(format!("{shape:?}").as_bytes());
        part(data.get(from..to).unwrap_or_default());
    }
    let sum = hasher.finalize();
    entries.insert(
        "checksum".into(),
        serde_json::json!({
            "dtype": "U8", "shape": [32], "data_offsets": [data.len(), data.len() + 32],
        }),
    );
    entries.insert("__metadata__".into(), serde_json::json!({ "facefold": manifest }));
    let header = serde_json::to_vec(&entries).unwrap();
    [&(header.len() as u64).to_le_bytes(), &header[..], data, sum.as_bytes()].concat()
}

const ROWS: usize = 40;

fn targets(task: Task, rows: &[usize]) -> Targets {
    let classes = |count: usize| Targets::Classes {
        indices: rows.iter().map(|row| row % count).collect(),
        count,
    };
    match task {
        Task::Age => Targets::exact_years(rows.iter().map(|&row| row as f32).collect()),
        Task::AgeGroup => classes(8),
        Task::Gender | Task::Class => classes(2),
    }
}

/// A head fitted on noise.
fn head(kind: &str, task: Task, matrix: &FeatureMatrix) -> TaskHead {
    let mut options = HeadOptions::default();
    (options.mlp.hidden_layer_sizes, options.mlp.min_steps, options.mlp.epochs) = (vec![2], 1, 1);
    let examples = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        // Some heads learn several tasks together.
        let other = if task == Task::Age { Task::Gender } else { Task::Age };
        let auxiliary = AuxiliaryTask {
            kind: other.into(),
            rows: rows.clone(),
            targets: targets(other, &rows),
        };
        let own = targets(task, &rows);
        FeatureDataset::new(matrix, rows, own)
            .unwrap()
            .with_auxiliary_tasks(vec![auxiliary])
            .unwrap()
    };
    let fitted = registry::head(kind, &options).unwrap();
    let state = fitted.fit(&examples(0..24), &examples(24..ROWS), 3).unwrap().head.state_dict();
    let (classes, age_groups) = match task {
        Task::Age => (Vec::new(), None),
        Task::AgeGroup => (AgeGroups::adience().labels(), Some(AgeGroups::adience())),
        Task::Gender | Task::Class => (vec!["f".to_owned(), "m".to_owned()], None),
    };
    let (age_intervals, age_thresholds) = (None, Vec::new());
    TaskHead { task, classes, age_groups, age_intervals, age_thresholds, state }
}

fn made_bundles() -> Vec<Bundle> {
    let mut generator = seeded(1, "fuzz");
    let rows = Array2::from_shape_fn((ROWS, 5), |_| generator.random_range(-1.0..1.0_f32));
    let matrix = FeatureMatrix::new(rows, None).unwrap().with_embedding(3).unwrap();
    let extractor = ExtractorInfo {
        backend: "local".into(),
        model: "untrained".into(),
        detector: "none".into(),
        network: "made-up".into(),
        precision: Precision::F32Equivalent,
        execution: "test".into(),
        embedding_length: 3,
        taps_length: 2,
        taps_layout: TAPS_LAYOUT.into(),
        licence: "none".into(),
    };
    let all: Vec<usize> = (0..ROWS).collect();
    let weights = [1.0; ROWS];
    let training = WeightedRows { rows: &all[..20], weights: &weights[..20] };
    let familiarity = FamiliarityModel::fit(&matrix, training, &all[20..]).unwrap();
    let tasks = [Task::Gender, Task::Age, Task::AgeGroup];
    let heads = registry::names().enumerate();
    heads
        .map(|(number, (kind, _))| Bundle {
            heads: vec![head(kind, tasks[number % 3], &matrix)],
            features: FeatureChoice::Both,
            mirrored: number % 2 == 0,
            familiarity: familiarity.clone().filter(|_| number == 0),
            fingerprint: Fingerprint::builder().text("network", "made-up").finish(),
            extractor: extractor.clone(),
            training: Vec::new(),
            weights: if number % 2 == 0 { WeightFormat::F32 } else { WeightFormat::F16 },
            label_policy: "exact".into(),
            command: "facefold train".into(),
            metrics: serde_json::json!({ "accuracy": 0.5 }),
            licence: "none".into(),
            seed: 3,
            facefold_version: "0.1.0".into(),
        })
        .collect()
}

pub(crate) fn bundle_seeds() -> Vec<Vec<u8>> {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let made = || made_bundles().iter().map(unsealed).collect();
    SEEDS.get_or_init(made).clone()
}

/// A bundle as [`bundle`] takes it.
fn unsealed(bundle: &Bundle) -> Vec<u8> {
    let file = bundle.to_bytes().unwrap();
    let (length, rest) = file.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut table: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).unwrap();
    let metadata = table.remove("__metadata__").unwrap();
    let manifest = metadata["facefold"].as_str().unwrap();
    let checksum = table.remove("checksum").unwrap();
    let [from, to] = [0, 1].map(|end| checksum["data_offsets"][end].as_u64().unwrap());
    // The checksum's place is closed up.
    let moved = |offset: u64| if offset >= to { offset - (to - from) } else { offset };
    for entry in table.values_mut() {
        for end in entry["data_offsets"].as_array_mut().unwrap() {
            *end = moved(end.as_u64().unwrap()).into();
        }
    }
    let data = [&data[..from as usize], &data[to as usize..]].concat();
    let table = serde_json::to_string(&table).unwrap();
    [manifest.as_bytes(), &[0], table.as_bytes(), &[0], &data].concat()
}
