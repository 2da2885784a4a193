//! The standardised rows of a shuffle window, in memory: they are read from the disk in the order in which
//! they lie there, and drawn in any.

use facefold_core::{FeatureMatrix, FeatureRows};
use facefold_kernels::prefetch;

use super::order::BLOCK_ROWS;
use crate::features::Standardiser;

/// Rows by their positions in the training set.
#[derive(Default)]
pub(super) struct Window {
    width: usize,
    /// The position of each row.
    positions: Vec<usize>,
    /// The place of each position among those, where the last window that had it was this one.
    place_of: Vec<u32>,
    plain: Vec<f32>,
    mirrored: Vec<f32>,
}

impl Window {
    /// Takes the rows at these positions in the place of those of before; `rows` are the rows of the matrix
    /// at all positions.
    pub(super) fn load(
        &mut self,
        positions: Vec<usize>,
        (matrix, rows): (&FeatureMatrix, &[usize]),
        features: &Standardiser,
    ) {
        self.width = features.width();
        self.place_of.resize(rows.len(), 0);
        for (place, &position) in positions.iter().enumerate() {
            self.place_of[position] = place as u32;
        }
        let own: Vec<usize> = positions.iter().map(|&position| rows[position]).collect();
        let read = |side: &FeatureRows, values: &mut Vec<f32>| {
            read(side, &own, features, values);
        };
        read(matrix.plain(), &mut self.plain);
        if let Some(mirrored) = matrix.mirrored() {
            read(mirrored, &mut self.mirrored);
        }
        self.positions = positions;
    }

    /// The row at a position, where the window has it: the last rows of the window before may be asked for
    /// together with the first of this one.
    pub(super) fn row(&self, position: usize, mirrored: bool) -> Option<&[f32]> {
        let place = *self.place_of.get(position)? as usize;
        if self.positions.get(place) != Some(&position) {
            return None;
        }
        let values = if mirrored { &self.mirrored } else { &self.plain };
        values.get(place * self.width..(place + 1) * self.width)
    }
}

/// Blocks that are asked for before they are needed: some megabytes, so that the disk is never idle.
const AHEAD: usize = 8;

/// Reads rows block by block. Blocks lie far apart, and what lies between them is not read.
fn read(side: &FeatureRows, rows: &[usize], features: &Standardiser, values: &mut Vec<f32>) {
    let width = features.width();
    values.resize(rows.len() * width, 0.0);
    let blocks: Vec<&[usize]> = rows.chunks(BLOCK_ROWS).collect();
    let ask = |block: &&[usize]| side.stretches(block).into_iter().for_each(prefetch);
    blocks.iter().take(AHEAD).for_each(ask);
    for (number, (block, out)) in
        blocks.iter().zip(values.chunks_mut(BLOCK_ROWS * width)).enumerate()
    {
        blocks.iter().skip(number + AHEAD).take(1).for_each(ask);
        for (&row, out) in block.iter().zip(out.chunks_exact_mut(width)) {
            features.apply(side, row, out);
        }
    }
}
