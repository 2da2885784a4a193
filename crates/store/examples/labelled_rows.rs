//! A store of made-up embeddings with labels, to measure how training and reports grow.
//!
//! `cargo run --release -p facefold-store --example labelled_rows -- DIR PICTURES [--mixed]` writes
//! 2 KB a picture into `DIR`. Three pictures a subject; genders and ages show in the embeddings, under
//! noise; one subject of ten is for validation and two of ten for tests, as the column `split` says. With
//! `--mixed` the pictures of a subject do not stand together.

use std::error::Error;
use std::path::PathBuf;

use facefold_core::rng::{Rng, seeded};
use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint, Gender, ImageKey,
    Precision, Sample, Split, SubjectId,
};
use facefold_store::{DatasetInfo, SampleRow, Store, StoreHeader};
use rand::{Rng as _, RngCore as _};

const WIDTH: usize = 512;
const PICTURES_OF_SUBJECT: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("expected a directory for the store")?);
    let pictures: u32 = arguments.next().ok_or("expected a number of pictures")?.parse()?;
    let is_mixed = arguments.next().is_some_and(|argument| argument == "--mixed");
    let info = ExtractorInfo {
        backend: "local".into(),
        model: "made-up".into(),
        detector: "none".into(),
        network: "none".into(),
        precision: Precision::F32Equivalent,
        execution: "none".into(),
        embedding_length: WIDTH,
        taps_length: 0,
        taps_layout: String::new(),
        licence: "none".into(),
    };
    let fingerprint = Fingerprint::builder().text("network", "made-up").finish();
    let header = StoreHeader::new(fingerprint, info, DatasetInfo::new("manifest", "made-up"));
    let mut writer = Store::create_or_open(&directory, header)?;
    let subjects = pictures.div_ceil(PICTURES_OF_SUBJECT);
    let person = |number: u32| {
        Person::of(if is_mixed { number % subjects } else { number / PICTURES_OF_SUBJECT })
    };
    let directions = Directions::new();
    let mut noise = seeded(0, "labelled rows");
    for number in 0..pictures {
        let face = directions.face(&person(number), &mut noise)?;
        let extraction = Extraction::Embedded { faces: vec![face], found: 1 };
        writer.append(key(number), &extraction)?;
    }
    writer.write_samples((0..pictures).map(|number| person(number).row(number)))?;
    writer.finish()?;
    Ok(())
}

fn key(number: u32) -> ImageKey {
    ImageKey::of(&number.to_le_bytes())
}

/// A subject and its labels.
struct Person {
    number: u32,
    gender: Gender,
    age: u8,
    split: Split,
}

impl Person {
    fn of(number: u32) -> Self {
        let mut drawn = seeded(u64::from(number), "person");
        Self {
            number,
            gender: if drawn.random() { Gender::Male } else { Gender::Female },
            age: drawn.random_range(1..90),
            split: match drawn.random_range(0..10) {
                0 => Split::Validation,
                1 | 2 => Split::Test,
                _ => Split::Train,
            },
        }
    }

    fn row(&self, number: u32) -> SampleRow {
        let mut sample = Sample::unlabelled(format!("{number:08}.jpg"));
        sample.gender = Some(self.gender);
        sample.raw_age = self.age.to_string();
        sample.subject = Some(SubjectId::new(format!("s{:07}", self.number)));
        sample.split = Some(self.split);
        SampleRow { sample, key: Some(key(number)), rejection: None }
    }
}

/// Where genders, and ages along a bent line, show in the embeddings.
struct Directions {
    gender: Vec<f32>,
    age: [Vec<f32>; 2],
}

impl Directions {
    fn new() -> Self {
        let mut drawn = seeded(0, "directions");
        let mut direction = || uniform(&mut drawn);
        Self { gender: direction(), age: [direction(), direction()] }
    }

    fn face(&self, person: &Person, noise: &mut Rng) -> Result<Face, Box<dyn Error>> {
        let mut values = uniform(noise);
        let gender = if person.gender == Gender::Male { 0.07 } else { -0.07 };
        let age = f32::from(person.age) / 90.0;
        let [line, bend] = [0.6 * (age - 0.5), 0.3 * (6.0 * age).sin()];
        for (column, value) in values.iter_mut().enumerate() {
            *value += gender * self.gender[column];
            *value += line * self.age[0][column] + bend * self.age[1][column];
        }
        let embedding = Embedding::new(values)?;
        Ok(Face {
            index: 0,
            variant: FaceVariant::PLAIN,
            norm: Some(embedding.norm()),
            embedding,
            taps: Vec::new(),
            bounding_box: [0.0, 0.0, 112.0, 112.0].into(),
            landmarks: [[56.0, 56.0]; 5],
            score: 0.9,
            luminance: 127.0,
            sharpness: 80.0,
        })
    }
}

/// Numbers between -0.5 and 0.5.
fn uniform(drawn: &mut Rng) -> Vec<f32> {
    (0..WIDTH).map(|_| drawn.next_u32() as f32 / u32::MAX as f32 - 0.5).collect()
}
