//! Lets each change of the disk fail in turn, by each kind of failure, once and for good, and holds
//! a store to its promises: nothing acknowledged is lost, nothing is there twice, and the same
//! command makes it whole.

use std::io::ErrorKind;
use std::path::Path;

use facefold_core::{Extraction, FaceVariant, ImageKey, Sample, SubjectId};
use fs_err as fs;

use crate::disk::PARTIAL;
use crate::disk::faults::{Plan, begin};
use crate::error::StoreError;
use crate::export::ExportFormat;
use crate::fixtures::{embedded, header, rejected};
use crate::forget::{Forget, NotedReport};
use crate::matrix::{Features, Select};
use crate::samples::SampleRow;
use crate::store::Store;
use crate::writer::SealLimits;

const PICTURES: u32 = 13;
const KINDS: [ErrorKind; 4] = [
    ErrorKind::StorageFull,
    ErrorKind::QuotaExceeded,
    ErrorKind::ReadOnlyFilesystem,
    ErrorKind::Other,
];

fn key(number: u32) -> ImageKey {
    ImageKey::of(&number.to_le_bytes())
}

fn outcome(number: u32) -> Extraction {
    if number % 4 == 3 { rejected() } else { embedded(number, 6, 3) }
}

/// Two pictures a subject.
fn samples() -> Vec<SampleRow> {
    let row = |number: u32| {
        let subject = Some(SubjectId::new(format!("person-{}", number / 2)));
        let sample = Sample { subject, ..Sample::unlabelled(format!("{number}.jpg")) };
        SampleRow { sample, key: Some(key(number)), rejection: None }
    };
    (0..PICTURES).map(row).collect()
}

/// Extracts every picture that the store has not seen; reports each that the store accepted.
/// A `stubborn` extraction goes on after a failure, as no program should but one might.
fn extract(
    directory: &Path,
    stubborn: bool,
    mut acknowledge: impl FnMut(u32),
) -> Result<Store, StoreError> {
    let limits = SealLimits { pictures: 5, bytes: 1 << 20 };
    let mut writer = Store::create_or_open(directory, header(6, 3))?.with_limits(limits);
    for number in 0..PICTURES {
        match writer.append(key(number), &outcome(number)) {
            Ok(_) => acknowledge(number),
            Err(error) if !stubborn => return Err(error),
            Err(_) => {}
        }
    }
    for result in [writer.commit(), writer.write_samples(samples()).map(|_| ())] {
        if !stubborn {
            result?;
        }
    }
    writer.finish()
}

fn plan(first: usize, stubborn: bool) -> Plan {
    Plan { first, kind: KINDS[first % KINDS.len()], lasting: !stubborn }
}

/// What must hold of a finished store.
fn assert_whole(store: &Store, expected: &Store) {
    let difference = store.compare(expected).unwrap();
    assert!(difference.is_empty(), "{difference}");
    let problems = store.verify().unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(store.samples().unwrap(), samples());
    for directory in [store.directory().to_owned(), store.layout.shards()] {
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with(PARTIAL), "{name} is left behind");
        }
    }
}

#[test]
fn no_failure_of_the_disk_loses_or_doubles_a_picture() {
    begin(None);
    let whole = tempfile::tempdir().unwrap();
    let expected = extract(whole.path(), false, |_| ()).unwrap();
    let changes = begin(None).len();
    assert!(changes > 60, "only {changes} changes of the disk were counted");
    for (first, stubborn) in (0..changes).flat_map(|first| [(first, false), (first, true)]) {
        let directory = tempfile::tempdir().unwrap();
        let mut acknowledged = Vec::new();
        begin(Some(plan(first, stubborn)));
        let outcome_of_run =
            extract(directory.path(), stubborn, |number| acknowledged.push(number));
        begin(None);
        let context = format!("change {first}, stubborn: {stubborn}");
        match Store::open(directory.path()) {
            Ok(store) => {
                for &number in &acknowledged {
                    assert!(store.contains(&key(number)), "{context}: picture {number} is lost");
                }
                let mut problems = store.verify().unwrap().problems;
                // The stubborn one listed a picture that it knew it had not stored.
                problems.retain(|problem| !(stubborn && problem.contains("label rows name")));
                assert!(problems.is_empty(), "{context}: {problems:?}");
            }
            Err(error) => {
                assert!(matches!(error, StoreError::NotAStore { .. }), "{context}: {error}");
                assert!(acknowledged.is_empty(), "{context}");
            }
        }
        drop(outcome_of_run);
        let resumed = extract(directory.path(), false, |_| ()).unwrap();
        assert_whole(&resumed, &expected);
    }
}

#[test]
fn a_read_only_disk_can_be_read() {
    begin(None);
    let directory = tempfile::tempdir().unwrap();
    let store = extract(directory.path(), false, |_| ()).unwrap();
    let keys = store.embedded_keys();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Both, keys: &keys };
    let mut expected = None;
    let mut load = |plan: Option<Plan>| {
        if store.layout.derived().exists() {
            fs::remove_dir_all(store.layout.derived()).unwrap();
        }
        begin(plan);
        let loaded = Store::open(directory.path()).and_then(|store| store.load_matrix(&select));
        let changes = begin(None).len();
        let again = Store::open(directory.path()).unwrap().load_matrix(&select).unwrap();
        let expected = expected.get_or_insert_with(|| again.clone());
        assert_eq!(again, *expected, "{plan:?}");
        match loaded {
            Ok(loaded) => assert_eq!(loaded, *expected, "{plan:?}"),
            Err(error) => {
                let of_disk = plan.is_some_and(|plan| plan.kind == ErrorKind::Other);
                assert!(of_disk, "{plan:?}: {error}");
            }
        }
        changes
    };
    let changes = load(None);
    assert!(changes > 15, "only {changes} changes of the disk were counted");
    for first in 0..changes {
        for kind in KINDS {
            load(Some(Plan { first, kind, lasting: true }));
        }
    }
}

#[test]
fn a_removal_that_fails_anywhere_can_be_done_again() {
    begin(None);
    let subject = SubjectId::new("person-1");
    let forget = |directory: &Path| -> Result<(), StoreError> {
        let mut writer = Store::open_for_writing(directory)?;
        let traces = writer.find_traces(Forget::Subject(&subject))?;
        writer.forget(&traces)
    };
    for first in 0.. {
        let directory = tempfile::tempdir().unwrap();
        drop(extract(directory.path(), false, |_| ()).unwrap());
        begin(Some(plan(first, false)));
        let failed = forget(directory.path()).is_err();
        let met = begin(None).len();
        // Never the extraction first, which would bring the person back.
        let store = Store::open(directory.path()).unwrap();
        let problems = store.verify().unwrap().problems;
        let asks = |problem: &String| problem.contains("run the same `store forget`");
        assert!(problems.first().is_none_or(asks), "change {first}: {problems:?}");
        assert_eq!(problems.is_empty(), !store.removal_is_unfinished(), "change {first}");
        // Nor does what is left of a removal say who it is of.
        let left = fs::read(store.layout.removal()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&left).contains("person"), "change {first}");
        match forget(directory.path()) {
            Ok(()) => assert!(failed, "change {first}"),
            Err(StoreError::Unknown { .. }) => assert!(!failed, "change {first}"),
            Err(error) => panic!("change {first}: {error}"),
        }
        let store = Store::open(directory.path()).unwrap();
        let problems = store.verify().unwrap().problems;
        assert!(problems.is_empty(), "change {first}: {problems:?}");
        let known = |number: &u32| store.contains(&key(*number));
        let left: Vec<u32> = (0..PICTURES).filter(known).collect();
        assert_eq!(left, [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12], "change {first}");
        assert_eq!(store.samples().unwrap().len(), left.len(), "change {first}");
        if !failed && met <= first {
            assert!(first > 10, "only {first} changes of the disk were counted");
            return;
        }
    }
}

/// Into a store whose rejections are partly superseded, so that old shards are replaced.
#[test]
fn a_merge_that_fails_anywhere_can_be_done_again() {
    begin(None);
    let [whole, part] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let expected = extract(whole.path(), false, |_| ()).unwrap();
    let limits = SealLimits { pictures: 4, bytes: 1 << 20 };
    let mut writer = Store::create_or_open(part.path(), header(6, 3)).unwrap().with_limits(limits);
    for number in (0..PICTURES).filter(|number| *number != 11) {
        writer.append(key(number), &outcome(number)).unwrap();
    }
    let part = writer.finish().unwrap();
    let begun = |directory: &Path| {
        let mut writer = Store::create_or_open(directory, header(6, 3)).unwrap();
        // Embedded in the other store, known to both as rejected, and known here alone.
        for number in [2, 3, 11] {
            writer.append(key(number), &rejected()).unwrap();
        }
        writer.finish().unwrap()
    };
    let merge = |directory: &Path| -> Result<Store, StoreError> {
        let mut writer = Store::open_for_writing(directory)?;
        writer.begin_merge()?;
        writer.take_embeddings(&part)?;
        writer.take_rejections(&part)?;
        writer.overwrite_samples(samples())?;
        writer.finish()
    };
    let before = tempfile::tempdir().unwrap();
    let before = begun(before.path());
    for first in 0.. {
        let directory = tempfile::tempdir().unwrap();
        drop(begun(directory.path()));
        begin(Some(plan(first, false)));
        let failed = merge(directory.path()).is_err();
        let met = begin(None).len();
        let store = Store::open(directory.path()).unwrap();
        let problems = store.verify().unwrap().problems;
        let is = |other: &Store| store.compare(other).unwrap().is_empty();
        let whole = is(&expected) && store.samples().is_ok();
        assert!(store.merge_is_unfinished() || whole || is(&before), "change {first}");
        let asks = |problem: &String| problem.contains("run the same `store merge`");
        assert!(problems.first().is_none_or(asks), "change {first}: {problems:?}");
        assert_whole(&merge(directory.path()).unwrap(), &expected);
        if !failed && met <= first {
            assert!(first > 20, "only {first} changes of the disk were counted");
            return;
        }
    }
}

/// The files of an export in NumPy's format, where they are there.
fn exported(directory: &Path) -> [Option<Vec<u8>>; 3] {
    ["index.csv", "embeddings.npy", "taps.npy"].map(|name| fs::read(directory.join(name)).ok())
}

#[test]
fn an_index_never_stands_next_to_the_matrix_of_another_export() {
    begin(None);
    let [whole, less] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let earlier = extract(whole.path(), false, |_| ()).unwrap();
    drop(extract(less.path(), false, |_| ()).unwrap());
    let mut writer = Store::open_for_writing(less.path()).unwrap();
    let traces = writer.find_traces(Forget::Subject(&SubjectId::new("person-1"))).unwrap();
    writer.forget(&traces).unwrap();
    let later = writer.finish().unwrap();
    let out = tempfile::tempdir().unwrap();
    let export = |store: &Store| store.export(ExportFormat::Npy, out.path());
    let [before, after] = [&earlier, &later].map(|store| {
        export(store).unwrap();
        exported(out.path())
    });
    for first in 0.. {
        export(&earlier).unwrap();
        begin(Some(plan(first, false)));
        let failed = export(&later).is_err();
        begin(None);
        let found = exported(out.path());
        assert!(
            found[0].is_none() || found == before || found == after,
            "change {first}: the index is not that of the matrix"
        );
        export(&later).unwrap();
        assert!(exported(out.path()) == after, "change {first}");
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 3, "change {first}");
        if !failed {
            assert!(first > 10, "only {first} changes of the disk were counted");
            return;
        }
    }
}

#[test]
fn a_report_that_could_not_be_noted_hides_no_other() {
    begin(None);
    let directory = tempfile::tempdir().unwrap();
    let store = extract(directory.path(), false, |_| ()).unwrap();
    begin(Some(plan(0, false)));
    store.note_report(Path::new("/results/noted-in-part"), "store").unwrap_err();
    begin(None);
    store.note_report(Path::new("/results/noted"), "store").unwrap();
    let noted = NotedReport {
        directory: "/results/noted".into(),
        name: "store".to_owned(),
        store: fs::canonicalize(directory.path()).unwrap(),
    };
    let found = store.reports().unwrap();
    assert!(found.contains(&noted), "{found:?}");
}
