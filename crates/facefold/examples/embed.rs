//! Embeds the main face of each picture, and prints how alike the faces are.
//!
//! `cargo run --release -p facefold --example embed -- one.jpg other.jpg`
//!
//! The weights of `buffalo_s` are fetched at the first run; they are for non-commercial research.

// An example prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;

use facefold::core::{Extraction, Extractor, FaceVariant};
use facefold::vision::decode::Limits;
use facefold::{Faces, NetworkOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        return Err("expected the paths of pictures, found none".into());
    }
    let extractor =
        NetworkOptions::default().extractor(Faces::default(), Limits::default(), &())?;
    let pictures = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    let bytes: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let mut embeddings = Vec::new();
    for (path, extraction) in paths.iter().zip(extractor.extract(&bytes)?) {
        match extraction {
            Extraction::Embedded { faces, found } => {
                let main = faces.into_iter().find(|face| face.variant == FaceVariant::PLAIN);
                let Some(face) = main else { continue };
                println!("{path}: {found} faces, the main one at {:?}", face.bounding_box);
                embeddings.push((path, face.embedding));
            }
            Extraction::Rejected(rejection) => {
                println!("{path}: {} ({})", rejection.reason, rejection.detail);
            }
        }
    }
    for (index, (path, one)) in embeddings.iter().enumerate() {
        for (other_path, other) in &embeddings[..index] {
            println!(
                "{path} and {other_path}: cosine {:.3}",
                cosine(one.as_slice(), other.as_slice())
            );
        }
    }
    Ok(())
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}
