//! A changed byte is noticed, never read as an embedding.

use std::path::Path;

use facefold_core::{FaceVariant, Gender, RejectReason, Rejection, Sample, SubjectId};
use facefold_store::{Features, SampleRow, Select, Store, StoreError};

use crate::util::{
    append, create, fingerprint, finished, header, key, outcome, row, shards, without_checksum,
};

#[test]
fn a_changed_byte_of_the_log_loses_that_record_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    let log = directory.path().join("log");
    let mut ends = vec![48];
    for number in 0..7 {
        append(&mut writer, number..number + 1);
        ends.push(usize::try_from(fs_err::metadata(&log).unwrap().len()).unwrap());
    }
    drop(writer);
    let whole = fs_err::read(&log).unwrap();
    for place in 0..whole.len() {
        let mut corrupt = whole.clone();
        corrupt[place] ^= 0x20;
        fs_err::write(&log, corrupt).unwrap();
        let store = match Store::open(directory.path()) {
            Ok(store) => store,
            Err(error) => {
                assert!(place < 48, "byte {place}: {error}");
                let refused =
                    matches!(error, StoreError::Corrupt { .. } | StoreError::ForeignFile { .. });
                assert!(refused, "{error}");
                continue;
            }
        };
        let hit = ends.iter().filter(|&&end| end <= place).count() - 1;
        for number in 0..7 {
            let kept = store.contains(&key(number));
            assert_eq!(kept, number as usize != hit, "byte {place}, picture {number}");
            if kept {
                let keys = [key(number)];
                let variant = FaceVariant::MIRRORED;
                let select = Select { variant, features: Features::Both, keys: &keys };
                let values = store.load_matrix(&select).unwrap().row(0).to_vec();
                assert_eq!(values, row(number, variant));
            }
        }
        // What a flip in the last record leaves is what a kill leaves.
        let found = store.verify().unwrap();
        let bytes = format!("from byte {} to byte {}", ends[hit], ends[hit + 1]);
        if hit < 6 {
            assert_eq!(found.problems.len(), 1);
            assert!(found.problems[0].contains(&bytes), "{:?}", found.problems);
        } else {
            assert_eq!((found.incomplete_log_at, found.is_valid()), (ends[6] as u64, true));
        }
    }
    // The lost picture comes again, and all are in the shard.
    let mut corrupt = whole;
    corrupt[ends[2] + 20] ^= 1;
    fs_err::write(&log, corrupt).unwrap();
    let mut writer = create(directory.path());
    let again: Vec<u32> =
        (0..7).filter(|&number| writer.append(key(number), &outcome(number)).unwrap()).collect();
    assert_eq!(again, [2]);
    let other = tempfile::tempdir().unwrap();
    crate::util::assert_equal(&writer.finish().unwrap(), &finished(other.path(), 0..7));
}

#[test]
fn a_log_of_another_network_is_refused() {
    let [ours, theirs] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    append(&mut create(ours.path()), 0..2);
    let mut other = header();
    other.fingerprint = fingerprint("other");
    append(&mut Store::create_or_open(theirs.path(), other).unwrap(), 0..3);
    let log = |store: &Path| store.join("log");
    fs_err::copy(log(theirs.path()), log(ours.path())).unwrap();
    let read = Store::open(ours.path()).unwrap_err();
    let written = Store::create_or_open(ours.path(), header()).unwrap_err();
    for error in [read, written] {
        assert!(matches!(error, StoreError::ForeignFile { .. }), "{error}");
    }
}

/// Label rows of pictures 0 to 19, and one that could not be read.
fn labelled(directory: &Path) -> Vec<SampleRow> {
    let mut writer = create(directory);
    append(&mut writer, 0..20);
    let row = |number: u32| {
        let sample = Sample {
            raw_age: format!("({number}, {})", number + 5),
            gender: Some(Gender::ALL[number as usize % 2]),
            subject: Some(SubjectId::new(format!("subject {}", number / 3))),
            ..Sample::unlabelled(format!("{number}.jpg"))
        };
        SampleRow { sample, key: Some(key(number)), rejection: None }
    };
    let gone = Some(Rejection::new(RejectReason::Unreadable, "no such file"));
    let gone = SampleRow { sample: Sample::unlabelled("x.jpg"), key: None, rejection: gone };
    let rows: Vec<SampleRow> = (0..20).map(row).chain([gone]).collect();
    writer.write_samples(&rows).unwrap();
    writer.finish().unwrap();
    rows
}

#[test]
fn no_flipped_bit_of_the_samples_table_changes_a_label() {
    let directory = tempfile::tempdir().unwrap();
    let rows = labelled(directory.path());
    let path = directory.path().join("samples.parquet");
    let whole = fs_err::read(&path).unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.samples().unwrap(), rows);
    for bit in (0..whole.len() * 8).step_by(11) {
        let mut corrupt = whole.clone();
        corrupt[bit / 8] ^= 1 << (bit % 8);
        fs_err::write(&path, corrupt).unwrap();
        let error = store.samples().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "bit {bit}: {error}");
    }
    let message = store.export(facefold_store::ExportFormat::Csv, directory.path().join("out"));
    assert!(message.unwrap_err().to_string().contains("samples.parquet"));
    let problems = store.verify().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("its bytes"), "{problems:?}");
}

#[test]
fn a_missing_or_truncated_samples_table_is_detected() {
    let directory = tempfile::tempdir().unwrap();
    let rows = labelled(directory.path());
    let path = directory.path().join("samples.parquet");
    let whole = fs_err::read(&path).unwrap();
    fs_err::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(!Store::open(directory.path()).unwrap().verify().unwrap().is_valid());
    fs_err::remove_file(&path).unwrap();
    let store = Store::open(directory.path()).unwrap();
    let problems = store.verify().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("is gone"), "{problems:?}");
    assert!(matches!(store.samples(), Err(StoreError::Corrupt { .. })));
    let mut writer = create(directory.path());
    writer.write_samples(&rows).unwrap();
    assert_eq!(writer.finish().unwrap().samples().unwrap(), rows);
}

#[test]
fn a_samples_table_of_another_store_of_the_same_network_is_refused() {
    let [ours, theirs] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let rows = labelled(ours.path());
    labelled(theirs.path());
    let [own, other] = [&ours, &theirs].map(|directory| directory.path().join("samples.parquet"));
    let whole = fs_err::read(&own).unwrap();
    fs_err::copy(other, &own).unwrap();
    let store = Store::open(ours.path()).unwrap();
    let error = store.samples().unwrap_err().to_string();
    assert!(error.contains("another store"), "{error}");
    assert!(!store.verify().unwrap().is_valid());
    fs_err::write(&own, whole).unwrap();
    assert_eq!(store.samples().unwrap(), rows);
    // A store of an earlier version, without an id, gets one with its next table.
    without_checksum(ours.path());
    let header = ours.path().join("store.json");
    let text = fs_err::read_to_string(&header).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("\"id\"")).collect();
    let without = without.join("\n").replace("true,\n}", "true\n}");
    fs_err::write(&header, without).unwrap();
    let mut writer = create(ours.path());
    writer.write_samples(&rows).unwrap();
    let store = writer.finish().unwrap();
    assert_eq!(store.samples().unwrap(), rows);
    fs_err::copy(theirs.path().join("samples.parquet"), &own).unwrap();
    assert!(store.samples().unwrap_err().to_string().contains("another store"));
    let mut writer = create(ours.path());
    writer.write_samples(&rows).unwrap();
    writer.finish().unwrap();
    // A copy of the whole store is that store.
    let copy = theirs.path().join("copy");
    fs_err::create_dir(&copy).unwrap();
    for name in ["store.json", "samples.parquet"] {
        fs_err::copy(ours.path().join(name), copy.join(name)).unwrap();
    }
    assert_eq!(Store::open(&copy).unwrap().samples().unwrap(), rows);
}

#[test]
fn no_flipped_bit_of_the_header_is_read() {
    let directory = tempfile::tempdir().unwrap();
    labelled(directory.path());
    let path = directory.path().join("store.json");
    let whole = fs_err::read(&path).unwrap();
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut corrupt = whole.clone();
        corrupt[bit / 8] ^= 1 << (bit % 8);
        fs_err::write(&path, corrupt).unwrap();
        let error = Store::open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "bit {bit}: {error}");
    }
}

#[test]
fn a_store_without_checksums_is_read_and_extracting_again_adds_them() {
    let directory = tempfile::tempdir().unwrap();
    let rows = labelled(directory.path());
    without_checksum(directory.path());
    let path = directory.path().join("samples.parquet");
    let table = fs_err::read(&path).unwrap();
    let unnamed = String::from_utf8_lossy(&table).contains("facefold.checksum");
    assert!(unnamed);
    let name = table.windows(17).rposition(|bytes| bytes == b"facefold.checksum").unwrap();
    let mut earlier = table;
    earlier[name] = b'F';
    fs_err::write(&path, earlier).unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.samples().unwrap(), rows);
    let found = store.verify().unwrap();
    assert_eq!((found.is_valid(), found.has_checksums), (true, false));
    let mut writer = create(directory.path());
    writer.write_samples(&rows).unwrap();
    let found = writer.finish().unwrap().verify().unwrap();
    assert_eq!((found.is_valid(), found.has_checksums), (true, true));
    assert_eq!(Store::open(directory.path()).unwrap().samples().unwrap(), rows);
}

/// A shard whose own bytes are right may still be of another network.
#[test]
fn a_shard_of_another_network_is_refused() {
    let ours = tempfile::tempdir().unwrap();
    finished(ours.path(), 0..20);
    let theirs = tempfile::tempdir().unwrap();
    let mut other = header();
    other.fingerprint = fingerprint("other");
    let mut writer = Store::create_or_open(theirs.path(), other).unwrap();
    append(&mut writer, 0..20);
    writer.finish().unwrap();
    for kind in ["embeddings", "rejections"] {
        let own = shards(ours.path());
        let own = own.iter().find(|name| name.starts_with(kind)).unwrap();
        let foreign = shards(theirs.path());
        let foreign = foreign.iter().find(|name| name.starts_with(kind)).unwrap();
        let path = |store: &Path, name: &str| store.join("shards").join(name);
        fs_err::copy(path(theirs.path(), foreign), path(ours.path(), foreign)).unwrap();
        let refused = || {
            let read = Store::open(ours.path()).unwrap_err();
            let written = Store::create_or_open(ours.path(), header()).unwrap_err();
            for error in [read, written] {
                assert!(matches!(error, StoreError::ForeignFile { .. }), "{error}");
                assert!(error.to_string().contains(foreign), "{error}");
            }
        };
        refused();
        let away = ours.path().join("away");
        fs_err::rename(path(ours.path(), own), &away).unwrap();
        refused();
        // Nor does an index that knows them already.
        let index = |store: &Path| store.join("derived/index.bin");
        fs_err::copy(index(theirs.path()), index(ours.path())).unwrap();
        refused();
        fs_err::rename(&away, path(ours.path(), own)).unwrap();
        fs_err::remove_file(path(ours.path(), foreign)).unwrap();
        assert_eq!(Store::open(ours.path()).unwrap().len(), 20);
    }
}

#[test]
fn a_changed_byte_of_a_shard_is_an_error_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..20);
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &keys };
    for name in shards(directory.path()) {
        let path = directory.path().join("shards").join(&name);
        let whole = fs_err::read(&path).unwrap();
        for place in (0..whole.len()).step_by(61) {
            let mut corrupt = whole.clone();
            corrupt[place] ^= 1;
            fs_err::write(&path, corrupt).unwrap();
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
    assert!(store.verify().unwrap().is_valid());
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
fn a_changed_derived_file_is_found_by_verify_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..20);
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Taps, keys: &keys };
    let expected = store.load_matrix(&select).unwrap();
    assert!(store.verify().unwrap().is_valid());
    let copies = fs_err::read_dir(directory.path().join("derived")).unwrap();
    let copy = copies
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("taps-"))
        .unwrap();
    let whole = fs_err::read(&copy).unwrap();
    for place in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let mut corrupt = whole.clone();
        corrupt[place] ^= 0x40;
        // A new file: the one that is mapped must not change.
        fs_err::remove_file(&copy).unwrap();
        fs_err::write(&copy, corrupt).unwrap();
        let problems = store.verify().unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains("delete it"), "{problems:?}");
        assert_eq!(store.load_matrix(&select).unwrap(), expected, "byte {place}");
        assert_eq!(fs_err::read(&copy).unwrap(), whole, "byte {place}");
    }

    // The copy of another store, of as many rows, under the name of this one's.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = finished(elsewhere.path(), 100..120);
    let of_other = other.embedded_keys();
    assert_eq!(of_other.len(), keys.len());
    other.load_matrix(&Select { keys: &of_other, ..select }).unwrap();
    let foreign = fs_err::read_dir(elsewhere.path().join("derived"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("taps-"))
        .unwrap();
    fs_err::remove_file(&copy).unwrap();
    fs_err::copy(&foreign, &copy).unwrap();
    assert_eq!(fs_err::metadata(&copy).unwrap().len(), whole.len() as u64);
    assert_eq!(store.load_matrix(&select).unwrap(), expected);
    assert_eq!(fs_err::read(&copy).unwrap(), whole);

    // One that an earlier version left, without checksums, is not corrupt. Each picture has two rows.
    fs_err::remove_file(&copy).unwrap();
    fs_err::write(&copy, &whole[..128 + 2 * size_of::<f32>() * expected.len()]).unwrap();
    assert!(store.verify().unwrap().is_valid());
    assert_eq!(store.load_matrix(&select).unwrap(), expected);
}

#[test]
fn verify_names_label_rows_without_an_outcome() {
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
    assert!(!verification.is_valid());
    let rejected = writer.rejected_samples().unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].path.to_str(), Some("9.jpg"));
}
