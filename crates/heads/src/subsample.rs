//! Stratified subsampling of training rows.

use facefold_core::{Targets, rng};
use rand::seq::SliceRandom;

/// Positions (sorted) of `wanted` of the rows, or all of them if there are no more.
///
/// Classes keep their frequencies to within one row; years (of a range
/// its middle) are kept in proportion by sorting them and
/// drawing one from each of `wanted` runs of equal length.
pub(crate) fn stratified(targets: &Targets, wanted: usize, seed: u64) -> Vec<usize> {
    let n = targets.len();
    if n <= wanted {
        return (0..n).collect();
    }
    let mut generator = rng::seeded(seed, "stratified subsample");
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut generator);
    match targets {
        Targets::Classes { indices, .. } => order.sort_by_key(|&i| indices[i]),
        Targets::Regression(ages) => {
            order.sort_by(|&i, &j| ages[i].midpoint().total_cmp(&ages[j].midpoint()));
        }
    }
    // Equal steps through the sorted order take each class by its share; the shuffle above made
    // the order within a class, or among equal years, random.
    let mut chosen: Vec<usize> =
        (0..wanted).map(|k| order[(2 * k + 1) * n / (2 * wanted)]).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::stratified;
    use facefold_core::Targets;

    #[test]
    fn classes_keep_their_frequencies() {
        let indices: Vec<usize> = (0..1000).map(|i| usize::from(i % 10 == 0)).collect();
        let targets = Targets::Classes { indices: indices.clone(), count: 2 };
        let chosen = stratified(&targets, 100, 1);
        assert_eq!(chosen.len(), 100);
        assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(chosen.iter().filter(|&&i| indices[i] == 1).count(), 10);
        assert_ne!(chosen, stratified(&targets, 100, 2));
        assert_eq!(stratified(&targets, 1000, 1), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn ages_keep_their_quartiles() {
        let years: Vec<f32> = (0..400).map(|i| ((i * 37) % 400) as f32).collect();
        let chosen = stratified(&Targets::exact_years(years.clone()), 40, 7);
        for quarter in 0..4_u16 {
            let range = f32::from(quarter * 100)..f32::from(quarter * 100 + 100);
            assert_eq!(chosen.iter().filter(|&&i| range.contains(&years[i])).count(), 10);
        }
    }
}
