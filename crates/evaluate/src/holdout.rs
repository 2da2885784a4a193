//! Stratified sampling of whole subjects: a validation holdout, and group k-fold.

use std::collections::BTreeMap;

use facefold_core::rng::Rng;
use rand::seq::SliceRandom;

/// Target fraction of training rows that become validation rows, and the bounds it should stay in.
const FRACTION: f64 = 0.125;
pub(crate) const LEAST: f64 = 0.10;
pub(crate) const MOST: f64 = 0.15;

/// The rows of one subject, and how many of them lie in which stratum.
struct Subject {
    rows: Vec<usize>,
    counts: Vec<(usize, f64)>,
}

fn shuffled_subjects(
    rows: impl Iterator<Item = usize>,
    subject_of: &[usize],
    stratum_of: &[usize],
    generator: &mut Rng,
) -> Vec<Subject> {
    let mut by_subject: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for row in rows {
        by_subject.entry(subject_of[row]).or_default().push(row);
    }
    let mut subjects: Vec<Subject> = by_subject
        .into_values()
        .map(|rows| {
            let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
            for &row in &rows {
                *counts.entry(stratum_of[row]).or_default() += 1.0;
            }
            Subject { rows, counts: counts.into_iter().collect() }
        })
        .collect();
    subjects.shuffle(generator);
    subjects
}

fn totals(subjects: &[Subject], stratum_of: &[usize]) -> Vec<f64> {
    let mut totals = vec![0.0; stratum_of.iter().max().map_or(0, |&last| last + 1)];
    for &(stratum, count) in subjects.iter().flat_map(|subject| &subject.counts) {
        totals[stratum] += count;
    }
    totals
}

/// Divides `rows` into training and validation rows without a common subject; none where there
/// are fewer than two subjects.
///
/// Subjects come in random order; one is taken when that brings the strata nearer to their fraction
/// and keeps the whole below [`MOST`]. Where subjects are too large for that, those that bring
/// the whole nearest to [`FRACTION`] are taken.
pub(crate) fn stratified_group_holdout(
    rows: &[usize],
    subject_of: &[usize],
    stratum_of: &[usize],
    generator: &mut Rng,
) -> Option<(Vec<usize>, Vec<usize>)> {
    let subjects = shuffled_subjects(rows.iter().copied(), subject_of, stratum_of, generator);
    if subjects.len() < 2 {
        return None;
    }
    let wanted: Vec<f64> =
        totals(&subjects, stratum_of).into_iter().map(|total| total * FRACTION).collect();
    let mut have = vec![0.0; wanted.len()];
    let all = rows.len() as f64;
    let mut taken = 0.0;
    let (mut train, mut validation, mut left): (Vec<usize>, Vec<usize>, Vec<Subject>) =
        (Vec::new(), Vec::new(), Vec::new());
    for subject in subjects {
        let size = subject.rows.len() as f64;
        // Change of the sum over strata of (have - wanted)^2 / wanted.
        let change: f64 = subject
            .counts
            .iter()
            .map(|&(stratum, count)| {
                count * (2.0 * (have[stratum] - wanted[stratum]) + count) / wanted[stratum]
            })
            .sum();
        if taken < FRACTION * all && taken + size <= MOST * all && change < 0.0 {
            for &(stratum, count) in &subject.counts {
                have[stratum] += count;
            }
            taken += size;
            validation.extend(subject.rows);
        } else {
            left.push(subject);
        }
    }
    while taken < LEAST * all && left.len() > 1 {
        let distance = |rows: f64| (taken + rows - FRACTION * all).abs();
        let nearest = (0..left.len()).min_by(|&a, &b| {
            distance(left[a].rows.len() as f64).total_cmp(&distance(left[b].rows.len() as f64))
        })?;
        if taken > 0.0 && distance(left[nearest].rows.len() as f64) >= distance(0.0) {
            break;
        }
        let subject = left.swap_remove(nearest);
        taken += subject.rows.len() as f64;
        validation.extend(subject.rows);
    }
    train.extend(left.into_iter().flat_map(|subject| subject.rows));
    train.sort_unstable();
    validation.sort_unstable();
    Some((train, validation))
}

/// Stratified group k-fold: assigns subjects to `k` folds of similar size and strata, and gives the
/// fold of every row; `None` with fewer than `k` subjects.
///
/// Large subjects are assigned first, each to the fold that has fewest rows like its own.
pub(crate) fn stratified_group_k_fold(
    subject_of: &[usize],
    stratum_of: &[usize],
    k: usize,
    generator: &mut Rng,
) -> Option<Vec<usize>> {
    let mut subjects = shuffled_subjects(0..subject_of.len(), subject_of, stratum_of, generator);
    if subjects.len() < k {
        return None;
    }
    subjects.sort_by_key(|subject| std::cmp::Reverse(subject.rows.len()));
    let totals = totals(&subjects, stratum_of);
    let all = subject_of.len() as f64;
    let mut have = vec![vec![0.0; totals.len()]; k];
    let mut sizes = vec![0.0; k];
    let mut fold_of = vec![0; subject_of.len()];
    for subject in subjects {
        // How full a fold is with rows like these, each stratum weighted by its rarity, and in all.
        let crowding = |fold: usize| -> f64 {
            let similar: f64 = subject
                .counts
                .iter()
                .map(|&(stratum, count)| have[fold][stratum] * count / totals[stratum])
                .sum();
            similar + sizes[fold] * subject.rows.len() as f64 / all
        };
        let fold = (0..k).min_by(|&a, &b| crowding(a).total_cmp(&crowding(b)))?;
        for &(stratum, count) in &subject.counts {
            have[fold][stratum] += count;
        }
        sizes[fold] += subject.rows.len() as f64;
        for row in subject.rows {
            fold_of[row] = fold;
        }
    }
    Some(fold_of)
}
