//! Files that other programs make for us: embeddings, and predictions.

use facefold_core::Task;
use facefold_evaluate::external::ExternalPredictions;
use facefold_store::{ImportError, ImportFiles, ImportedRows};

use crate::scratch;

/// Most values of a matrix that are read through: the size is in the header, and large files are no
/// fault.
const MOST: usize = 1 << 20;

fn rows(name: &str, bytes: &[u8], key: Option<&str>) {
    let folder = scratch::folder("import");
    scratch::write(&folder, name, bytes);
    let files = ImportFiles {
        embeddings: folder.join(name),
        key: key.map(str::to_owned),
        ..ImportFiles::default()
    };
    let Ok(rows) = ImportedRows::open(&files) else { return };
    let (embedding, taps) = rows.lengths();
    if rows.len().saturating_mul(embedding + taps) > MOST {
        return;
    }
    let mut seen = 0;
    let read = rows.for_each(|row| {
        assert_eq!(row.number, seen);
        assert!(row.embedding.is_none_or(|values| values.len() == embedding));
        assert!(row.embedding.is_none_or(|values| values.iter().all(|value| value.is_finite())));
        seen += 1;
        Ok::<(), ImportError>(())
    });
    assert!(read.is_err() || seen == rows.len());
}

pub(crate) fn npy(bytes: &[u8]) {
    rows("x.npy", bytes, None);
}

pub(crate) fn npz(bytes: &[u8]) {
    rows("x.npz", bytes, None);
    rows("x.npz", bytes, Some("paths"));
}

fn matrix(dtype: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{dtype}', 'fortran_order': True, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

pub(crate) fn npy_seeds() -> Vec<Vec<u8>> {
    vec![matrix("<f2", "(2, 3)", &[1; 12]), matrix("<f8", "(1, 2)", &[7; 16])]
}

/// An archive of stored entries, written by hand: local headers, then the directory.
fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = bytes.len() as u32;
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32fast::hash(content).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, size) = (bytes.len() as u32, directory.len() as u32);
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\x00\x00\x00\x00");
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend([count, count].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

pub(crate) fn npz_seeds() -> Vec<Vec<u8>> {
    let embeddings = ("embeddings.npy", matrix("<f4", "(2, 1)", &[2; 8]));
    let paths = ("paths.npy", matrix("<U1", "(2,)", &[97, 0, 0, 0, 98, 0, 0, 0]));
    vec![archive(&[embeddings, paths])]
}

pub(crate) fn predictions(bytes: &[u8]) {
    let folder = scratch::folder("predictions");
    scratch::write(&folder, "x.csv", bytes);
    let Ok(table) = ExternalPredictions::read(&folder.join("x.csv")) else { return };
    let pictures = ["a.jpg", "b.jpg", ""].map(str::to_owned);
    for (task, classes) in [
        (Task::Gender, &["female", "male"][..]),
        (Task::AgeGroup, &["0-2", "4-6", "60+"]),
        (Task::Age, &[]),
        (Task::Class, &["x"]),
    ] {
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        let Ok(found) = table.of_pictures(task, &classes, &pictures) else { continue };
        assert_eq!(found.values.len(), pictures.len());
        for values in found.values.into_iter().flatten() {
            assert_eq!(values.len(), classes.len().max(1));
            assert!(values.iter().all(|value| value.is_finite() && *value >= 0.0));
        }
    }
}

pub(crate) fn predictions_seeds() -> Vec<Vec<u8>> {
    [
        "path,gender,gender_probability,age\na.jpg,f,0.9,31.5\nb.jpg,nan,,-\n",
        "path,age_group,p_0-2,p_4-6,p_60+\n./a.jpg,(4 - 6),0.2,0.5,0.3\n",
        "key,p_female,class\n\"a.jpg\",1e-3,x\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
