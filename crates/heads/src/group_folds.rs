//! Stratified group k-fold: divides training rows for out-of-fold predictions, and cuts no subject
//! in two. (Of a subject that is on both sides, a head knows the face already: its out-of-fold
//! predictions are then better than those of people whom it has not seen.)

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// The fold of each row, from 0.
///
/// Subjects with more rows come first, equal ones in `order`, which lists all rows. Each goes to the
/// fold with the fewest rows of its stratum (that of its first row), of equal ones to that with the
/// fewest rows, of equal ones to the first. Where each row is a subject of its own and `order` is
/// sorted by stratum, row after row goes to the folds in turn.
pub(crate) fn stratified_group_folds(
    order: &[usize],
    subjects: &[usize],
    strata: &[usize],
    folds: usize,
) -> Vec<usize> {
    let mut place: HashMap<usize, usize> = HashMap::new();
    let mut rows_of: Vec<Vec<usize>> = Vec::new();
    for &row in order {
        let at = *place.entry(subjects[row]).or_insert(rows_of.len());
        if at == rows_of.len() {
            rows_of.push(Vec::new());
        }
        rows_of[at].push(row);
    }
    rows_of.sort_by_key(|rows| Reverse(rows.len()));
    let kinds = strata.iter().max().map_or(0, |last| last + 1);
    // Rows of each stratum in each fold, and of all.
    let mut counts = vec![vec![0; kinds]; folds];
    let mut sizes = vec![0; folds];
    let mut fold_of = vec![0; order.len()];
    for rows in rows_of {
        let stratum = strata[rows[0]];
        let smallest = (0..folds).min_by_key(|&fold| (counts[fold][stratum], sizes[fold]));
        let Some(fold) = smallest else { continue };
        sizes[fold] += rows.len();
        for row in rows {
            counts[fold][strata[row]] += 1;
            fold_of[row] = fold;
        }
    }
    fold_of
}

/// Number of distinct subjects.
pub(crate) fn count_subjects(subjects: impl IntoIterator<Item = usize>) -> usize {
    subjects.into_iter().collect::<HashSet<usize>>().len()
}

#[cfg(test)]
mod tests {
    use facefold_core::rng::seeded;
    use rand::seq::SliceRandom;

    use super::{count_subjects, stratified_group_folds};

    #[test]
    fn rows_of_their_own_go_to_the_folds_in_turn() {
        let strata: Vec<usize> = (0..53).map(|row| usize::from(row % 3 == 0)).collect();
        let subjects: Vec<usize> = (0..53).map(|row| 100 - row).collect();
        let mut order: Vec<usize> = (0..53).collect();
        order.shuffle(&mut seeded(1, "test"));
        order.sort_by_key(|&row| strata[row]);
        for folds in [1, 2, 5, 60] {
            let found = stratified_group_folds(&order, &subjects, &strata, folds);
            for (position, &row) in order.iter().enumerate() {
                assert_eq!(found[row], position % folds);
            }
        }
    }

    #[test]
    fn a_subject_is_in_one_fold_and_folds_are_alike() {
        // Subject n has n % 9 + 1 rows, and one of two strata; two subjects have rows of both.
        let (mut subjects, mut strata) = (Vec::new(), Vec::new());
        for subject in 0..60 {
            for row in 0..=subject % 9 {
                subjects.push(subject);
                strata.push(if subject < 2 { row % 2 } else { usize::from(subject % 4 == 0) });
            }
        }
        let n = subjects.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut seeded(2, "test"));
        let found = stratified_group_folds(&order, &subjects, &strata, 5);
        for (one, other) in (0..n).zip(1..n) {
            assert!(subjects[one] != subjects[other] || found[one] == found[other]);
        }
        for stratum in 0..2 {
            let rows_of = |fold: usize| {
                (0..n).filter(|&row| found[row] == fold && strata[row] == stratum).count()
            };
            let sizes: Vec<usize> = (0..5).map(rows_of).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 3, "{sizes:?}");
        }
        assert_eq!((count_subjects(subjects), count_subjects([])), (60, 0));
    }
}
