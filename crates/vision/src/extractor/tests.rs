//! The extractor end to end, with untrained weights and with fixed outputs instead of networks.

use std::io::Cursor;
use std::sync::Mutex;

use facefold_core::{
    Embedding, Extraction, Extractor, ExtractorInfo, Face, FaceVariant, Fingerprint, Precision,
    RejectReason,
};
use facefold_engine::{EngineError, Executor, Images, Network, Op, Shape, Tensor, ValueId};
use image::{ImageFormat, RgbImage, imageops};

use super::{
    Backend, Embedder, ExtractionRequest, LocalExtractor, LocalOptions, PictureError, nothing_found,
};
use crate::align::CROP_SIDE;
use crate::decode::Limits;
use crate::models::{BUFFALO_S, ModelPack, UNTRAINED};
use crate::networks::{Architecture, Untrained, add_backbone_taps};
use crate::testing::formula_picture;

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn untrained(taps: bool) -> LocalExtractor {
    LocalExtractor::new(&LocalOptions { taps, ..LocalOptions::new(&UNTRAINED) }).unwrap()
}

fn faces(extractor: &LocalExtractor, picture: &[u8]) -> Vec<Face> {
    match extractor.extract(&[picture]).unwrap().remove(0) {
        Extraction::Embedded { faces, .. } => faces,
        Extraction::Rejected(rejection) => panic!("{rejection:?}"),
    }
}

#[test]
fn untrained_embeds_whole_pictures_plain_and_mirrored() {
    let extractor = untrained(true);
    let picture = formula_picture(112, 112);
    let found = faces(&extractor, &png(&picture));
    let variants: Vec<_> = found.iter().map(|face| (face.index, face.variant)).collect();
    assert_eq!(variants, [(0, FaceVariant::PLAIN), (0, FaceVariant::MIRRORED)]);
    let (plain, mirrored) = (&found[0], &found[1]);
    assert_eq!(plain.embedding.as_slice().len(), extractor.info().embedding_length);
    assert_eq!(plain.taps.len(), extractor.info().taps_length);
    assert_eq!(plain.norm, Some(plain.embedding.norm()));
    assert_eq!((plain.score, plain.bounding_box), (1.0, [0.0, 0.0, 112.0, 112.0].into()));
    let of_mirrored = faces(&extractor, &png(&imageops::flip_horizontal(&picture)));
    assert_eq!(of_mirrored[0].embedding, mirrored.embedding);
    assert_eq!(of_mirrored[0].taps, mirrored.taps);
    assert_ne!(plain.embedding, mirrored.embedding);
}

#[test]
fn taps_leave_embedding_and_fingerprint_as_they_are() {
    let (with, without) = (untrained(true), untrained(false));
    let picture = png(&formula_picture(300, 200));
    let plain = faces(&without, &picture);
    assert_eq!(plain.len(), 1);
    assert!(plain[0].taps.is_empty());
    assert!(faces(&with, &picture)[0].embedding.cosine(&plain[0].embedding) > 0.999_999);
    assert_eq!(with.fingerprint(), without.fingerprint());
    assert_eq!(without.info().taps_length, 0);
    assert_eq!(without.info().detector, "none");
    assert_eq!(plain[0].landmarks[2][0], 56.0252 * 300.0 / 112.0);
}

#[test]
fn bits_do_not_depend_on_order_or_threads() {
    let extractor = untrained(false);
    let pictures: Vec<_> = (0..4).map(|i| png(&formula_picture(100 + i, 120))).collect();
    let alone: Vec<_> = pictures.iter().map(|p| faces(&extractor, p)).collect();
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for start in 0..2 {
            let (extractor, pictures, seen) = (&extractor, &pictures, &seen);
            scope.spawn(move || {
                let order: Vec<usize> = (0..4).map(|i| (start + 3 * i) % 4).collect();
                let bytes: Vec<&[u8]> = order.iter().map(|&i| pictures[i].as_slice()).collect();
                let found = extractor.extract(&bytes).unwrap();
                seen.lock().unwrap().extend(order.into_iter().zip(found));
            });
        }
    });
    for (index, extraction) in seen.into_inner().unwrap() {
        assert_eq!(extraction, Extraction::Embedded { faces: alone[index].clone(), found: 1 });
    }
}

#[test]
fn pictures_extracted_together_have_the_bits_of_each_alone() {
    let extractor = untrained(true);
    let pictures: Vec<_> = (0..5).map(|i| png(&formula_picture(90 + 10 * i, 120))).collect();
    let mut request: Vec<(&[u8], ExtractionRequest)> = pictures
        .iter()
        .map(|p| {
            (
                p.as_slice(),
                ExtractionRequest { faces: 1, aligned: false, mirrored: true, augmented: 0 },
            )
        })
        .collect();
    request.insert(2, (b"no picture", request[0].1));
    request[4].1.mirrored = false;
    let together = extractor.extract_together(&request).unwrap();
    assert_eq!(together.len(), 6);
    for (index, (bytes, request)) in request.iter().enumerate() {
        match &together[index] {
            Extraction::Embedded { faces: found, .. } => {
                let mut alone = faces(&extractor, bytes);
                alone.truncate(1 + usize::from(request.mirrored));
                assert_eq!(found, &alone, "picture {index}");
            }
            Extraction::Rejected(rejection) => {
                assert_eq!((index, rejection.reason), (2, RejectReason::NotAPicture));
            }
        }
    }
}

#[test]
fn augmented_versions_leave_the_face_unchanged() {
    let extractor = untrained(true);
    let pictures: Vec<_> = (0..3).map(|i| png(&formula_picture(90 + 10 * i, 120))).collect();
    let versions = [0, 2, 1];
    let asked: Vec<(&[u8], u32)> = pictures.iter().map(Vec::as_slice).zip(versions).collect();
    let found = extractor.extract_augmented(&asked).unwrap();
    for ((bytes, versions), extraction) in asked.into_iter().zip(found) {
        let Extraction::Embedded { faces: found, .. } = extraction else { panic!("rejected") };
        let variants: Vec<u32> = found.iter().map(|face| face.variant.0).collect();
        assert_eq!(variants, (0..2 + versions).collect::<Vec<_>>());
        assert!(found.iter().all(|face| face.index == 0));
        assert_eq!(found[..2], faces(&extractor, bytes)[..]);
        for (number, face) in found.iter().enumerate() {
            let others = found[..number].iter();
            assert!(others.into_iter().all(|other| other.embedding != face.embedding));
        }
    }
}

#[test]
fn a_bad_picture_is_rejected_among_good_ones() {
    let extractor = untrained(false);
    let good = png(&formula_picture(64, 64));
    let found = extractor.extract(&[&good, b"no picture", &good]).unwrap();
    let rejected: Vec<_> = found.iter().map(|one| matches!(one, Extraction::Rejected(_))).collect();
    assert_eq!(rejected, [false, true, false]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn missing_weights_are_an_error_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().to_owned();
    let options = LocalOptions { models, ..LocalOptions::new(&BUFFALO_S) };
    let message = LocalExtractor::new(&options).err().unwrap().to_string();
    assert!(message.contains("run `facefold models fetch buffalo_s`"), "{message}");
    assert!(message.contains("w600k_mbf.onnx (sha256 9cc6e4a7"), "{message}");
}

#[test]
fn a_near_miss_is_low_score_and_not_no_face() {
    assert_eq!(nothing_found(0.45).reason, RejectReason::LowScore);
    assert_eq!(nothing_found(0.05).reason, RejectReason::NoFace);
    assert!(nothing_found(0.45).detail.contains("0.45"));
}

#[test]
fn only_bf16_on_tiles_is_its_own_class() {
    use facefold_engine::{Kernel, Precision as Arithmetic};
    let bf16 = Backend::Engine(Some(Arithmetic::Bf16));
    let tiles = Arithmetic::Bf16.on(Kernel::choose().unwrap()) == Arithmetic::Bf16;
    assert_eq!(
        bf16.class().unwrap(),
        if tiles { Precision::Bf16 } else { Precision::F32Equivalent }
    );
    assert_eq!(bf16.f32_equivalent().class().unwrap(), Precision::F32Equivalent);
    for backend in [Backend::default(), Backend::Candle(candle_core::Device::Cpu)] {
        assert_eq!(backend.class().unwrap(), Precision::F32Equivalent);
    }
}

/// Gives the same values for every crop but those that begin black, which get zeros.
struct Constant(Vec<f32>);

impl Executor for Constant {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        let shape = Shape { channels: self.0.len(), height: 1, width: 1 };
        let values =
            |crop: &[f32]| if crop[0] > -1.0 { self.0.clone() } else { vec![0.0; shape.size()] };
        let data = images.data.chunks_exact(images.shape.size()).flat_map(values).collect();
        Ok(vec![Tensor { data, count: images.count, shape }])
    }

    fn describe(&self) -> String {
        "constant".to_owned()
    }
}

/// An extractor of whole pictures whose network gives these values.
fn constant(values: &[f32]) -> LocalExtractor {
    let mut network = Network::new("constant", 3);
    let count = values.len();
    let row = network.push("flatten", Op::Flatten, &[ValueId::INPUT]);
    let weight = vec![0.0; count * 3 * CROP_SIDE * CROP_SIDE];
    let linear = Op::Linear { weight, bias: values.to_vec() };
    let embedding = network.push("linear", linear, &[row]);
    network.output("embedding", embedding);
    let embedder = Embedder::new(&network, Box::new(Constant(values.to_vec()))).unwrap();
    LocalExtractor {
        detector: None,
        mirror: false,
        all_faces: false,
        limits: Limits::default(),
        smallest_face: 16.0,
        fingerprint: Fingerprint::builder().finish(),
        info: ExtractorInfo {
            backend: "local".to_owned(),
            model: "constant".to_owned(),
            detector: "none".to_owned(),
            network: network.name,
            precision: Precision::F32Equivalent,
            execution: embedder.describe(),
            embedding_length: count,
            taps_length: 0,
            taps_layout: String::new(),
            licence: String::new(),
        },
        embedder,
    }
}

#[test]
fn values_that_are_no_embedding_are_rejected() {
    let picture = RgbImage::from_pixel(64, 64, image::Rgb([90, 80, 70]));
    for values in [[1.0, f32::NAN], [0.0, 0.0], [f32::INFINITY, 1.0]] {
        let extractor = constant(&values);
        let located = extractor.locate(&picture).unwrap();
        match extractor.embed(&[located.faces[0].crop.clone()]) {
            Err(PictureError::Rejected(rejection)) => {
                assert_eq!(rejection.reason, RejectReason::BadEmbedding);
            }
            other => panic!("{values:?}: {other:?}"),
        }
    }
    assert_eq!(faces(&constant(&[3.0, 4.0]), &png(&picture))[0].norm, Some(5.0));
    let bytes = png(&picture);
    let request = ExtractionRequest { faces: 1, aligned: false, mirrored: false, augmented: 0 };
    let together = constant(&[0.0, 0.0]).extract_together(&[(&bytes, request), (b"x", request)]);
    let reasons: Vec<_> = together
        .unwrap()
        .into_iter()
        .map(|outcome| match outcome {
            Extraction::Rejected(rejection) => rejection.reason,
            Extraction::Embedded { .. } => panic!("embedded"),
        })
        .collect();
    assert_eq!(reasons, [RejectReason::BadEmbedding, RejectReason::NotAPicture]);
}

#[test]
fn a_crop_without_an_embedding_rejects_its_picture_alone() {
    let mut extractor = constant(&[3.0, 4.0]);
    extractor.mirror = true;
    let good = png(&RgbImage::from_pixel(64, 64, image::Rgb([90, 80, 70])));
    let black = png(&RgbImage::new(64, 64));
    let outcomes = extractor.extract(&[&good, &black, b"no picture", &good]).unwrap();
    let reasons: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Extraction::Rejected(rejection) => Some(rejection.reason),
            Extraction::Embedded { faces, .. } => {
                assert_eq!(faces.len(), 2);
                None
            }
        })
        .collect();
    let bad = Some(RejectReason::BadEmbedding);
    assert_eq!(reasons, [None, bad, Some(RejectReason::NotAPicture), None]);
    assert_eq!(outcomes[0], outcomes[3]);
}

#[test]
fn a_pack_without_a_detector_shows_in_the_fingerprint() {
    // Same networks, other precision: not the same store.
    let network = Network::new("n", 3);
    let of = |detector, precision| {
        super::PackNetworks { detector, embedding: network.clone() }.fingerprint(precision)
    };
    let exact = of(None, Precision::F32Equivalent);
    assert_ne!(exact, of(None, Precision::Bf16));
    assert_ne!(exact, of(Some(network.clone()), Precision::F32Equivalent));
    assert_eq!(ModelPack::named("untrained").unwrap(), &UNTRAINED);
}

#[test]
fn engine_and_candle_agree_on_embedding_and_taps_of_every_crop_in_a_batch() {
    let mut network = Architecture::MobileFaceNet.build(&mut Untrained { seed: 3 });
    add_backbone_taps(&mut network).unwrap();
    let shape = Shape { channels: 3, height: 112, width: 112 };
    let data: Vec<f32> = (0..3 * shape.size())
        .map(|i| ((i * 7 + i / 112 * 13 + i / 5000 * 29) % 256) as f32 / 127.5 - 1.0)
        .collect();
    let images = Images { data: &data, count: 3, shape };
    let run = |backend: &Backend| backend.executor(&network).unwrap().run(images).unwrap();
    let candle = run(&Backend::Candle(candle_core::Device::Cpu));
    let engine = run(&Backend::Engine(None));
    for (expected, found) in candle.iter().zip(&engine) {
        let width = expected.shape.size();
        for (image, (a, b)) in expected.data.chunks(width).zip(found.data.chunks(width)).enumerate()
        {
            let (a, b) = (Embedding::new(a.to_vec()).unwrap(), Embedding::new(b.to_vec()).unwrap());
            assert!(1.0 - a.cosine(&b) <= 1e-6, "picture {image}: cosine {}", a.cosine(&b));
        }
    }
}
