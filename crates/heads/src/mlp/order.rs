//! The order of the training rows in an epoch: all shuffled together, or, where they are more than the
//! shuffle window holds, window by window.
//!
//! A window is made of blocks of rows that lie together on the disk, drawn from all over the training
//! set, so that an epoch reads the features once and in long stretches, however many there are.

use std::ops::Range;

use facefold_core::rng::Rng;
use facefold_core::{FeatureMatrix, FeatureRows};
use rand::Rng as _;
use rand::seq::SliceRandom;

/// Rows of a block: 1 MB of embeddings of 512 values, which disks read as fast as longer stretches.
pub(super) const BLOCK_ROWS: usize = 512;

/// Orders the positions 0 to n - 1 of the training rows, anew each epoch.
pub(super) struct EpochOrder {
    order: Vec<usize>,
    /// Positions class by class, where each class shall fill an equal part of every epoch.
    balanced: Option<Vec<Vec<usize>>>,
    windows: Option<Windows>,
}

/// How the epochs of many rows are divided.
struct Windows {
    /// Positions by where their rows lie.
    by_place: Vec<u32>,
    /// The place of each position's class in the list of classes, where classes are balanced.
    class_of: Vec<Option<u32>>,
    /// Blocks of a window.
    blocks: usize,
    /// The parts of this epoch's order that are windows, and the blocks of each.
    of_epoch: Vec<(Range<usize>, Vec<usize>)>,
}

impl EpochOrder {
    /// The order of these rows of a matrix, of which `memory` bytes are shuffled together.
    pub(super) fn new(
        (matrix, rows): (&FeatureMatrix, &[usize]),
        balanced: Option<Vec<Vec<usize>>>,
        memory: f64,
    ) -> Self {
        let crops = 1 + usize::from(matrix.mirrored().is_some());
        let row_bytes = (matrix.width() * crops * size_of::<f32>()) as f64;
        let blocks = (memory / row_bytes / BLOCK_ROWS as f64).max(1.0) as usize;
        let windows = (rows.len().div_ceil(BLOCK_ROWS) > blocks)
            .then(|| Windows::new(matrix.plain(), rows, balanced.as_deref(), blocks));
        Self { order: (0..rows.len()).collect(), balanced, windows }
    }

    /// Number of positions n.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Rows that are shuffled together, where that is not all of them.
    pub(super) fn window_rows(&self) -> Option<usize> {
        self.windows.as_ref().map(|windows| windows.blocks * BLOCK_ROWS)
    }

    /// Positions of this epoch's order.
    pub(super) fn positions(&self, range: Range<usize>) -> &[usize] {
        &self.order[range]
    }

    /// Starts an epoch.
    pub(super) fn shuffle(&mut self, generator: &mut Rng) {
        if let Some(windows) = &mut self.windows {
            windows.shuffle(&mut self.order, self.balanced.as_deref(), generator);
            return;
        }
        if let Some(classes) = &self.balanced {
            draw_in_turn(&mut self.order, classes, generator);
        }
        self.order.shuffle(generator);
    }

    /// The positions of the window that begins between these places of the order, by where their rows
    /// lie; none where no window begins there.
    pub(super) fn beginning_in(&self, places: Range<usize>) -> Option<Vec<usize>> {
        let windows = self.windows.as_ref()?;
        let begins = |(range, _): &&(Range<usize>, Vec<usize>)| places.contains(&range.start);
        let (_, blocks) = windows.of_epoch.iter().find(begins)?;
        Some(blocks.iter().flat_map(|&block| windows.block(block)).collect())
    }
}

impl Windows {
    fn new(
        features: &FeatureRows,
        rows: &[usize],
        balanced: Option<&[Vec<usize>]>,
        blocks: usize,
    ) -> Self {
        let mut by_place: Vec<u32> = (0..rows.len() as u32).collect();
        by_place.sort_by_cached_key(|&position| features.place(rows[position as usize]));
        let mut class_of = Vec::new();
        if let Some(classes) = balanced {
            class_of = vec![None; rows.len()];
            for (class, positions) in classes.iter().enumerate() {
                for &position in positions {
                    class_of[position] = Some(class as u32);
                }
            }
        }
        Self { by_place, class_of, blocks, of_epoch: Vec::new() }
    }

    fn block(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.by_place.len().min((number + 1) * BLOCK_ROWS);
        self.by_place[number * BLOCK_ROWS..end].iter().map(|&position| position as usize)
    }

    fn shuffle(
        &mut self,
        order: &mut Vec<usize>,
        balanced: Option<&[Vec<usize>]>,
        generator: &mut Rng,
    ) {
        let mut blocks: Vec<usize> = (0..self.by_place.len().div_ceil(BLOCK_ROWS)).collect();
        blocks.shuffle(generator);
        order.clear();
        self.of_epoch.clear();
        for window in blocks.chunks(self.blocks) {
            let start = order.len();
            order.extend(window.iter().flat_map(|&block| self.block(block)));
            let own = &mut order[start..];
            if let Some(classes) = balanced {
                let classes = self.classes(own, classes.len());
                draw_in_turn(own, &classes, generator);
            }
            own.shuffle(generator);
            let mut window = window.to_vec();
            window.sort_unstable();
            self.of_epoch.push((start..order.len(), window));
        }
    }

    /// These positions class by class; classes without any are left out.
    fn classes(&self, positions: &[usize], count: usize) -> Vec<Vec<usize>> {
        let mut classes = vec![Vec::new(); count];
        for &position in positions {
            if let Some(class) = self.class_of[position] {
                classes[class as usize].push(position);
            }
        }
        classes.retain(|class| !class.is_empty());
        classes
    }
}

/// Fills places with positions of each class in turn, drawn with replacement; leaves them as they are
/// where there is no class.
fn draw_in_turn(places: &mut [usize], classes: &[Vec<usize>], generator: &mut Rng) {
    for (number, place) in places.iter_mut().enumerate() {
        let Some(class) = classes.get(number % classes.len().max(1)) else { return };
        *place = class[generator.random_range(0..class.len())];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use facefold_core::rng::seeded;
    use facefold_core::{FeatureMatrix, FeatureRows, RowValues};
    use ndarray::Array2;

    use super::{BLOCK_ROWS, EpochOrder};

    const ROWS: usize = 10 * BLOCK_ROWS + 100;
    /// Bytes of three blocks of rows of two values.
    const MEMORY: f64 = (3 * BLOCK_ROWS * 8) as f64;

    /// Rows that lie from the last to the first.
    fn reversed() -> FeatureMatrix {
        let values: RowValues = std::sync::Arc::new(vec![0.5; 2 * ROWS]);
        let order: Vec<u32> = (0..ROWS as u32).rev().collect();
        FeatureMatrix::of_rows(FeatureRows::selected(vec![(values, 2)], order).unwrap(), None)
            .unwrap()
    }

    #[test]
    fn every_epoch_has_every_row_once_and_windows_of_few_blocks() {
        let matrix = reversed();
        let rows: Vec<usize> = (0..ROWS).collect();
        let mut order = EpochOrder::new((&matrix, &rows), None, MEMORY);
        assert_eq!(order.window_rows(), Some(3 * BLOCK_ROWS));
        let mut generator = seeded(1, "test");
        let mut epochs = BTreeSet::new();
        for _ in 0..3 {
            order.shuffle(&mut generator);
            let all = order.positions(0..ROWS).to_vec();
            assert_eq!(all.iter().copied().collect::<BTreeSet<_>>().len(), ROWS);
            let mut found = 0;
            for start in 0..ROWS {
                let Some(window) = order.beginning_in(start..start + 1) else { continue };
                found += 1;
                assert!(window.len() <= 3 * BLOCK_ROWS);
                // Read by where they lie, which is the other way round.
                assert!(window.is_sorted_by(|a, b| a > b));
                let shuffled: BTreeSet<usize> =
                    all[start..start + window.len()].iter().copied().collect();
                assert_eq!(shuffled, window.into_iter().collect());
            }
            assert_eq!(found, 4);
            epochs.insert(all);
        }
        assert_eq!(epochs.len(), 3, "each epoch has an order of its own");
    }

    #[test]
    fn rows_that_fit_are_shuffled_together() {
        let matrix = FeatureMatrix::new(Array2::zeros((ROWS, 2)), None).unwrap();
        let rows: Vec<usize> = (0..ROWS).collect();
        let mut order = EpochOrder::new((&matrix, &rows), None, 8.0 * 2e4);
        assert_eq!(order.window_rows(), None);
        order.shuffle(&mut seeded(1, "test"));
        assert!(order.beginning_in(0..ROWS).is_none());
        let first: BTreeSet<usize> =
            order.positions(0..100).iter().map(|position| position / BLOCK_ROWS).collect();
        assert!(first.len() > 8, "{first:?}");
    }

    /// One row in a hundred is of the second class: half of the rows drawn are, in every window.
    #[test]
    fn classes_are_balanced_in_every_window() {
        let matrix = reversed();
        let rows: Vec<usize> = (0..ROWS).collect();
        let (rare, frequent) = (0..ROWS).partition(|position| position % 100 == 0);
        let mut order = EpochOrder::new((&matrix, &rows), Some(vec![frequent, rare]), MEMORY);
        order.shuffle(&mut seeded(2, "test"));
        for start in 0..ROWS {
            let Some(window) = order.beginning_in(start..start + 1) else { continue };
            let window = &order.positions(start..start + window.len());
            let rare = window.iter().filter(|position| *position % 100 == 0).count();
            assert!(rare.abs_diff(window.len() / 2) <= 1, "{rare} of {}", window.len());
        }
    }
}
