//! Made, appended to, sealed, reopened, refused.

use std::path::Path;

use facefold_core::{
    Extraction, FaceVariant, Fold, Gender, RejectReason, Rejection, Sample, Split, SubjectId,
};
use facefold_store::{
    DatasetInfo, Features, Outcome, SampleRow, SealLimits, Select, Store, StoreError, StoreWriter,
    TakenOver,
};
use ndarray::{Array2, Axis};
use serde_json::json;

use crate::util::{
    EMBEDDING, TAPS, append, assert_equal, create, face, fingerprint, finished, header, key,
    outcome, row, shards, without_checksum,
};

#[test]
fn a_matrix_has_the_appended_bits_from_log_and_shards() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer =
        create(directory.path()).with_limits(SealLimits { pictures: 8, bytes: 1 << 20 });
    append(&mut writer, 0..22);
    writer.commit().unwrap();
    // Two shards and six pictures in the log, asked for backwards, one of each kind twice.
    let numbers: Vec<u32> = (0..22).rev().filter(|n| n % 10 != 9).chain([3, 21]).collect();
    let keys: Vec<_> = numbers.iter().map(|&number| key(number)).collect();
    let reader = Store::open(directory.path()).unwrap();
    for store in [&*writer, &reader] {
        for variant in [FaceVariant::PLAIN, FaceVariant::MIRRORED] {
            let select = Select { variant, features: Features::Both, keys: &keys };
            let values = numbers.iter().flat_map(|&number| row(number, variant)).collect();
            let shape = (keys.len(), EMBEDDING + TAPS);
            let expected = Array2::from_shape_vec(shape, values).unwrap();
            assert_eq!(store.load_matrix(&select).unwrap(), expected);
            let none = store.load_matrix(&Select { keys: &[], ..select }).unwrap();
            assert_eq!(none.dim(), (0, EMBEDDING + TAPS));
            for (features, columns) in
                [(Features::Embedding, 0..EMBEDDING), (Features::Taps, EMBEDDING..EMBEDDING + TAPS)]
            {
                let part = store.load_matrix(&Select { features, ..select }).unwrap();
                assert_eq!(part, expected.select(Axis(1), &columns.collect::<Vec<_>>()));
            }
        }
    }
    let features = reader.load_features(Features::Both, &keys, false).unwrap();
    assert_eq!(features.mirrored().unwrap().row(0), row(21, FaceVariant::MIRRORED));
}

#[test]
fn selected_rows_are_found_among_others() {
    let directory = tempfile::tempdir().unwrap();
    // Shards of 8: nearby rows are read over, and far ones begin a new run.
    let mut writer =
        create(directory.path()).with_limits(SealLimits { pictures: 8, bytes: 1 << 20 });
    append(&mut writer, 0..120);
    let store = writer.finish().unwrap();
    for step in [1, 2, 3, 7, 50, 119] {
        let numbers: Vec<u32> =
            (0..120).step_by(step).filter(|number| number % 10 != 9).chain([0]).collect();
        let keys: Vec<_> = numbers.iter().map(|&number| key(number)).collect();
        let select =
            Select { variant: FaceVariant::MIRRORED, features: Features::Taps, keys: &keys };
        let matrix = store.load_matrix(&select).unwrap();
        for (found, &number) in matrix.rows().into_iter().zip(&numbers) {
            assert_eq!(found.to_vec(), row(number, FaceVariant::MIRRORED)[EMBEDDING..], "{number}");
        }
    }
}

#[test]
fn a_store_that_grows_gets_a_new_matrix() {
    let directory = tempfile::tempdir().unwrap();
    let first = finished(directory.path(), 0..5);
    let load = |store: &Store, numbers: std::ops::Range<u32>| {
        let keys: Vec<_> = numbers.map(key).collect();
        let select =
            Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &keys };
        store.load_matrix(&select)
    };
    assert_eq!(load(&first, 0..5).unwrap().nrows(), 5);
    drop(first);
    let mut writer = create(directory.path());
    append(&mut writer, 5..9);
    let second = writer.finish().unwrap();
    let matrix = load(&second, 0..9).unwrap();
    for number in 0..9 {
        let expected = &row(number, FaceVariant::PLAIN)[..EMBEDDING];
        assert_eq!(matrix.row(number as usize).as_slice().unwrap(), expected);
    }
    let copies = fs_err::read_dir(directory.path().join("derived")).unwrap();
    let copies = copies.filter(|file| {
        file.as_ref().unwrap().file_name().to_string_lossy().starts_with("embedding-")
    });
    assert_eq!(copies.count(), 1, "the old copy is deleted");
}

#[test]
fn outcomes_are_known_before_and_after_sealing() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..10);
    for _ in 0..2 {
        assert_eq!(writer.outcome(&key(3)), Some(Outcome::Embedded));
        assert_eq!(writer.outcome(&key(9)), Some(Outcome::Rejected));
        assert_eq!(writer.outcome(&key(10)), None);
        assert!(writer.is_rejected(&key(9)) && writer.contains(&key(9)));
        let rejections = writer.rejections().unwrap();
        assert_eq!(rejections.len(), 1);
        assert_eq!(rejections[&key(9)].detail, "picture 9 shows none");
        assert_eq!((writer.len(), writer.embedded_keys().len()), (10, 9));
        writer.seal().unwrap();
    }
    assert_eq!(shards(directory.path()).len(), 2, "one of embeddings, one of rejections");
}

#[test]
fn a_picture_is_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..3);
    assert!(!writer.append(key(1), &outcome(2)).unwrap(), "in the log");
    writer.seal().unwrap();
    assert!(!writer.append(key(1), &outcome(2)).unwrap(), "in a shard");
    let twice = tempfile::tempdir().unwrap();
    assert_equal(&writer.finish().unwrap(), &finished(twice.path(), 0..3));
}

#[test]
fn an_outcome_that_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    let mut short = face(0, FaceVariant::PLAIN);
    short.taps.pop();
    let plain = face(0, FaceVariant::PLAIN);
    for (faces, expected) in [
        (vec![], "at least one face"),
        (vec![short], "expected an embedding of 8 values and 5 taps, found 8 and 4"),
        (vec![plain.clone(), plain], "face 0 is given twice in variant 0"),
    ] {
        let extraction = Extraction::Embedded { faces, found: 1 };
        let message = writer.append(key(0), &extraction).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!writer.contains(&key(0)));
    }
}

#[test]
fn another_fingerprint_or_length_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    finished(directory.path(), 0..3);
    let mut other = header();
    other.fingerprint = fingerprint("other");
    let message = Store::create_or_open(directory.path(), other).unwrap_err().to_string();
    for part in [fingerprint("made-up").as_str(), fingerprint("other").as_str(), "another --store"]
    {
        assert!(message.contains(part), "{message}");
    }
    let mut without_taps = header();
    without_taps.extractor.taps_length = 0;
    let error = Store::create_or_open(directory.path(), without_taps).unwrap_err();
    assert!(matches!(error, StoreError::OtherLengths { stored_taps: TAPS, wanted_taps: 0, .. }));
}

/// Before 28 November 2026 taps were moments of thirteen maps and row means, and named no layout.
#[test]
fn taps_of_an_earlier_layout_are_refused_with_the_command_that_makes_them_anew() {
    let directory = tempfile::tempdir().unwrap();
    finished(directory.path(), 0..3);
    without_checksum(directory.path());
    let path = directory.path().join("store.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let earlier = text.replace(facefold_core::TAPS_LAYOUT, "");
    assert_ne!(text, earlier);
    fs_err::write(&path, earlier).unwrap();
    let command = format!(
        "facefold extract manifest faces/<LIST>.csv --store {}-new --taps",
        directory.path().display()
    );
    let opened = Store::open(directory.path()).unwrap_err();
    let extracted = Store::create_or_open(directory.path(), header()).unwrap_err();
    for error in [opened, extracted] {
        assert!(matches!(error, StoreError::OtherTaps { found: TAPS, .. }), "{error}");
        assert!(error.to_string().contains(&command), "{error}");
    }
}

#[test]
fn a_second_writer_waits_and_readers_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..3);
    let error = Store::create_or_open(directory.path(), header()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert_eq!(Store::open(directory.path()).unwrap().len(), 3);
    drop(writer);
    assert_eq!(create(directory.path()).len(), 3);
}

#[test]
fn a_reader_keeps_what_it_saw_while_the_log_is_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..5);
    let reader = Store::open(directory.path()).unwrap();
    writer.seal().unwrap();
    append(&mut writer, 5..9);
    let keys: Vec<_> = (0..5).map(key).collect();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Both, keys: &keys };
    let matrix = reader.load_matrix(&select).unwrap();
    assert_eq!(matrix.row(4).to_vec(), row(4, FaceVariant::PLAIN));
}

#[test]
fn directories_that_are_no_store_are_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    fs_err::write(directory.path().join("thesis.tex"), "x").unwrap();
    let message = Store::create_or_open(directory.path(), header()).unwrap_err().to_string();
    assert!(message.contains("thesis.tex"), "{message}");
    assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn another_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    finished(directory.path(), 0..1);
    without_checksum(directory.path());
    let path = directory.path().join("store.json");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("\"format\": 1", "\"format\": 3")).unwrap();
    let message = Store::open(directory.path()).unwrap_err().to_string();
    assert!(message.contains("store format 3, expected 2"), "{message}");
}

#[test]
fn missing_rows_and_taps_are_errors_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..10);
    let keys = [key(0), key(9), key(77)];
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Both, keys: &keys };
    let message = store.load_matrix(&select).unwrap_err().to_string();
    assert!(message.starts_with("2 of 3 pictures"), "{message}");
    assert!(message.contains(&key(9).to_string()), "{message}");
    let other = tempfile::tempdir().unwrap();
    let mut bare = header();
    bare.extractor.taps_length = 0;
    let store = Store::create_or_open(other.path(), bare).unwrap();
    let message = store.load_matrix(&select).unwrap_err().to_string();
    assert!(message.contains("--taps"), "{message}");
}

#[test]
fn forgotten_rejections_are_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..20);
    writer.seal().unwrap();
    append(&mut writer, 20..30);
    assert_eq!(writer.forget_rejections().unwrap(), 3);
    assert!(!writer.contains(&key(9)) && !writer.contains(&key(29)));
    assert!(writer.append(key(9), &outcome(8)).unwrap());
    let store = writer.finish().unwrap();
    assert_eq!(store.outcome(&key(9)), Some(Outcome::Embedded));
    assert!(store.rejections().unwrap().is_empty());
    let reopened = Store::open(directory.path()).unwrap();
    assert_eq!(reopened.outcome(&key(19)), None);
    assert_eq!(reopened.len(), 28);
}

#[test]
fn the_stamp_changes_with_the_embeddings_and_with_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..20);
    writer.seal().unwrap();
    let stamp = || Store::open(directory.path()).unwrap().stamp();
    let sealed = stamp();
    assert_eq!(stamp(), sealed);
    append(&mut writer, 20..21);
    writer.commit().unwrap();
    let logged = stamp();
    assert_ne!(logged, sealed);
    assert_eq!(writer.stamp(), logged);
    assert!(!writer.append(key(20), &outcome(20)).unwrap(), "it is there already");
    writer.commit().unwrap();
    assert_eq!(stamp(), logged);
    drop(writer);

    // The same pictures with another embedding of one of them.
    let other = tempfile::tempdir().unwrap();
    let mut writer = create(other.path());
    append(&mut writer, 0..20);
    writer.seal().unwrap();
    assert_eq!(Store::open(other.path()).unwrap().stamp(), sealed);
    assert!(writer.append(key(20), &outcome(21)).unwrap());
    writer.commit().unwrap();
    assert_ne!(Store::open(other.path()).unwrap().stamp(), logged);
}

#[test]
fn samples_come_back_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    assert!(matches!(writer.samples(), Err(StoreError::NoSamples { .. })));
    let full = Sample {
        path: "a/b c,\"ü\".jpg".into(),
        raw_age: "(25, 32)".into(),
        gender: Some(Gender::Male),
        race: Some("Others".into()),
        subject: Some(SubjectId::new("7153718@N04")),
        fold: Some(Fold(4)),
        split: Some(Split::Validation),
        class: Some("young".into()),
        label_conflict: true,
    };
    let rejection = Some(Rejection::new(RejectReason::Unreadable, "permission denied"));
    let mut rows = vec![
        SampleRow { sample: full, key: Some(key(1)), rejection: None },
        SampleRow { sample: Sample::unlabelled("gone.jpg"), key: None, rejection },
    ];
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let odd = std::ffi::OsStr::from_bytes(b"latin-\xe9.jpg");
        let sample = Sample::unlabelled(odd);
        rows.push(SampleRow { sample, key: Some(key(2)), rejection: None });
    }
    writer.write_samples(&rows).unwrap();
    assert_eq!(writer.samples().unwrap(), rows);
    writer.write_samples(&rows[..1]).unwrap();
    assert_eq!(Store::open(directory.path()).unwrap().samples().unwrap(), rows[..1]);
    // More than are written at a time.
    let row = |i: u32| {
        let sample = Sample::unlabelled(format!("{i}.jpg"));
        SampleRow { sample, key: (!i.is_multiple_of(3)).then(|| key(i)), rejection: None }
    };
    writer.write_samples((0..2500).map(row)).unwrap();
    assert_eq!(writer.samples().unwrap(), (0..2500).map(row).collect::<Vec<_>>());
}

#[test]
fn the_header_takes_over_the_counts_of_the_same_data_set_with_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    drop(labelled(directory.path(), &[0, 1]));
    let mut newer = header();
    newer.dataset.counts = [("rows".to_owned(), 7)].into();
    let counted = newer.dataset.clone();
    let mut writer = Store::create_or_open(directory.path(), newer).unwrap();
    let known = || Store::open(directory.path()).unwrap().header().dataset.clone();
    assert_ne!(known(), counted, "its rows are not there yet");
    writer.write_samples(&[] as &[SampleRow]).unwrap();
    assert_eq!(known(), counted);
}

#[test]
fn another_data_set_is_refused_before_anything_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = header();
    first.dataset.options = json!({ "labels": "labels.csv", "augment": 2 });
    let other = |change: &dyn Fn(&mut DatasetInfo)| {
        let mut other = first.clone();
        change(&mut other.dataset);
        Store::create_or_open(directory.path(), other)
    };
    // Nothing is in it, so nothing is lost.
    drop(Store::create_or_open(directory.path(), header()).unwrap());
    drop(other(&|_| ()).unwrap());
    let mut writer = other(&|_| ()).unwrap();
    append(&mut writer, 0..3);
    drop(writer);
    let before = crate::util::contents(directory.path());
    let refuse = |change: &dyn Fn(&mut DatasetInfo), expected: &str| {
        let error = other(change).unwrap_err();
        assert!(matches!(error, StoreError::OtherDataset { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refuse(&|dataset| dataset.kind = "folder".into(), "expected manifest, found folder");
    refuse(
        &|dataset| dataset.root = "two".into(),
        "expected manifest `faces`, found manifest `two`",
    );
    refuse(
        &|dataset| dataset.options["augment"] = 0.into(),
        "expected --augment 2, found --augment 0",
    );
    refuse(
        &|dataset| dataset.options["labels"] = json!(null),
        "expected --labels labels.csv, found no --labels",
    );
    assert_eq!(crate::util::contents(directory.path()), before);
    drop(other(&|dataset| dataset.counts = [("rows".to_owned(), 9)].into()).unwrap());
}

/// A store whose label rows name these pictures, a subject each.
fn labelled(directory: &Path, numbers: &[u32]) -> StoreWriter {
    let mut writer = create(directory);
    for &number in numbers {
        writer.append(key(number), &outcome(number)).unwrap();
    }
    writer.write_samples(numbers.iter().map(|&number| sample(number))).unwrap();
    writer
}

fn sample(number: u32) -> SampleRow {
    let subject = Some(SubjectId::new(format!("subject {number}")));
    let sample = Sample { subject, ..Sample::unlabelled(format!("{number}.jpg")) };
    SampleRow { sample, key: Some(key(number)), rejection: None }
}

#[test]
fn a_new_samples_table_keeps_the_rows_of_the_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = labelled(directory.path(), &[0, 1, 2, 3, 4, 9]);
    let unread = |number: u32| SampleRow {
        key: None,
        rejection: Some(Rejection::new(RejectReason::Unreadable, "entity not found")),
        ..sample(number)
    };
    let not_reached = |number: u32| SampleRow { rejection: None, ..unread(number) };
    // 0 is read, 1 and 9 are away and 9 was rejected, 2 was not reached, 3 has another name, 4 is
    // no longer listed, 77 was never seen.
    let mut renamed = sample(3);
    renamed.sample.path = "three.jpg".into();
    let mut relabelled = unread(1);
    relabelled.sample.raw_age = "35".to_owned();
    let rows =
        [sample(0), relabelled.clone(), not_reached(2), renamed.clone(), unread(9), unread(77)];
    let taken_over = writer.write_samples(&rows).unwrap();
    let expected = TakenOver { pictures: 3, rows: vec!["4.jpg".into()], ..TakenOver::default() };
    assert_eq!(taken_over, expected);
    let kept = SampleRow { key: Some(key(1)), rejection: None, ..relabelled };
    let expected = [sample(0), kept, sample(2), renamed, sample(9), unread(77), sample(4)];
    assert_eq!(writer.samples().unwrap(), expected);
    // The same again changes nothing.
    writer.write_samples(&rows).unwrap();
    assert_eq!(writer.samples().unwrap(), expected);
    // Bytes that are rejected do not take the place of a picture that was embedded.
    let emptied = SampleRow { key: Some(key(9)), ..sample(0) };
    assert_eq!(writer.write_samples([emptied]).unwrap().pictures, 1);
    assert_eq!(writer.samples().unwrap()[0], sample(0));
    // A picture with other bytes takes the place of the one before.
    let replaced = SampleRow { key: Some(key(55)), ..sample(0) };
    let taken_over = writer.write_samples([replaced.clone()]).unwrap();
    assert_eq!((taken_over.pictures, &taken_over.replaced), (0, &[key(0)].into()));
    assert_eq!(writer.samples().unwrap()[0], replaced);
    assert_eq!(writer.remove_replaced(&taken_over).unwrap(), 1);
    assert!(!writer.contains(&key(0)) && writer.contains(&key(4)));
}

#[test]
fn deleted_or_corrupt_derived_files_are_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    let store = finished(directory.path(), 0..30);
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::MIRRORED, features: Features::Both, keys: &keys };
    let expected = store.load_matrix(&select).unwrap();
    drop(store);
    let derived = directory.path().join("derived");
    let index = fs_err::read(derived.join("index.bin")).unwrap();
    for place in (0..index.len()).step_by(37) {
        let mut corrupt = index.clone();
        corrupt[place] ^= 4;
        fs_err::write(derived.join("index.bin"), corrupt).unwrap();
        assert_eq!(Store::open(directory.path()).unwrap().embedded_keys(), keys, "byte {place}");
    }
    fs_err::remove_dir_all(&derived).unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.load_matrix(&select).unwrap(), expected);
}
