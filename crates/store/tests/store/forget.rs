//! After a removal no byte of a person is left in any file of the store.

use std::path::{Path, PathBuf};

use facefold_core::{
    Extraction, FaceVariant, ImageKey, RejectReason, Rejection, Sample, SubjectId,
};
use facefold_store::{
    Features, Forget, NotedReport, SampleRow, Select, Store, StoreError, StoreWriter,
};

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

fn real(path: &Path) -> PathBuf {
    fs_err::canonicalize(path).unwrap()
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
        name: name.to_owned(),
        store: real(store.directory()),
    };
    for (report, name) in [(&first, "faces"), (&second, "faces"), (&first, "faces")] {
        store.note_report(report, name).unwrap();
    }
    assert_eq!(store.reports().unwrap(), [noted(&first, "faces"), noted(&second, "faces")]);
    // The store was renamed.
    store.note_report(&first, "old").unwrap();
    assert_eq!(store.reports().unwrap()[2], noted(&first, "old"));
}

#[test]
fn a_report_is_noted_by_a_path_that_lasts() {
    let root = tempfile::tempdir().unwrap();
    let [store, report, passing] =
        ["store", "report", "passing"].map(|name| root.path().join(name));
    made(&store);
    fs_err::create_dir(&report).unwrap();
    fs_err::create_dir(&passing).unwrap();
    let store = Store::open(passing.join("../store")).unwrap();
    store.note_report(&passing.join("../report"), "store").unwrap();
    fs_err::remove_dir(&passing).unwrap();
    let store = Store::open(root.path().join("store")).unwrap();
    let found = store.reports().unwrap();
    assert_eq!(
        (&found[0].directory, &found[0].store),
        (&real(&report), &real(&root.path().join("store")))
    );
}

/// Every file of a store in another directory, as `cp -r` leaves it.
fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }
}

#[test]
fn the_reports_of_an_original_are_not_those_of_its_copy() {
    let root = tempfile::tempdir().unwrap();
    let [original, copied, moved, report] =
        ["original", "copied", "moved", "report"].map(|name| root.path().join(name));
    made(&original);
    fs_err::create_dir(&report).unwrap();
    let store = Store::open(&original).unwrap();
    store.note_report(&report, "original").unwrap();
    copy(&original, &copied);
    let copied = Store::open(&copied).unwrap();
    assert!(!copied.is_same(&store) && copied.reports().unwrap().len() == 1);
    let of_original = |store: &Store| store.is_of_original(&store.reports().unwrap()[0]).unwrap();
    assert_eq!([&store, &copied].map(of_original), [false, true]);
    // A store that was renamed is no copy.
    fs_err::rename(&original, &moved).unwrap();
    assert!(!of_original(&Store::open(&moved).unwrap()));
}

#[test]
fn a_table_of_a_copy_or_an_earlier_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let [original, copied] = ["original", "copied"].map(|name| root.path().join(name));
    made(&original);
    copy(&original, &copied);
    let who = SubjectId::new(WHO);
    forget(&copied, Forget::Subject(&who)).unwrap();
    let table = |directory: &Path| directory.join("samples.parquet");
    let [whole, less] =
        [&original, &copied].map(|directory| fs_err::read(table(directory)).unwrap());
    assert_ne!(whole, less);
    for (directory, foreign) in [(&original, &less), (&copied, &whole)] {
        let own = fs_err::read(table(directory)).unwrap();
        fs_err::write(table(directory), foreign).unwrap();
        let store = Store::open(directory).unwrap();
        let message = store.samples().unwrap_err().to_string();
        assert!(message.contains("an earlier table, or that of a copy"), "{message}");
        assert!(message.contains("take the forgotten person out"), "{message}");
        assert!(!store.verify().unwrap().is_valid());
        fs_err::write(table(directory), own).unwrap();
        assert!(store.verify().unwrap().is_valid());
    }
}

/// A reader that opened the store before another table was written reads that one.
#[test]
fn a_table_that_was_written_meanwhile_is_read() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let reader = Store::open(directory.path()).unwrap();
    let before = reader.samples().unwrap();
    let paths = || before.iter().map(|row| row.sample.path.as_path());
    assert_eq!(reader.count_gone(paths()).unwrap(), 0);
    forget(directory.path(), Forget::Subject(&SubjectId::new(WHO))).unwrap();
    assert_eq!(reader.samples().unwrap().len(), before.len() - 4);
    assert_eq!(reader.count_gone(paths()).unwrap(), 4);
}

#[test]
fn the_removal_of_one_person_does_not_end_that_of_another() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let who = SubjectId::new(WHO);
    let mut writer = Store::open_for_writing(directory.path()).unwrap();
    let traces = writer.find_traces(Forget::Subject(&who)).unwrap();
    // The name may be typed in another form of Unicode.
    let typed = SubjectId::new(format!("\u{ff3a}{}\u{200b}", &WHO[1..]));
    assert_eq!(writer.find_traces(Forget::Subject(&typed)).unwrap().keys, traces.keys);
    assert!(writer.begin_removal(&traces).unwrap());
    drop(writer);
    forget(directory.path(), Forget::Image(Path::new("album/picture-5.jpg"))).unwrap();
    let problems = Store::open(directory.path()).unwrap().verify().unwrap().problems;
    assert!(
        problems.len() == 1 && problems[0].contains("a removal is not finished"),
        "{problems:?}"
    );
    assert_eq!(forget(directory.path(), Forget::Subject(&who)).unwrap(), 4);
    assert!(Store::open(directory.path()).unwrap().verify().unwrap().is_valid());
}

#[test]
fn a_picture_is_known_by_every_path_to_it() {
    let root = tempfile::tempdir().unwrap();
    let mut header = crate::util::header();
    header.dataset.root = root.path().join("faces");
    fs_err::create_dir_all(root.path().join("faces/album")).unwrap();
    let mut writer = Store::create_or_open(root.path().join("store"), header).unwrap();
    append(&mut writer, 0..2);
    writer.write_samples((0..2).map(sample)).unwrap();
    // None of the store's pictures.
    fs_err::write(root.path().join("faces/album/picture-1.jpg"), "changed since").unwrap();
    for path in
        ["album/picture-1.jpg", "./album/./picture-1.jpg"].map(PathBuf::from).into_iter().chain(
            ["faces/album/picture-1.jpg", "faces/album/../album/picture-1.jpg"]
                .map(|path| root.path().join(path)),
        )
    {
        let found = writer.find_traces(Forget::Image(&path)).unwrap();
        assert_eq!(found.paths, [PathBuf::from("album/picture-1.jpg")], "{}", path.display());
    }
}

/// Lets another picture take the place of one: no label row names the earlier one any more.
fn replace(writer: &mut StoreWriter, number: u32, by: u32) {
    append(writer, by..by + 1);
    let replaced = |mut row: SampleRow| {
        if row.key == Some(key(number)) {
            row.key = Some(key(by));
        }
        row
    };
    let rows: Vec<SampleRow> = writer.samples().unwrap().into_iter().map(replaced).collect();
    writer.write_samples(rows).unwrap();
}

#[test]
fn a_picture_that_another_has_replaced_goes_with_its_subject() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let mut writer = Store::open_for_writing(directory.path()).unwrap();
    replace(&mut writer, 3, 40);
    drop(writer);
    let store = Store::open(directory.path()).unwrap();
    let found = store.verify().unwrap();
    assert_eq!((found.pictures_without_sample, found.is_valid()), (1, true));
    assert!(found.to_string().contains("1 pictures have no label row"), "{found}");
    let info = store.info().unwrap();
    assert_eq!(info.pictures_without_sample, 1);
    assert!(info.to_string().contains("no label row  1 pictures"), "{info}");

    // Of a subject without label rows they are no traces.
    let stranger = SubjectId::new("Marvin");
    let unknown = forget(directory.path(), Forget::Subject(&stranger)).unwrap_err();
    assert!(matches!(unknown, StoreError::Unknown { .. }), "{unknown}");
    let who = SubjectId::new(WHO);
    let traces = store.find_traces(Forget::Subject(&who)).unwrap();
    assert_eq!((traces.keys.len(), traces.unlabelled), (4, 1));
    assert_eq!(forget(directory.path(), Forget::Subject(&who)).unwrap(), 4);
    assert_eq!(seen(directory.path()), 0);
    let store = Store::open(directory.path()).unwrap();
    assert!([3, 40].iter().all(|&number| !store.contains(&key(number))));
    assert_eq!(store.verify().unwrap().pictures_without_sample, 0);
}

#[test]
fn embeddings_that_no_label_row_names_are_removed_and_rejections_are_not() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let mut writer = Store::open_for_writing(directory.path()).unwrap();
    replace(&mut writer, 3, 40);
    // What lies in the place of 5 now is rejected, so that its row keeps what it had.
    append(&mut writer, 49..50);
    let before = writer.len();
    assert_eq!(writer.remove_unlabelled().unwrap(), 1);
    assert!(!writer.contains(&key(3)) && writer.is_rejected(&key(49)));
    assert_eq!((writer.len(), writer.remove_unlabelled().unwrap()), (before - 1, 0));
    let store = writer.finish().unwrap();
    assert!(store.verify().unwrap().is_valid());
    assert!(store.samples().unwrap().iter().all(|row| store.contains(&row.key.unwrap())));
}

#[test]
fn a_removal_is_refused_while_pictures_wait_for_their_label_rows() {
    let directory = tempfile::tempdir().unwrap();
    made(directory.path());
    let who = SubjectId::new(WHO);
    let mut writer = Store::open_for_writing(directory.path()).unwrap();
    // Rows were added, and the extraction was killed.
    let attempts = writer.attempts().unwrap();
    append(&mut writer, 20..23);
    drop((attempts, writer));
    let before = contents(directory.path());
    let refused = forget(directory.path(), Forget::Subject(&who)).unwrap_err().to_string();
    assert!(refused.starts_with("nothing was removed from"), "{refused}");
    assert!(refused.contains("found 3 pictures without one"), "{refused}");
    assert!(refused.contains("run the same `extract` command again, then"), "{refused}");
    assert_eq!(contents(directory.path()), before);

    // A removal that was begun before is to be finished, and takes them too.
    let mut writer = Store::open_for_writing(directory.path()).unwrap();
    let mut rows = writer.samples().unwrap();
    rows.extend((20..23).map(sample));
    writer.write_samples(&rows).unwrap();
    let traces = writer.find_traces(Forget::Subject(&who)).unwrap();
    assert_eq!(traces.unlabelled, 0);
    writer.begin_removal(&traces).unwrap();
    append(&mut writer, 23..24);
    drop(writer);
    assert_eq!(forget(directory.path(), Forget::Subject(&who)).unwrap(), 4);
    let store = Store::open(directory.path()).unwrap();
    assert!(store.contains(&key(22)) && !store.contains(&key(23)));
    assert!(store.verify().unwrap().is_valid());
}

#[test]
fn a_removal_is_refused_in_a_store_that_has_no_label_rows_yet() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..5);
    drop(writer);
    let store = Store::open(directory.path()).unwrap();
    let who = SubjectId::new(WHO);
    let refused = store.find_traces(Forget::Subject(&who)).unwrap_err();
    assert!(matches!(refused, StoreError::UnknownPictures { pictures: 5, .. }), "{refused}");
    assert_eq!(store.verify().unwrap().pictures_without_sample, 5);
    assert_eq!(store.info().unwrap().pictures_without_sample, 5);
    // Nor while a merge is to be finished.
    drop(store);
    made(&directory.path().join("merged"));
    let mut writer = Store::open_for_writing(directory.path().join("merged")).unwrap();
    writer.begin_merge().unwrap();
    append(&mut writer, 20..21);
    let refused = writer.find_traces(Forget::Subject(&who)).unwrap_err().to_string();
    assert!(refused.contains("run the same `store merge` command again"), "{refused}");
}
