//! Stores of parts become one store: the same keys and the same bits as one extraction of all.

use facefold_core::{Extraction, RejectReason, Rejection};
use facefold_store::{Merged, SampleRow, SealLimits, Store, StoreError, StoreWriter};

use crate::util::{
    append, assert_equal, contents, create, fingerprint, finished, header, key, outcome, shards,
};

/// Takes over all of some stores; how many pictures were new, embedded and rejected, and how many known.
fn take_over(writer: &mut StoreWriter, others: &[Store]) -> [usize; 3] {
    writer.begin_merge().unwrap();
    let mut counts = [0; 3];
    for other in others {
        let Merged { new, known } = writer.take_embeddings(other).unwrap();
        (counts[0], counts[2]) = (counts[0] + new, counts[2] + known);
    }
    for other in others {
        let Merged { new, known } = writer.take_rejections(other).unwrap();
        (counts[1], counts[2]) = (counts[1] + new, counts[2] + known);
    }
    writer.write_samples(&[] as &[SampleRow]).unwrap();
    counts
}

#[test]
fn parts_in_shards_and_in_a_log_become_the_whole_once() {
    let [whole, one, two, out] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let expected = finished(whole.path(), 0..40);
    finished(one.path(), 0..20);
    // Two pictures of the first part too, and the last ones in the log only.
    let limits = SealLimits { pictures: 6, bytes: 1 << 20 };
    let mut writer = create(two.path()).with_limits(limits);
    append(&mut writer, 18..40);
    writer.commit().unwrap();
    drop(writer);
    let before = [one.path(), two.path()].map(contents);
    let parts = || [one.path(), two.path()].map(|path| Store::open(path).unwrap());
    assert!(parts()[1].info().unwrap().unsealed > 0);

    let mut writer = create(out.path());
    // 9, 19, 29 and 39 are rejected; 18 and 19 stand in both parts.
    assert_eq!(take_over(&mut writer, &parts()), [36, 4, 2]);
    assert_equal(&writer.finish().unwrap(), &expected);
    // Files whose rows are all new are taken over as they are.
    assert!(shards(out.path()).iter().any(|name| shards(one.path()).contains(name)));

    let once = shards(out.path());
    let mut writer = create(out.path());
    assert_eq!(take_over(&mut writer, &parts()), [0, 0, 42]);
    assert_equal(&writer.finish().unwrap(), &expected);
    assert_eq!(shards(out.path()), once);
    let derived =
        |path: &std::path::Path| path.components().any(|part| part.as_os_str() == "derived");
    for (path, before) in [one.path(), two.path()].into_iter().zip(before) {
        let after = contents(path);
        let changed = |(path, bytes): &(&std::path::PathBuf, &Vec<u8>)| {
            !derived(path) && after.get(*path) != Some(*bytes)
        };
        assert_eq!(before.iter().filter(changed).count(), 0, "parts stay as they are");
    }
}

#[test]
fn a_picture_that_one_store_embedded_is_embedded() {
    let [whole, one, two, out] = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let expected = finished(whole.path(), 0..12);
    let mut writer = create(one.path());
    let crashed = Rejection::new(RejectReason::Crashed, "the program ended at it");
    for number in [3, 4] {
        writer.append(key(number), &Extraction::Rejected(crashed.clone())).unwrap();
    }
    append(&mut writer, 9..12);
    let one = writer.finish().unwrap();
    let two = finished(two.path(), 0..9);
    let mut writer = create(out.path());
    // The rejections were taken over before anyone had the embeddings.
    take_over(&mut writer, std::slice::from_ref(&one));
    assert!(writer.is_rejected(&key(3)) && writer.is_rejected(&key(9)));
    assert_eq!(take_over(&mut writer, &[one, two])[..2], [9, 0]);
    assert_equal(&writer.finish().unwrap(), &expected);
}

#[test]
fn other_networks_and_corrupt_shards_are_refused() {
    let [one, two, out] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let first = finished(one.path(), 0..5);
    let mut other = header();
    other.fingerprint = fingerprint("other");
    let mut writer = Store::create_or_open(two.path(), other).unwrap();
    writer.append(key(7), &outcome(7)).unwrap();
    let second = writer.finish().unwrap();
    let mut writer = create(out.path());
    for error in [writer.take_embeddings(&second), writer.take_rejections(&second)] {
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::OtherFingerprint { .. }), "{error}");
    }
    assert!(writer.is_empty(), "nothing is taken over");
    drop(first);

    let name = shards(one.path()).into_iter().find(|name| name.starts_with("embeddings")).unwrap();
    let path = one.path().join("shards").join(name);
    let first = Store::open(one.path()).unwrap();
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let error = writer.take_embeddings(&first).unwrap_err().to_string();
    assert!(error.contains("checksum") && error.contains(path.to_str().unwrap()), "{error}");
    drop(writer);
    assert!(create(out.path()).is_empty());
}

#[test]
fn a_merge_that_was_cut_off_is_seen() {
    let [one, out] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = finished(one.path(), 0..12);
    let mut writer = create(out.path());
    writer.begin_merge().unwrap();
    writer.take_embeddings(&first).unwrap();
    drop(writer);
    let store = Store::open(out.path()).unwrap();
    assert!(store.merge_is_unfinished());
    let problems = store.verify().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("store merge"), "{problems:?}");
    let mut writer = create(out.path());
    assert_eq!(take_over(&mut writer, std::slice::from_ref(&first)), [0, 1, 11]);
    assert_equal(&writer.finish().unwrap(), &first);
}

/// What a kill leaves between the new shard of rejections and the deletion of the old ones.
#[test]
fn rejections_that_lie_twice_are_put_in_order() {
    let [one, whole, out] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let crashed = Extraction::Rejected(Rejection::new(RejectReason::Crashed, "it ended"));
    let mut writer = create(out.path());
    // The first is embedded elsewhere; the second is known here alone.
    writer.append(key(1), &crashed).unwrap();
    writer.append(key(29), &outcome(29)).unwrap();
    writer.seal().unwrap();
    let old = shards(out.path()).remove(0);
    let kept = fs_err::read(out.path().join("shards").join(&old)).unwrap();
    let other = finished(one.path(), 0..9);
    take_over(&mut writer, std::slice::from_ref(&other));
    writer.finish().unwrap();
    fs_err::write(out.path().join("shards").join(&old), kept).unwrap();
    assert!(!Store::open(out.path()).unwrap().verify().unwrap().is_valid());

    let mut writer = create(out.path());
    take_over(&mut writer, &[other]);
    let mut expected = create(whole.path());
    append(&mut expected, 0..9);
    append(&mut expected, 29..30);
    assert_equal(&writer.finish().unwrap(), &expected.finish().unwrap());
    assert!(!shards(out.path()).contains(&old));
}
