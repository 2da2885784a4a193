//! Two stores are equal when they have the same keys and the same bits, however they came about.

use facefold_core::{Extraction, FaceVariant};
use facefold_store::SealLimits;

use crate::util::{
    append, assert_equal, create, face, fingerprint, finished, key, outcome, shards,
};

#[test]
fn the_order_of_appending_and_sealing_does_not_matter() {
    let [one, two, three] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let forwards = finished(one.path(), 0..30);
    let mut writer = create(two.path());
    (0..30).rev().for_each(|number| append(&mut writer, number..number + 1));
    assert_equal(&writer.finish().unwrap(), &forwards);
    assert_eq!(shards(one.path()), shards(two.path()), "the same rows give the same shards");
    let mut writer = create(three.path()).with_limits(SealLimits { pictures: 4, bytes: 1 << 20 });
    append(&mut writer, 15..30);
    append(&mut writer, 0..15);
    assert_equal(&writer, &forwards);
    assert_equal(&writer.finish().unwrap(), &forwards);
}

#[test]
fn every_kind_of_difference_is_reported() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = finished(one.path(), 0..12);
    let mut other = crate::util::header();
    other.fingerprint = fingerprint("other");
    let mut writer = facefold_store::Store::create_or_open(two.path(), other).unwrap();
    append(&mut writer, 1..8);
    let faces = [FaceVariant::PLAIN, FaceVariant::MIRRORED].map(|variant| {
        let mut changed = face(8, variant);
        // One bit of one landmark of one variant.
        let bits = changed.landmarks[2][1].to_bits() ^ u32::from(variant == FaceVariant::MIRRORED);
        changed.landmarks[2][1] = f32::from_bits(bits);
        changed
    });
    let nearly = Extraction::Embedded { faces: faces.to_vec(), found: 1 + 8 % 3 };
    writer.append(key(8), &nearly).unwrap();
    writer.append(key(9), &outcome(10)).unwrap();
    append(&mut writer, 10..13);
    let second = writer.finish().unwrap();
    let difference = first.compare(&second).unwrap();
    assert_eq!(difference.only_first, [key(0)]);
    assert_eq!(difference.only_second, [key(12)]);
    let mut expected = [key(8), key(9)];
    expected.sort();
    assert_eq!(difference.different, expected);
    assert!(difference.fingerprints.is_some());
    assert!(difference.to_string().contains("2 pictures with different bits"), "{difference}");
}

#[test]
fn info_counts_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = create(directory.path());
    append(&mut writer, 0..20);
    writer.seal().unwrap();
    append(&mut writer, 20..25);
    let info = writer.info().unwrap();
    assert_eq!((info.embedded, info.unsealed, info.shards), (23, 5, 2));
    assert_eq!(info.embeddings, [(0, 23), (1, 23)].into());
    assert_eq!(info.rejected, [(facefold_core::RejectReason::NoFace, 2)].into());
    assert_eq!(info.samples, None);
    assert!(info.bytes > 23 * 2 * 13 * 4, "{}", info.bytes);
}
