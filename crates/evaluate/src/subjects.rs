//! Estimating who is who where a data set names no subjects: identical files, and like embeddings.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use facefold_core::{ImageKey, SubjectId};
use ndarray::{Array2, ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::error::EvaluateError;
use crate::links::Links;

/// Age from which cosines are trusted: `ArcFace` embeddings of infants lie close to each other.
pub const LEAST_AGE: f32 = 7.0;

/// The cosine from which two faces count as one subject.
pub const THRESHOLD: f32 = 0.5;

/// Rows of one tile of the cosine matrix: a tile takes 4 MiB.
const TILE: usize = 1024;

/// Groups rows by single link: rows of the same picture, and rows of people aged at least
/// [`LEAST_AGE`] whose embeddings have a cosine of at least `threshold` (usually [`THRESHOLD`]).
///
/// `keys`, `ages` (in years, where known) and the rows of `embeddings` (n x d, any length) belong
/// together. A row of unknown age is linked only by its picture. Cosines are computed tile by
/// tile, so memory grows with n x d and not with n squared. Gives one subject a row: `group-0`,
/// `group-1`, … in order of appearance.
///
/// # Errors
/// [`EvaluateError::Inconsistent`] where the counts differ.
pub fn group_by_similarity(
    keys: &[ImageKey],
    embeddings: ArrayView2<'_, f32>,
    ages: &[Option<f32>],
    threshold: f32,
) -> Result<Vec<SubjectId>, EvaluateError> {
    let n = keys.len();
    if embeddings.nrows() != n || ages.len() != n {
        return Err(EvaluateError::Inconsistent(format!(
            "{n} pictures with {} embeddings and {} ages",
            embeddings.nrows(),
            ages.len()
        )));
    }
    let mut links = Links::new(n);
    let mut first_with: HashMap<ImageKey, usize> = HashMap::new();
    for (row, &key) in keys.iter().enumerate() {
        links.join(*first_with.entry(key).or_insert(row), row);
    }
    let compared: Vec<usize> =
        (0..n).filter(|&row| ages[row].is_some_and(|age| age >= LEAST_AGE)).collect();
    let directions = normalised(embeddings, &compared);
    let links = Mutex::new(links);
    let tiles = compared.len().div_ceil(TILE);
    let pairs: Vec<(usize, usize)> =
        (0..tiles).flat_map(|a| (a..tiles).map(move |b| (a, b))).collect();
    pairs.into_par_iter().for_each(|(a, b)| {
        let tile = |number: usize| {
            let end = ((number + 1) * TILE).min(compared.len());
            directions.slice_axis(Axis(0), Slice::from(number * TILE..end))
        };
        let cosines = tile(a).dot(&tile(b).t());
        let found: Vec<(usize, usize)> = cosines
            .indexed_iter()
            .filter(|&((i, j), &cosine)| cosine >= threshold && (a != b || i < j))
            .map(|((i, j), _)| (compared[a * TILE + i], compared[b * TILE + j]))
            .collect();
        if !found.is_empty() {
            // Which links come first does not matter: the groups are the same in any order.
            let mut links = links.lock().unwrap_or_else(PoisonError::into_inner);
            for (i, j) in found {
                links.join(i, j);
            }
        }
    });
    let mut links = links.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    Ok((0..n)
        .map(|row| {
            let fresh = numbers.len();
            let number = *numbers.entry(links.root(row)).or_insert(fresh);
            SubjectId::new(format!("group-{number}"))
        })
        .collect())
}

/// The chosen rows at length 1; an embedding of length 0 stays 0 and is like no other.
fn normalised(embeddings: ArrayView2<'_, f32>, rows: &[usize]) -> Array2<f32> {
    let mut chosen = embeddings.select(Axis(0), rows);
    for mut row in chosen.rows_mut() {
        let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
        if length > 0.0 {
            row.mapv_inplace(|x| x / length);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::{THRESHOLD, TILE, group_by_similarity};
    use facefold_core::{ImageKey, SubjectId};
    use ndarray::{Array2, array};

    fn numbers(groups: &[SubjectId]) -> Vec<usize> {
        groups.iter().map(|id| id.as_str()["group-".len()..].parse().unwrap()).collect()
    }

    #[test]
    fn links_pictures_and_likeness_in_chains_but_never_infants() {
        let keys: Vec<ImageKey> =
            [0_u8, 1, 2, 3, 4, 4, 5].iter().map(|&key| ImageKey::of(&[key])).collect();
        // Rows 0-1 and 1-2 have a cosine of 0.8, rows 0-2 of 0.28: a chain.
        let embeddings = array![
            [1.0, 0.0],
            [8.0, 6.0],
            [0.28, 0.96],
            [1.0, 0.0],
            [-1.0, 0.0],
            [-1.0, 0.0],
            [0.0, -1.0]
        ];
        let ages = [Some(30.0), Some(31.0), Some(7.0), Some(6.9), None, Some(2.0), Some(40.0)];
        let groups = group_by_similarity(&keys, embeddings.view(), &ages, THRESHOLD).unwrap();
        assert_eq!(numbers(&groups), [0, 0, 0, 1, 2, 2, 3]);
    }

    #[test]
    fn finds_links_across_tiles() {
        let n = 2 * TILE + 10;
        let keys: Vec<ImageKey> = (0..n).map(|row| ImageKey::of(&row.to_le_bytes())).collect();
        // Five directions 72 degrees apart (cosine 0.31), again and again.
        let embeddings = Array2::from_shape_fn((n, 2), |(row, axis)| {
            let angle = ((row % 5) as f32 * 72.0).to_radians();
            if axis == 0 { angle.cos() } else { angle.sin() }
        });
        let groups =
            group_by_similarity(&keys, embeddings.view(), &vec![Some(20.0); n], THRESHOLD).unwrap();
        let expected: Vec<usize> = (0..n).map(|row| row % 5).collect();
        assert_eq!(numbers(&groups), expected);
    }

    #[test]
    fn refuses_lists_of_different_length() {
        let embeddings = Array2::zeros((1, 2));
        let error = group_by_similarity(&[], embeddings.view(), &[], THRESHOLD).unwrap_err();
        assert!(error.to_string().contains("0 pictures with 1 embeddings"), "{error}");
    }
}
