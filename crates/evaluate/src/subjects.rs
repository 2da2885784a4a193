//! Groups rows into subjects where a data set names none, or names them in part: identical files,
//! and similar embeddings.

use std::collections::{HashMap, HashSet};

use facefold_core::links::Links;
use facefold_core::{ImageKey, SubjectId, rows_of_equal_pictures};
use ndarray::{Array2, ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::error::EvaluateError;

/// Age from which cosines are trusted: `ArcFace` embeddings of infants lie close to each other.
pub const LEAST_AGE: f32 = 7.0;

/// The cosine from which two faces count as one subject.
pub const THRESHOLD: f32 = 0.5;

/// The cosine from which two pictures count as one subject's at any age: that of a picture with
/// itself, saved or cut anew. Different infants are less similar.
pub const COPY: f32 = 0.9;

/// Rows of one tile of the cosine matrix: a tile takes 4 MiB.
const TILE: usize = 1024;

/// What is known of rows before they are grouped by subject; one entry a row in each.
#[derive(Debug, Clone, Copy)]
pub struct SubjectRows<'a> {
    /// The pictures.
    pub keys: &'a [ImageKey],
    /// The subject of each, where the data set names it.
    pub named: &'a [Option<SubjectId>],
    /// Ages in years, where known.
    pub ages: &'a [Option<f32>],
}

/// Rows with a subject each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupedSubjects {
    /// One subject a row: the data set's name for it, else `group-0`, `group-1`, … in order of
    /// appearance.
    pub subjects: Vec<SubjectId>,
    /// Rows that name no subject.
    pub unnamed: usize,
    /// Those of them that belong to a named subject.
    pub unnamed_of_named: usize,
    /// Named subjects that count as one with another.
    pub merged: usize,
    /// Rows that show the same picture, byte for byte, as a row that names another subject.
    pub shared: usize,
}

/// Groups rows by single link: rows that name one subject, rows of the same picture, and rows
/// without a name with all others, named or not, that they are similar to. Faces are similar where
/// both people are aged at least [`LEAST_AGE`] and the embeddings have a cosine of at least
/// `threshold` (usually [`THRESHOLD`]), and at any age, known or not, from [`COPY`]; two named rows
/// are never compared. So named subjects become one where they share a picture, or where a row
/// without a name is similar to both, which otherwise could be in no split.
///
/// `embeddings` (n x d, any length) belong to the rows; without them only names and pictures count,
/// which is all that there is to do where every row has a name. Cosines are computed tile by tile,
/// so memory grows with n x d and not with n squared.
///
/// # Errors
/// [`EvaluateError::Inconsistent`] where the counts differ.
pub fn group_subjects(
    rows: &SubjectRows<'_>,
    embeddings: Option<ArrayView2<'_, f32>>,
    threshold: f32,
) -> Result<GroupedSubjects, EvaluateError> {
    let SubjectRows { keys, named, ages } = *rows;
    let n = keys.len();
    let compared = embeddings.as_ref().map_or(n, ArrayView2::nrows);
    if compared != n || ages.len() != n || named.len() != n {
        return Err(EvaluateError::Inconsistent(format!(
            "{n} pictures with {compared} embeddings, {} ages and {} subjects",
            ages.len(),
            named.len()
        )));
    }
    let mut links = Links::new(n);
    let copies = rows_of_equal_pictures(keys.iter().copied().map(Some));
    for rows in &copies {
        for &row in rows {
            links.join(rows[0], row);
        }
    }
    let mut first_named: HashMap<&SubjectId, usize> = HashMap::new();
    for (row, name) in named.iter().enumerate() {
        if let Some(name) = name {
            links.join(*first_named.entry(name).or_insert(row), row);
        }
    }
    if let Some(embeddings) = embeddings {
        links = linked_by_likeness(links, rows, embeddings, threshold);
    }
    let shared = shared(&copies, named);
    Ok(GroupedSubjects { shared, ..grouped(links, rows, first_named.len()) })
}

/// Links rows without a name with every row that they are like.
fn linked_by_likeness(
    mut links: Links,
    rows: &SubjectRows<'_>,
    embeddings: ArrayView2<'_, f32>,
    threshold: f32,
) -> Links {
    let (mut compared, others): (Vec<usize>, Vec<usize>) =
        (0..rows.keys.len()).partition(|&row| rows.named[row].is_none());
    // Rows without a name come first, so that the first of a pair is one.
    let unnamed = compared.len();
    if unnamed > 0 {
        compared.extend(others);
    }
    let directions = normalised(embeddings, &compared);
    let first = directions.slice_axis(Axis(0), Slice::from(..unnamed));
    for (i, j, cosine) in alike(first, directions.view(), threshold.min(COPY), |i, j| i < j) {
        let (one, other) = (compared[i], compared[j]);
        if is_one_subject(cosine, threshold, rows.ages[one], rows.ages[other]) {
            links.join(one, other);
        }
    }
    links
}

/// Whether two faces are alike enough to count as one subject's, given their ages in years.
pub(crate) fn is_one_subject(
    cosine: f32,
    threshold: f32,
    age: Option<f32>,
    other_age: Option<f32>,
) -> bool {
    let aged = |age: Option<f32>| age.is_some_and(|age| age >= LEAST_AGE);
    cosine >= COPY || (cosine >= threshold && aged(age) && aged(other_age))
}

/// The pairs of a row of `a` (m x d) and one of `b` (n x d) whose cosine is at least `least`, with that
/// cosine. Rows have length 1. `wanted` says which pairs of rows, or of tiles, are asked for: all, or
/// those in order where `b` goes on from `a`.
pub(crate) fn alike(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    least: f32,
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<(usize, usize, f32)> {
    let tiles = |matrix: &ArrayView2<'_, f32>| matrix.nrows().div_ceil(TILE);
    let of_tiles: Vec<(usize, usize)> = (0..tiles(&a))
        .flat_map(|i| (0..tiles(&b)).map(move |j| (i, j)))
        .filter(|&(i, j)| i == j || wanted(i, j))
        .collect();
    let pairs = of_tiles.into_par_iter().map(|(i, j)| {
        let cosines = tile(&a, i).dot(&tile(&b, j).t());
        let found = cosines.indexed_iter().filter(|&(_, &cosine)| cosine >= least);
        let found = found.map(|((m, n), &cosine)| (i * TILE + m, j * TILE + n, cosine));
        found.filter(|&(i, j, _)| wanted(i, j)).collect::<Vec<_>>()
    });
    pairs.collect::<Vec<_>>().concat()
}

/// A tile of rows by its number.
fn tile<'a>(matrix: &ArrayView2<'a, f32>, number: usize) -> ArrayView2<'a, f32> {
    let end = ((number + 1) * TILE).min(matrix.nrows());
    (*matrix).slice_axis_move(Axis(0), Slice::from(number * TILE..end))
}

/// Names the groups of linked rows, and counts what was linked.
fn grouped(mut links: Links, rows: &SubjectRows<'_>, names: usize) -> GroupedSubjects {
    let n = rows.keys.len();
    let mut of_root: HashMap<usize, SubjectId> = HashMap::new();
    for (row, name) in rows.named.iter().enumerate() {
        if let Some(name) = name {
            of_root.entry(links.root(row)).or_insert_with(|| name.clone());
        }
    }
    let merged = names - of_root.len();
    let taken: HashSet<&str> = rows.named.iter().flatten().map(SubjectId::as_str).collect();
    let mut fresh =
        (0_usize..).map(|n| format!("group-{n}")).filter(|name| !taken.contains(name.as_str()));
    let (mut unnamed, mut unnamed_of_named) = (0, 0);
    let roots_of_named: HashSet<usize> = of_root.keys().copied().collect();
    let mut subjects = Vec::with_capacity(n);
    for row in 0..n {
        let root = links.root(row);
        if rows.named[row].is_none() {
            unnamed += 1;
            unnamed_of_named += usize::from(roots_of_named.contains(&root));
        }
        // There are more numbers than rows.
        let name =
            of_root.entry(root).or_insert_with(|| SubjectId::new(fresh.next().unwrap_or_default()));
        subjects.push(name.clone());
    }
    GroupedSubjects { subjects, unnamed, unnamed_of_named, merged, shared: 0 }
}

/// Rows of pictures that name more than one subject; `copies` are the rows of each picture that has several.
fn shared(copies: &[Vec<usize>], named: &[Option<SubjectId>]) -> usize {
    let several = |rows: &&Vec<usize>| {
        let mut names = rows.iter().filter_map(|&row| named[row].as_ref());
        let first = names.next();
        names.any(|name| Some(name) != first)
    };
    copies.iter().filter(several).map(Vec::len).sum()
}

/// The chosen rows at length 1; an embedding of length 0 stays 0 and is like no other.
pub(crate) fn normalised(embeddings: ArrayView2<'_, f32>, rows: &[usize]) -> Array2<f32> {
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
    use super::{SubjectRows, THRESHOLD, TILE, group_subjects};
    use facefold_core::{ImageKey, SubjectId};
    use ndarray::{Array2, array};

    fn numbers(groups: &[SubjectId]) -> Vec<usize> {
        groups.iter().map(|id| id.as_str()["group-".len()..].parse().unwrap()).collect()
    }

    fn keys(pictures: &[u8]) -> Vec<ImageKey> {
        pictures.iter().map(|&picture| ImageKey::of(&[picture])).collect()
    }

    #[test]
    fn identical_and_similar_pictures_are_linked_transitively_infants_by_copies_only() {
        let keys = keys(&[0, 1, 2, 3, 4, 4, 5, 6]);
        // Rows 0-1 and 1-2 have a cosine of 0.8, rows 0-2 of 0.28: a chain.
        let embeddings = array![
            [1.0, 0.0],
            [8.0, 6.0],
            [0.28, 0.96],
            // An infant, like rows 0 and 6 by 0.8 and 0.6, and its picture saved anew.
            [0.8, -0.6],
            [-1.0, 0.0],
            [-1.0, 0.0],
            [0.0, -1.0],
            [0.79, -0.61]
        ];
        let ages =
            [30.0, 31.0, 7.0, 6.9, 0.0, 2.0, 40.0, 6.9].map(|age| (age > 0.0).then_some(age));
        let rows = SubjectRows { keys: &keys, named: &vec![None; 8], ages: &ages };
        let found = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap();
        assert_eq!(numbers(&found.subjects), [0, 0, 0, 1, 2, 2, 3, 1]);
        assert_eq!((found.unnamed, found.unnamed_of_named, found.merged), (8, 0, 0));
    }

    #[test]
    fn unnamed_rows_join_similar_named_and_unnamed_rows() {
        let name = |text: &str| (!text.is_empty()).then(|| SubjectId::new(text));
        // (subject, picture, direction): the directions are at right angles, or the same.
        let rows = [
            ("ann", 0, [1.0, 0.0, 0.0, 0.0]),
            ("", 1, [1.0, 0.0, 0.0, 0.0]), // Like Ann.
            ("", 2, [0.0, 1.0, 0.0, 0.0]), // Two copies of an unnamed subject.
            ("", 2, [0.0, 1.0, 0.0, 0.0]),
            ("", 3, [0.0, 1.0, 0.0, 0.0]), // Another picture like them.
            ("bob", 4, [0.0, 0.0, 1.0, 0.0]),
            ("cid", 5, [0.0, 0.0, 1.0, 0.0]), // Like Bob, but both are named.
            ("dan", 6, [0.0, 0.0, 0.0, 1.0]),
            ("eve", 6, [0.0, 0.0, 0.0, 1.0]), // The picture of Dan.
            ("group-0", 7, [-1.0, 0.0, 0.0, 0.0]),
            ("", 6, [0.0, 0.0, 0.0, 1.0]),
        ];
        let pictures: Vec<u8> = rows.iter().map(|row| row.1).collect();
        let (keys, ages) = (keys(&pictures), [Some(30.0); 11]);
        let named: Vec<Option<SubjectId>> = rows.iter().map(|row| name(row.0)).collect();
        let embeddings = Array2::from_shape_fn((11, 4), |(row, axis)| rows[row].2[axis]);
        let rows = SubjectRows { keys: &keys, named: &named, ages: &ages };
        let found = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap();
        let subjects: Vec<&str> = found.subjects.iter().map(SubjectId::as_str).collect();
        assert_eq!(
            subjects,
            [
                "ann", "ann", "group-1", "group-1", "group-1", "bob", "cid", "dan", "dan",
                "group-0", "dan"
            ]
        );
        assert_eq!((found.unnamed, found.unnamed_of_named), (5, 2));
        assert_eq!((found.merged, found.shared), (1, 3));

        // Without embeddings, copies alone.
        let found = group_subjects(&rows, None, THRESHOLD).unwrap();
        let subjects: Vec<&str> = found.subjects.iter().map(SubjectId::as_str).collect();
        assert_eq!(subjects[1..5], ["group-1", "group-2", "group-2", "group-3"]);
        assert_eq!(subjects[7..], ["dan", "dan", "group-0", "dan"]);
    }

    #[test]
    fn a_row_similar_to_two_named_subjects_merges_them() {
        let keys = keys(&[0, 1, 2]);
        let named = ["ann", "bob"].map(|name| Some(SubjectId::new(name)));
        let named = [named[0].clone(), named[1].clone(), None];
        let embeddings = array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let rows = SubjectRows { keys: &keys, named: &named, ages: &[Some(30.0); 3] };
        let found = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap();
        assert_eq!(found.subjects, vec![SubjectId::new("ann"); 3]);
        assert_eq!((found.merged, found.shared), (1, 0));
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
        let ages = vec![Some(20.0); n];
        let rows = SubjectRows { keys: &keys, named: &vec![None; n], ages: &ages };
        let found = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap();
        let expected: Vec<usize> = (0..n).map(|row| row % 5).collect();
        assert_eq!(numbers(&found.subjects), expected);

        // The last row alone has no name: it is found in the tiles of the named ones.
        let mut named: Vec<Option<SubjectId>> =
            (0..n).map(|row| Some(SubjectId::new(row.to_string()))).collect();
        named[n - 1] = None;
        let rows = SubjectRows { named: &named, ..rows };
        let found = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap();
        let own = |row: usize| found.subjects[row] == found.subjects[n - 1];
        assert_eq!(
            (0..n).filter(|&row| own(row)).count(),
            expected.iter().filter(|&&row| row == expected[n - 1]).count()
        );
        assert_eq!(found.subjects[1].as_str(), "1");
    }

    #[test]
    fn refuses_lists_of_different_length() {
        let embeddings = Array2::zeros((1, 2));
        let rows = SubjectRows { keys: &[], named: &[], ages: &[] };
        let error = group_subjects(&rows, Some(embeddings.view()), THRESHOLD).unwrap_err();
        assert!(error.to_string().contains("0 pictures with 1 embeddings"), "{error}");
    }
}
