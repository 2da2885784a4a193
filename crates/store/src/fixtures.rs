//! Made-up outcomes for unit tests.

use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint, Precision, RejectReason,
    Rejection, TAPS_LAYOUT,
};

use crate::header::{DatasetInfo, StoreHeader};

/// A header for made-up outcomes of these lengths.
pub(crate) fn header(length: usize, taps: usize) -> StoreHeader {
    let info = ExtractorInfo {
        backend: "local".into(),
        model: "untrained".into(),
        detector: "none".into(),
        network: "made-up".into(),
        precision: Precision::F32Equivalent,
        execution: "test".into(),
        embedding_length: length,
        taps_length: taps,
        taps_layout: TAPS_LAYOUT.to_owned(),
        licence: "none".into(),
    };
    let fingerprint = Fingerprint::builder().text("network", "made-up").finish();
    StoreHeader::new(fingerprint, info, DatasetInfo::new("manifest", "faces"))
}

/// A picture with a plain and a mirrored crop; every number differs from every other.
pub(crate) fn embedded(seed: u32, length: usize, taps: usize) -> Extraction {
    let value = |place: usize| seed as f32 + place as f32 / 4096.0;
    let face = |variant: FaceVariant| {
        let start = 1000 * variant.0 as usize;
        let values = |from: usize, count: usize| (from..from + count).map(value).collect();
        Face {
            index: 0,
            variant,
            embedding: Embedding::new(values(start, length)).unwrap(),
            norm: (seed % 2 == 1).then(|| value(start + 500)),
            taps: values(start + 600, taps),
            bounding_box: <[f32; 4]>::into(std::array::from_fn(|i| value(start + 700 + i))),
            landmarks: std::array::from_fn(|i| [value(start + 710 + i), value(start + 720 + i)]),
            score: value(start + 730),
            luminance: value(start + 731),
            sharpness: value(start + 732),
        }
    };
    let faces = vec![face(FaceVariant::PLAIN), face(FaceVariant::MIRRORED)];
    Extraction::Embedded { faces, found: seed % 5 + 1 }
}

/// A picture without a face.
pub(crate) fn rejected() -> Extraction {
    Extraction::Rejected(Rejection::new(RejectReason::NoFace, "no score above 0.5, padded or not"))
}
