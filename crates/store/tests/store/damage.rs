//! A changed byte is noticed, never read as an embedding.

use facefold_core::FaceVariant;
use facefold_store::{Features, Select, Store, StoreError};

use crate::util::{append, create, finished, key, outcome, row, shards};

#[test]
fn a_changed_byte_of_the_log_ends_it_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    let log = directory.path().join("log");
    append(&mut writer, 0..4);
    let kept = usize::try_from(fs_err::metadata(&log).unwrap().len()).unwrap();
    append(&mut writer, 4..7);
    drop(writer);
    let whole = fs_err::read(&log).unwrap();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x20;
        fs_err::write(&log, damaged).unwrap();
        let store = match Store::open(directory.path()) {
            Ok(store) => store,
            Err(error) => {
                assert!(place < 16, "byte {place}: {error}");
                assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                continue;
            }
        };
        assert!(store.len() < 7, "byte {place}");
        assert!(place < kept || store.len() >= 4, "byte {place}");
        for number in (0..7).filter(|&number| store.contains(&key(number))) {
            let keys = [key(number)];
            let variant = FaceVariant::MIRRORED;
            let select = Select { variant, features: Features::Both, keys: &keys };
            assert_eq!(store.load_matrix(&select).unwrap().row(0).to_vec(), row(number, variant));
        }
    }
    // The writer cuts the log there, and the pictures come again.
    let mut writer = create(directory.path());
    assert!(writer.append(key(6), &outcome(6)).unwrap());
    assert_eq!(writer.len(), 7);
}

#[test]
fn a_changed_byte_of_a_shard_is_an_error_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..20);
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &keys };
    for name in shards(directory.path()) {
        let path = directory.path().join("shards").join(&name);
        let whole = fs_err::read(&path).unwrap();
        for place in (0..whole.len()).step_by(61) {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs_err::write(&path, damaged).unwrap();
            let verification = store.verify().unwrap();
            assert_eq!(verification.problems.len(), 1, "{name}, byte {place}");
            assert!(verification.problems[0].contains("delete the file"), "{verification:?}");
            if name.starts_with("embeddings") {
                let error = store.load_matrix(&select).unwrap_err();
                assert!(error.to_string().contains(&name), "{error}");
            } else {
                assert!(store.rejections().is_err());
            }
        }
        fs_err::write(&path, whole).unwrap();
    }
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_deleted_shard_is_extracted_again_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    finished(directory.path(), 0..10);
    let first = shards(directory.path());
    let mut writer = create(directory.path());
    append(&mut writer, 10..20);
    drop(writer.finish().unwrap());
    fs_err::remove_file(directory.path().join("shards").join(&first[0])).unwrap();
    let mut writer = create(directory.path());
    let again =
        (0..20).filter(|&number| writer.append(key(number), &outcome(number)).unwrap()).count();
    assert_eq!(again, 9, "one picture of ten is a rejection, in a shard of its own");
    let whole = tempfile::tempdir().unwrap();
    crate::util::assert_equal(&writer.finish().unwrap(), &finished(whole.path(), 0..20));
}

#[test]
fn a_changed_copy_is_found_by_verify() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..20);
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Taps, keys: &keys };
    store.load_matrix(&select).unwrap();
    assert!(store.verify().unwrap().is_sound());
    let copies = fs_err::read_dir(directory.path().join("derived")).unwrap();
    let copy = copies
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("taps-"))
        .unwrap();
    let mut bytes = fs_err::read(&copy).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&copy, bytes).unwrap();
    let problems = store.verify().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("delete it"), "{problems:?}");
}

#[test]
fn verify_names_label_rows_without_an_outcome() {
    use facefold_core::Sample;
    use facefold_store::SampleRow;
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..10);
    let rows: Vec<SampleRow> = [0, 9, 55]
        .map(|number| SampleRow {
            sample: Sample::unlabelled(format!("{number}.jpg")),
            key: Some(key(number)),
            rejection: None,
        })
        .to_vec();
    writer.write_samples(&rows).unwrap();
    let verification = writer.verify().unwrap();
    assert_eq!(verification.samples_without_outcome, 1);
    assert_eq!(verification.pictures_without_sample, 8);
    assert!(!verification.is_sound());
    let rejected = writer.rejected_samples().unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].path.to_str(), Some("9.jpg"));
}
