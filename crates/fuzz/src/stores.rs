//! Stores: the append log, `store.json`, the table of label rows, and shards.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use facefold_core::checksum::{self, UNSEALED};
use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint, ImageKey, Precision,
    RejectReason, Rejection, Sample, TAPS_LAYOUT,
};
use facefold_store::{DatasetInfo, SampleRow, Store, StoreError, StoreHeader};

use crate::scratch;

/// Bytes of the log's header, and of what stands before each record.
const LOG_HEADER: usize = 48;
const PREFIX: usize = 8;

fn store_header() -> StoreHeader {
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
    let fingerprint = Fingerprint::builder().text("network", "made-up").finish();
    StoreHeader::new(fingerprint, extractor, DatasetInfo::new("manifest", "faces"))
}

fn embedded(seed: f32) -> Extraction {
    let face = |variant| Face {
        index: 0,
        variant,
        embedding: Embedding::new(vec![seed, 1.0, -2.0]).unwrap(),
        norm: Some(seed),
        taps: vec![0.5, seed],
        bounding_box: [1.0, 2.0, 30.0, 40.0].into(),
        landmarks: [[seed, 7.0]; 5],
        score: 0.9,
        luminance: 100.0,
        sharpness: 50.0,
    };
    let faces = vec![face(FaceVariant::PLAIN), face(FaceVariant::MIRRORED)];
    Extraction::Embedded { faces, found: 1 }
}

fn rejected() -> Extraction {
    Extraction::Rejected(Rejection::new(RejectReason::NoFace, "no score above 0.5"))
}

/// The files of a store with two pictures and three label rows.
struct Made {
    header: Vec<u8>,
    log: Vec<u8>,
    samples: Vec<u8>,
    /// Of embeddings and of rejections.
    shards: [Vec<u8>; 2],
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = scratch::folder("made");
        let mut writer = Store::create_or_open(&folder, store_header()).unwrap();
        let keys = [ImageKey::of(b"a"), ImageKey::of(b"b")];
        writer.append(keys[0], &embedded(1.5)).unwrap();
        writer.append(keys[1], &rejected()).unwrap();
        writer.commit().unwrap();
        let log = fs_err::read(folder.join("log")).unwrap();
        let row = |path: &str, key: Option<ImageKey>| SampleRow {
            sample: Sample { raw_age: "25-32".into(), ..Sample::unlabelled(path) },
            key,
            rejection: key.is_none().then(|| Rejection::new(RejectReason::Unreadable, "gone")),
        };
        let rows = [row("a.jpg", Some(keys[0])), row("b.jpg", Some(keys[1])), row("c.jpg", None)];
        writer.write_samples(&rows).unwrap();
        writer.finish().unwrap();
        let read = |name: &str| fs_err::read(folder.join(name)).unwrap();
        let shard = |kind: &str| {
            let entries = fs_err::read_dir(folder.join("shards")).unwrap();
            let mut paths = entries.map(|entry| entry.unwrap().path());
            let of_kind = |path: &PathBuf| path.to_string_lossy().contains(kind);
            fs_err::read(paths.find(of_kind).unwrap()).unwrap()
        };
        Made {
            header: read("store.json"),
            log,
            samples: read("samples.parquet"),
            shards: [shard("/embeddings-"), shard("/rejections-")],
        }
    })
}

/// An empty folder for a store, with the header of the one that was made.
fn fresh(name: &str) -> PathBuf {
    let folder = scratch::folder(name);
    for part in ["shards", "derived"] {
        match fs_err::remove_dir_all(folder.join(part)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    scratch::write(&folder, "store.json", &made().header);
    folder
}

/// Opens a store and reads all that is in it.
fn read_all(folder: &Path) -> Result<Vec<ImageKey>, StoreError> {
    let store = Store::open(folder)?;
    let verified = store.verify()?;
    let keys = store.embedded_keys();
    let read = || -> Result<(), StoreError> {
        store.info()?;
        store.samples().map(drop).or_else(|error| match error {
            StoreError::NoSamples { .. } => Ok(()),
            error => Err(error),
        })?;
        for key in &keys {
            store.variants(key)?;
        }
        store.rejections().map(drop)
    };
    if let Err(error) = read() {
        assert!(!verified.is_valid(), "valid, but: {error}");
    }
    Ok(keys)
}

/// The last record that [`log`] writes.
const LAST: &[u8] = b"the last picture";

/// The input is cut into records: a byte that says whether its checksum is right, a length of two
/// bytes, and the record. One more record follows, which every reader must find.
pub(crate) fn log(mut bytes: &[u8]) {
    let made = made();
    let mut content = made.log[..LOG_HEADER].to_vec();
    while let Some((&[sealed, low, high], rest)) = bytes.split_first_chunk() {
        let (record, rest) = rest.split_at(rest.len().min(u16::from_le_bytes([low, high]).into()));
        if sealed % 2 == 0 {
            content.extend(sealed_record(record));
        } else {
            content.extend_from_slice(record);
        }
        bytes = rest;
    }
    // As the store writes a rejection: key, kind, reason and detail, each with its length.
    let mut last = ImageKey::of(LAST).as_bytes().to_vec();
    last.push(0);
    for text in ["no-face", "none"] {
        last.extend((text.len() as u32).to_le_bytes());
        last.extend_from_slice(text.as_bytes());
    }
    content.extend(sealed_record(&last));

    let folder = fresh("store-log");
    scratch::write(&folder, "log", &content);
    let keys = read_all(&folder).unwrap();
    assert!(Store::open(&folder).unwrap().contains(&ImageKey::of(LAST)));
    // Opening it for writing cuts what no reader counts, and nothing else.
    drop(Store::open_for_writing(&folder).unwrap());
    assert_eq!(read_all(&folder).unwrap(), keys);
}

fn sealed_record(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u32).to_le_bytes();
    let sum = crc32fast::hash(&[&length, record].concat());
    [&length, &sum.to_le_bytes(), record].concat()
}

pub(crate) fn log_seeds() -> Vec<Vec<u8>> {
    let mut rest = &made().log[LOG_HEADER..];
    let mut seeds = vec![Vec::new()];
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (record, others) = after[PREFIX - 4..].split_at(length);
        let [low, high, ..] = length.to_le_bytes();
        seeds.push([&[0, low, high], record].concat());
        seeds.push([&[1, low, high], record].concat());
        rest = others;
    }
    let all = seeds.concat();
    seeds.push(all);
    seeds
}

pub(crate) fn header(bytes: &[u8]) {
    let folder = fresh("store-header");
    let mut header = bytes.to_vec();
    // A file without a place for the checksum is tried too.
    let _ = checksum::seal(&mut header, br#""checksum": ""#);
    scratch::write(&folder, "store.json", &header);
    scratch::write(&folder, "samples.parquet", &made().samples);
    let _ = read_all(&folder);
}

pub(crate) fn header_seeds() -> Vec<Vec<u8>> {
    let made = made().header.clone();
    let text = String::from_utf8(made.clone()).unwrap();
    let first_format = text.replace("\"format\": 2", "\"format\": 1");
    let unsealed = text.replace("\"checksum\"", "\"other\"");
    vec![made, first_format.into(), unsealed.into()]
}

/// As [`read_all`]. The crate that reads Parquet gives up on some tables by panicking; only tables that
/// were made to have a right checksum come so far, and who makes those could also write the store.
fn read_tables(folder: &Path) {
    let read = catch_unwind(AssertUnwindSafe(|| read_all(folder).map(drop)));
    if let Err(panic) = read
        && !["/parquet-", "/arrow-"].iter().any(|crates| crate::last_panic().contains(crates))
    {
        resume_unwind(panic);
    }
}

pub(crate) fn samples(bytes: &[u8]) {
    let folder = fresh("store-samples");
    let mut table = bytes.to_vec();
    // The marker in Parquet's metadata: name, type and length of the value behind it.
    let _ = checksum::seal(&mut table, b"facefold.checksum\x18\x40");
    scratch::write(&folder, "samples.parquet", &table);
    read_tables(&folder);
}

pub(crate) fn samples_seeds() -> Vec<Vec<u8>> {
    let mut unsealed = made().samples.clone();
    let digits = unsealed.windows(64).position(|window| window.iter().all(u8::is_ascii_hexdigit));
    if let Some(digits) = digits {
        unsealed[digits..digits + 64].copy_from_slice(UNSEALED.as_bytes());
    }
    vec![unsealed]
}

/// The first byte says which kind of shard the rest is.
pub(crate) fn shard(bytes: &[u8]) {
    let Some((kind, content)) = bytes.split_first() else { return };
    let kind = if kind % 2 == 0 { "embeddings" } else { "rejections" };
    let folder = fresh("store-shard");
    let shards = folder.join("shards");
    fs_err::create_dir(&shards).unwrap();
    let sum = blake3::hash(content).to_hex();
    scratch::write(&shards, &format!("{kind}-0123456789abcdef-{}.parquet", &sum[..32]), content);
    read_tables(&folder);
}

pub(crate) fn shard_seeds() -> Vec<Vec<u8>> {
    let [embeddings, rejections] = &made().shards;
    vec![[&[0], &embeddings[..]].concat(), [&[1], &rejections[..]].concat()]
}

/// A picture that the seeds name.
const TRIED: &[u8] = b"a picture at which runs ended";

/// The list of pictures at which a killed extraction was.
pub(crate) fn attempts(bytes: &[u8]) {
    let folder = fresh("store-attempts");
    scratch::write(&folder, "attempts", bytes);
    let key = ImageKey::of(TRIED);
    let writer = Store::open_for_writing(&folder).unwrap();
    let attempts = writer.attempts().unwrap();
    let earlier = attempts.earlier(&key);
    attempts.begin([(key, Path::new("a.jpg"))]).unwrap();
    drop(attempts);
    // The next run finds what this one wrote, if it ends now.
    assert_eq!(writer.attempts().unwrap().earlier(&key), earlier.saturating_add(1));
}

pub(crate) fn attempts_seeds() -> Vec<Vec<u8>> {
    let key = ImageKey::of(TRIED);
    let other = ImageKey::of(b"b");
    vec![
        b"end\n".to_vec(),
        format!("2 {key} a.jpg\n1 {other} b c\\n.jpg\nend\n1 {other} left over").into(),
        format!("{} {key} a.jpg\nend\n", u32::MAX).into(),
    ]
}
