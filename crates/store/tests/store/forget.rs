//! After a removal no byte of a person is left in any file of the store.

use std::path::{Path, PathBuf};

use facefold_core::{
    Extraction, FaceVariant, ImageKey, RejectReason, Rejection, Sample, SubjectId,
};
use facefold_store::{Features, Forget, NotedReport, SampleRow, Select, Store, StoreError};

use crate::util::{append, contents, create, key, outcome, row};

/// Shows the person who is to be forgotten, and is rejected.
const REJECTED: u32 = 99;
const WHO: &str = "Zaphod-Beeblebrox";

fn sample(number: u32) -> SampleRow {
    let who =
        if [3, 14, REJECTED].contains(&number) { WHO.to_owned() } else { format!("s{number}") };
    let sample = Sample {
        subject: Some(SubjectId::new(who)),
        ..Sample::unlabelled(format!("album/picture-{number}.jpg"))
    };
    SampleRow { sample, key: Some(key(number)), rejection: None }
}

/// Pictures 0 to 9 in a shard with 99, 10 to 15 in another, 16 to 18 in the log; everything
/// derived.
fn made(directory: &Path) {
    let mut writer = create(directory);
    append(&mut writer, 0..10);
    let rejection = Rejection::new(RejectReason::NoFace, "a secret detail");
    writer.append(key(REJECTED), &Extraction::Rejected(rejection)).unwrap();
    writer.seal().unwrap();
    append(&mut writer, 10..16);
    writer.seal().unwrap();
    append(&mut writer, 16..19);
    // The same bytes under the name of another subject.
    let mut twin = sample(14);
    twin.sample.path = "elsewhere/twin.jpg".into();
    twin.sample.subject = Some(SubjectId::new("Ford"));
    let rows = (0..19).chain([REJECTED]).map(sample).chain([twin]);
    writer.write_samples(rows).unwrap();
    drop(writer);
    let store = Store::open(directory).unwrap();
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Both, keys: &keys };
    store.load_matrix(&select).unwrap();
}

/// What would give the person away: keys, embeddings and taps of every crop, words.
fn needles() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        WHO.into(),
        "picture-14.jpg".into(),
        "picture-99.jpg".into(),
        "twin.jpg".into(),
        "a secret detail".into(),
    ];
    for number in [3, 14, REJECTED] {
        all.push(key(number).as_bytes().to_vec());
    }
    for number in [3, 14] {
        for variant in [FaceVariant::PLAIN, FaceVariant::MIRRORED] {
            let values = row(number, variant);
            let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let (embedding, taps) = values.split_at(crate::util::EMBEDDING);
            all.extend([bytes(embedding), bytes(taps)]);
        }
    }
    all
}

/// How many of the needles some file has. Columns of text are compressed, so that not all are seen.
fn seen(directory: &Path) -> usize {
    let files = contents(directory);
    let holds = |needle: &[u8]| {
        files.values().any(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
    };
    needles().iter().filter(|needle| holds(needle)).count()
}

fn forget(directory: &Path, what: Forget<'_>) -> Result<usize, StoreError> {
    let mut writer = Store::open_for_writing(directory)?;
    let traces = writer.find_traces(what)?;
    writer.forget(&traces)?;
    Ok(traces.paths.len())
}

#[test]
fn no_byte_of_a_forgotten_subject_is_left() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    // An extraction that ended while it was at one of the pictures.
    let writer = Store::open_for_writing(directory.path()).unwrap();
    writer.attempts().unwrap().begin([(key(14), Path::new("picture-14.jpg"))]).unwrap();
    drop(writer);
    assert!(seen(directory.path()) >= 13, "{} of {}", seen(directory.path()), needles().len());
    let who = SubjectId::new(WHO);
    assert_eq!(forget(directory.path(), Forget::Subject(&who)).unwrap(), 4);
    assert_eq!(seen(directory.path()), 0);

    let store = Store::open(directory.path()).unwrap();
    assert!(store.verify().unwrap().is_valid());
    let left: Vec<u32> = (0..19).filter(|&number| ![3, 14].contains(&number)).collect();
    let rows: Vec<SampleRow> = left.iter().map(|&number| sample(number)).collect();
    assert_eq!(store.samples().unwrap(), rows);
    assert_eq!(store.len(), left.len());
    assert!(store.rejections().unwrap().values().all(|why| !why.detail.contains("secret")));
    for &number in left.iter().filter(|&&number| number % 10 != 9) {
        let keys = [key(number)];
        let variant = FaceVariant::MIRRORED;
        let select = Select { variant, features: Features::Both, keys: &keys };
        assert_eq!(store.load_matrix(&select).unwrap().row(0).to_vec(), row(number, variant));
    }
    // The derived files that reading has made again have none of it either.
    assert_eq!(seen(directory.path()), 0);
    let again = forget(directory.path(), Forget::Subject(&who)).unwrap_err();
    assert!(matches!(again, StoreError::Unknown { .. }), "{again}");
    assert!(again.to_string().contains(WHO), "{again}");
}

#[test]
fn a_picture_is_forgotten_by_its_row_or_by_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let row = Path::new("album/picture-5.jpg");
    assert_eq!(forget(directory.path(), Forget::Image(row)).unwrap(), 1);
    let file = directory.path().join("a-copy.jpg");
    // The key of picture 14 is the hash of its number.
    fs_err::write(&file, 14u32.to_le_bytes()).unwrap();
    assert_eq!(ImageKey::of(&fs_err::read(&file).unwrap()), key(14));
    assert_eq!(forget(directory.path(), Forget::Image(&file)).unwrap(), 2);
    let store = Store::open(directory.path()).unwrap();
    let left: Vec<u32> = (0..19).filter(|&number| store.contains(&key(number))).collect();
    let expected: Vec<u32> = (0..19).filter(|number| ![5, 14].contains(number)).collect();
    assert_eq!(left, expected);
    assert!(store.verify().unwrap().is_valid());
    assert!(store.contains(&key(REJECTED)));
    let unknown = forget(directory.path(), Forget::Image(Path::new("unlisted.jpg"))).unwrap_err();
    assert!(matches!(unknown, StoreError::Unknown { .. }), "{unknown}");
}

#[test]
fn pictures_can_be_added_again_after_a_removal() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    forget(directory.path(), Forget::Subject(&SubjectId::new(WHO))).unwrap();
    let mut writer = create(directory.path());
    assert!(writer.append(key(3), &outcome(3)).unwrap());
    assert!(writer.finish().unwrap().verify().unwrap().is_valid());
}

#[test]
fn reports_are_noted_once_each() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let store = Store::open(directory.path()).unwrap();
    assert!(store.reports().unwrap().is_empty());
    let [first, second] = ["one", "line\nbreak"].map(|name| directory.path().join(name));
    let noted = |directory: &PathBuf, name: &str| NotedReport {
        directory: directory.clone(),
        name: Some(name.to_owned()),
    };
    for (report, name) in [(&first, "faces"), (&second, "faces"), (&first, "faces")] {
        store.note_report(report, name);
    }
    assert_eq!(store.reports().unwrap(), [noted(&first, "faces"), noted(&second, "faces")]);
    // The store was renamed.
    store.note_report(&first, "old");
    assert_eq!(store.reports().unwrap()[2], noted(&first, "old"));
}
