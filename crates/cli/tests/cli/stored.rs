//! Embeddings of two stores, compared.

use std::collections::BTreeSet;

use facefold_core::{FaceVariant, ImageKey};
use facefold_store::{Features, Select, Store};

pub fn keys(store: &Store) -> BTreeSet<ImageKey> {
    store.embedded_keys().into_iter().collect()
}

pub fn embeddings(store: &Store, keys: &[ImageKey]) -> Vec<Vec<f64>> {
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys };
    let matrix = store.load_matrix(&select).expect("embeddings");
    matrix
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect()
}

pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
