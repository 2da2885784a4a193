//! Synthetic pictures whose numbers encode where they come from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint, ImageKey, Precision,
    RejectReason, Rejection,
};
use facefold_store::{DatasetInfo, Store, StoreHeader, StoreWriter};

pub const EMBEDDING: usize = 8;
pub const TAPS: usize = 5;

pub fn key(number: u32) -> ImageKey {
    ImageKey::of(&number.to_le_bytes())
}

pub fn fingerprint(network: &str) -> Fingerprint {
    Fingerprint::builder().text("network", network).finish()
}

pub fn header() -> StoreHeader {
    let info = ExtractorInfo {
        backend: "local".into(),
        model: "untrained".into(),
        detector: "none".into(),
        network: "made-up".into(),
        precision: Precision::F32Equivalent,
        execution: "test".into(),
        embedding_length: EMBEDDING,
        taps_length: TAPS,
        taps_layout: facefold_core::TAPS_LAYOUT.to_owned(),
        licence: "none".into(),
    };
    StoreHeader::new(fingerprint("made-up"), info, DatasetInfo::new("manifest", "faces"))
}

pub fn create(directory: &Path) -> StoreWriter {
    Store::create_or_open(directory, header()).unwrap()
}

/// Embedding, then taps, of a made-up picture.
pub fn row(number: u32, variant: FaceVariant) -> Vec<f32> {
    let first = f32::from(u16::try_from(number).unwrap()) + variant.0 as f32 / 2.0;
    (0..EMBEDDING + TAPS).map(|place| first + place as f32 / 64.0).collect()
}

pub fn face(number: u32, variant: FaceVariant) -> Face {
    let values = row(number, variant);
    Face {
        index: 0,
        variant,
        embedding: Embedding::new(values[..EMBEDDING].to_vec()).unwrap(),
        norm: number.is_multiple_of(2).then_some(number as f32 + 0.1),
        taps: values[EMBEDDING..].to_vec(),
        bounding_box: [1.0, 2.0, 3.0, number as f32].into(),
        landmarks: [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5], [7.5, 8.5], [9.5, number as f32]],
        score: 0.75,
        luminance: 100.25,
        sharpness: 12.5,
    }
}

/// Plain and mirrored; every tenth picture is rejected.
pub fn outcome(number: u32) -> Extraction {
    if number % 10 == 9 {
        let detail = format!("picture {number} shows none");
        return Extraction::Rejected(Rejection::new(RejectReason::NoFace, detail));
    }
    let faces = [FaceVariant::PLAIN, FaceVariant::MIRRORED].map(|variant| face(number, variant));
    Extraction::Embedded { faces: faces.to_vec(), found: 1 + number % 3 }
}

/// Appends pictures, each of which must be new.
pub fn append(writer: &mut StoreWriter, numbers: Range<u32>) {
    for number in numbers {
        assert!(writer.append(key(number), &outcome(number)).unwrap(), "{number}");
    }
}

/// A finished store of some pictures in one shard.
pub fn finished(directory: &Path, numbers: Range<u32>) -> Store {
    let mut writer = create(directory);
    append(&mut writer, numbers);
    writer.finish().unwrap()
}

/// The names of a store's shards.
pub fn shards(directory: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(directory.join("shards")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file below a directory with its bytes, by path.
pub fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs_err::read(path).unwrap());
        }
    }
    all
}

/// Makes `store.json` what it was before it carried a checksum.
pub fn without_checksum(directory: &Path) {
    let path = directory.join("store.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let earlier = text.replace("\"format\": 2", "\"format\": 1");
    let (front, digits) = earlier.split_once(",\n  \"checksum\"").unwrap();
    assert!(digits.ends_with("\"\n}\n"), "{digits}");
    fs_err::write(&path, format!("{front}\n}}\n")).unwrap();
}

/// Fails unless two stores hold the same, and the first is sound.
pub fn assert_equal(first: &Store, second: &Store) {
    let difference = first.compare(second).unwrap();
    assert!(difference.is_empty(), "{difference}");
    let verification = first.verify().unwrap();
    assert!(verification.is_valid(), "{:?}", verification.problems);
}
