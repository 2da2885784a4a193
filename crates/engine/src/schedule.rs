//! The fused row-band schedule: the order in which a chain of steps is computed, a band of rows at
//! a time, and how many rows of each value are in memory at once.

use std::ops::Range;

use crate::layout::Window;
use crate::lower::Step;
use crate::network::{Shape, ValueId};
use crate::pack::{TILE_DEPTH, TILE_ROWS};
use crate::plan::{BandTask, Chain, Run, Slot};

/// Simulates a chain band by band before the first picture runs: of each step the rows of the
/// band, as far as the steps before have come.
pub(crate) struct Schedule<'a> {
    steps: &'a [Step],
    run: &'a Run,
    shapes: &'a [Option<Shape>],
    /// Rows that each step of the run has computed.
    done: Vec<usize>,
    /// Values that only the run reads.
    row_buffers: Vec<RowBuffer>,
    /// Rows of the picture that have been copied.
    copied: usize,
    tasks: Vec<BandTask>,
}

/// A value of which only some rows are in memory at once.
struct RowBuffer {
    value: ValueId,
    /// The first row that is kept.
    first: usize,
    /// The most rows that were kept at a time.
    most: usize,
    /// Whether rows take one another's place; else those that are kept move up.
    in_ring: bool,
}

impl<'a> Schedule<'a> {
    /// Goes through the run, and makes rings of values that need not be kept whole.
    pub fn new(
        steps: &'a [Step],
        run: &'a Run,
        shapes: &'a [Option<Shape>],
        crossing: &[bool],
        slots: &mut [Option<Slot>],
    ) -> Self {
        let inside = &steps[run.steps.clone()];
        let read_outside = |value: ValueId| {
            let mut others = steps[..run.steps.start].iter().chain(&steps[run.steps.end..]);
            crossing[value.0] || others.any(|step| step.inputs().contains(&value))
        };
        let read = inside.iter().any(|step| step.source() == Some(ValueId::INPUT));
        let row_buffers = inside
            .iter()
            .flat_map(Step::outputs)
            .chain(read.then_some(ValueId::INPUT))
            .filter(|&value| !read_outside(value))
            .map(|value| RowBuffer { value, first: 0, most: 0, in_ring: fits_ring(inside, value) })
            .collect();
        let done = vec![0; inside.len()];
        let mut schedule =
            Self { steps, run, shapes, done, row_buffers, copied: 0, tasks: Vec::new() };
        for band in 1..=run.bands {
            for index in run.steps.clone() {
                schedule.compute(index, band);
            }
        }
        for index in 0..schedule.row_buffers.len() {
            let RowBuffer { value, most, .. } = schedule.row_buffers[index];
            if let Some(slot) = &mut slots[value.0]
                && schedule.row_buffers[index].in_ring
            {
                slot.layout.ring = Some(most + 2 * slot.layout.pad);
            }
        }
        schedule
    }

    /// Shortens the planes of values that are not kept whole, once all have their length.
    pub fn shorten(&self, slots: &mut [Option<Slot>]) {
        for kept in &self.row_buffers {
            if let Some(slot) = &mut slots[kept.value.0] {
                let layout = slot.layout;
                // The rows kept, zeros above and below, and what tiles read past the end.
                let rows = kept.most + 2 * layout.pad + self.reach(kept.value);
                let pixels = rows * layout.row() + self.overrun(kept.value);
                let length = pixels * layout.pitch + TILE_DEPTH;
                slot.length = if kept.in_ring { length } else { slot.length.min(length) };
            }
        }
    }

    /// The tasks in order.
    pub fn chain(self) -> Chain {
        Chain { steps: self.run.steps.clone(), tasks: self.tasks }
    }

    fn height(&self, value: ValueId) -> usize {
        self.shapes[value.0].map_or(0, |shape| shape.height)
    }

    /// The steps of the run that read windows of a value, with the rows they have computed.
    fn readers(&self, value: ValueId) -> impl Iterator<Item = (Window, usize)> {
        self.run.steps.clone().zip(&self.done).filter_map(move |(index, &done)| {
            let step = &self.steps[index];
            (step.source() == Some(value)).then_some((window(step)?, done))
        })
    }

    /// Rows of the tallest window on a value.
    fn reach(&self, value: ValueId) -> usize {
        self.readers(value).map(|(window, _)| window.kernel[0]).max().unwrap_or(0)
    }

    /// Pixels that a tile may read past its last window.
    fn overrun(&self, value: ValueId) -> usize {
        let of = |window: Window| TILE_ROWS * window.stride + window.kernel[1] + TILE_DEPTH;
        self.readers(value).map(|(window, _)| of(window)).max().unwrap_or(0)
    }

    /// The step of the run that makes a value.
    fn producer(&self, value: ValueId) -> Option<usize> {
        self.run.steps.clone().find(|&index| self.steps[index].outputs().contains(&value))
    }

    fn compute(&mut self, index: usize, band: usize) {
        let step = &self.steps[index];
        let outputs = step.outputs();
        let Some(&output) = outputs.first() else { return };
        let height = self.height(output);
        let mut end = (height * band).div_ceil(self.run.bands);
        if let (Some(source), Some(window)) = (step.source(), window(step))
            && let Some(producer) = self.producer(source)
        {
            let rows = self.done[producer - self.run.steps.start];
            if rows < self.height(source) {
                // Windows that end within the rows that are there.
                let room = (rows + window.padding + window.stride).saturating_sub(window.kernel[0]);
                end = end.min(room / window.stride);
            }
        }
        if let Some(producer) = step.fused().and_then(|f| f.residual).and_then(|v| self.producer(v))
        {
            end = end.min(self.done[producer - self.run.steps.start]);
        }
        let start = self.done[index - self.run.steps.start];
        if end <= start {
            return;
        }
        self.copy_input(step, end);
        for &value in &outputs {
            self.drop_rows(value, start..end);
        }
        if start == 0 {
            let in_ring = |value: &&ValueId| {
                self.row_buffers.iter().any(|kept| kept.value == **value && kept.in_ring)
            };
            self.tasks.extend(
                outputs.iter().filter(in_ring).map(|&value| BandTask::ZeroTopPadding { value }),
            );
        }
        self.tasks.push(BandTask::ComputeRows { step: index, rows: start..end });
        self.done[index - self.run.steps.start] = end;
        if end == height {
            for value in outputs {
                if self.row_buffers.iter().any(|kept| kept.value == value) {
                    self.tasks.push(BandTask::ZeroBottomPadding { value });
                }
            }
        }
    }

    /// Copies the rows of the picture that a step needs for its rows up to `end`, where only the
    /// run reads it.
    fn copy_input(&mut self, step: &Step, end: usize) {
        let is_kept = self.row_buffers.iter().any(|kept| kept.value == ValueId::INPUT);
        let (true, Some(ValueId::INPUT), Some(window)) = (is_kept, step.source(), window(step))
        else {
            return;
        };
        let height = self.height(ValueId::INPUT);
        let below = (end - 1) * window.stride + window.kernel[0];
        let rows = self.copied..below.saturating_sub(window.padding).min(height);
        if rows.is_empty() {
            return;
        }
        self.drop_rows(ValueId::INPUT, rows.clone());
        self.copied = rows.end;
        self.tasks.push(BandTask::CopyInput { rows });
        if self.copied == height {
            self.tasks.push(BandTask::ZeroBottomPadding { value: ValueId::INPUT });
        }
    }

    /// Drops the rows of a value that no step will read again, before others are computed.
    fn drop_rows(&mut self, value: ValueId, rows: Range<usize>) {
        let windows = self
            .readers(value)
            .map(|(window, done)| (done * window.stride).saturating_sub(window.padding));
        let residuals = self.run.steps.clone().zip(&self.done).filter_map(|(index, &done)| {
            let residual = self.steps[index].fused()?.residual;
            (residual == Some(value)).then_some(done)
        });
        let needed = windows.chain(residuals).min().unwrap_or(0).min(rows.start);
        let Some(kept) = self.row_buffers.iter_mut().find(|kept| kept.value == value) else {
            return;
        };
        if needed > kept.first {
            kept.first = needed;
            if !kept.in_ring {
                self.tasks.push(BandTask::RetainRows { value, rows: needed..rows.start });
            }
        }
        kept.most = kept.most.max(rows.end - kept.first);
    }
}

/// Whether all that read windows of a value find each of their rows by itself.
fn fits_ring(steps: &[Step], value: ValueId) -> bool {
    steps.iter().filter(|step| step.source() == Some(value)).all(|step| match step {
        Step::Dense { window, .. } => window.is_some_and(|window| window.kernel == [1, 1]),
        Step::Depthwise { window, .. } => window.kernel == [3, 3],
        Step::Plain { .. } => false,
    })
}

fn window(step: &Step) -> Option<Window> {
    match step {
        Step::Dense { window, .. } => *window,
        Step::Depthwise { window, .. } => Some(*window),
        Step::Plain { .. } => None,
    }
}
