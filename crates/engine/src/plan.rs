//! The execution plan for one picture size: the shape and buffer of every value, and the loops of
//! each step. Memory is assigned here, once; running allocates nothing.

mod buffers;

use std::ops::Range;

use crate::kernels::Kernels;
use crate::kernels::winograd::{Blocks, PLACES};
use crate::layout::{CHANNEL_BLOCK, Halves, Layout, TileWindow, TilingLoop, Window};
use crate::lower::{Fused, Part, Step};
use crate::network::{InvalidNetwork, Shape, ValueId, convolution_sides, output_shape};
use crate::pack::{TILE_DEPTH, TILE_ROWS};
use crate::precision::Precision;
use crate::schedule::Schedule;
use facefold_kernels::tile::Segment;

/// Where the planes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub layout: Layout,
    /// Elements of a plane, with what tiles read past the last pixel.
    pub length: usize,
    /// The buffer of the f32 plane.
    pub f32: Option<usize>,
    /// The buffer of the bf16 planes, one after the other.
    pub bf16: Option<usize>,
    pub halves: Halves,
}

/// The loop of a dense step over its source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DensePlan {
    pub tiling: TilingLoop,
    /// The window in the source's f32 plane.
    pub segments: Vec<Segment>,
    /// The window in the source's bf16 planes.
    pub tiles: TileWindow,
}

/// Everything that depends on the picture's size.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// By value; values that are never stored have none.
    pub shapes: Vec<Option<Shape>>,
    pub slots: Vec<Option<Slot>>,
    /// By step; `None` for steps that are not dense.
    pub dense: Vec<Option<DensePlan>>,
    /// Bytes of each buffer.
    pub buffers: Vec<usize>,
    /// Numbers that a step may need for itself.
    pub scratch: usize,
    /// Pictures that are computed together.
    pub capacity: usize,
    /// The steps before this one are computed picture by picture: their values are larger than
    /// their weights. From here on all pictures go through a step before the next.
    pub split: usize,
    /// Runs of steps before the split that are computed some rows at a time, so that their
    /// values stay in the cache from one step to the next.
    pub chains: Vec<Chain>,
}

/// Steps that are computed in turn, some rows at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub steps: Range<usize>,
    pub tasks: Vec<BandTask>,
}

impl Chain {
    /// Whether its tasks copy the picture.
    pub fn copies_input(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task, BandTask::CopyInput { .. }))
    }
}

/// A part of a chain's work. Of values that only the chain reads, just the rows in use are kept:
/// new ones take the place of those that are no longer needed, or, where a window must find its
/// rows one after another, the rest moves up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BandTask {
    /// Copy these rows of the picture to the planes that the first step reads.
    CopyInput { rows: Range<usize> },
    /// Compute these rows of a step.
    ComputeRows { step: usize, rows: Range<usize> },
    /// Keep these rows of a value, and make the first of them the first that is kept.
    RetainRows { value: ValueId, rows: Range<usize> },
    /// Clear the padding above the first row of a value.
    ZeroTopPadding { value: ValueId },
    /// Clear the padding below the last row of a value.
    ZeroBottomPadding { value: ValueId },
}

/// Values of a chain that are computed at a time, in bytes: with the rows above that windows still
/// need they stay in a common second-level cache.
const BAND_BYTES: usize = 1 << 19;

/// A step belongs to a chain where one of its values is larger than this, in bytes: it would not
/// stay in the cache as a whole.
const CHAIN_BYTES: usize = 3 << 18;

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub network: &'a str,
    pub steps: &'a [Step],
    pub outputs: &'a [Part],
    /// Number of values.
    pub values: usize,
    pub input: Shape,
    pub kernels: Kernels,
    pub precision: Precision,
    /// By step: whether it runs on matrix tiles.
    pub tiles: &'a [bool],
}

/// The bf16 planes of a value whose pixels are `pitch` elements apart. The picture keeps two in
/// any precision: it has few values, and their rounding would go through all layers.
pub(crate) fn halves(precision: Precision, value: ValueId, pitch: usize) -> Halves {
    // Of one or three blocks in two planes, rows of tiles are half empty and cross lines of the
    // cache. Interleaved, a block takes two products; in planes two blocks take three.
    let is_narrow = pitch == CHANNEL_BLOCK || pitch == 3 * CHANNEL_BLOCK;
    match (precision, value) {
        (_, ValueId::INPUT) => Halves::Planar,
        (Precision::Bf16x3, _) if is_narrow => Halves::Interleaved,
        (Precision::Bf16x3, _) => Halves::Planar,
        _ => Halves::Single,
    }
}

/// Elements from one pixel of the picture to the next: without padding channels where only dense
/// steps take it.
pub(crate) fn input_pitch(steps: &[Step], channels: usize) -> usize {
    let only_dense = steps.iter().all(|step| match step {
        Step::Dense { fused, .. } => fused.residual != Some(ValueId::INPUT),
        Step::Depthwise { source, fused, .. } => {
            *source != ValueId::INPUT && fused.residual != Some(ValueId::INPUT)
        }
        Step::Plain { .. } => !step.inputs().contains(&ValueId::INPUT),
    });
    if only_dense { channels } else { channels.next_multiple_of(CHANNEL_BLOCK) }
}

impl Request<'_> {
    /// Plans for pictures of this size.
    pub fn plan(&self) -> Result<Plan, InvalidNetwork> {
        let shapes = self.shapes()?;
        let is_small = self.input.height * self.input.width <= 128 * 128;
        let block = if is_small { 8 } else { 1 };
        let split = if block == 1 { self.steps.len() } else { self.split(&shapes) };
        let runs = self.runs(split, &shapes);
        let uses = self.uses(&runs);
        let crossing = self.crossing(split);
        let mut scratch = 0;
        let mut slots: Vec<Option<Slot>> = Vec::with_capacity(self.values);
        for (value, shape) in shapes.iter().enumerate() {
            slots.push(shape.map(|shape| {
                let pitch = if value == ValueId::INPUT.0 {
                    input_pitch(self.steps, shape.channels)
                } else {
                    shape.channels.next_multiple_of(CHANNEL_BLOCK)
                };
                let capacity = if crossing[value] { block } else { 1 };
                let layout = Layout::new(shape, pitch, uses[value].pad, capacity);
                let length = layout.pixels() * pitch;
                let halves = halves(self.precision, ValueId(value), pitch);
                Slot { layout, length, f32: None, bf16: None, halves }
            }));
        }
        let schedules: Vec<Schedule<'_>> = runs
            .iter()
            .map(|run| Schedule::new(self.steps, run, &shapes, &crossing, &mut slots))
            .collect();
        let mut walks = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            walks.push(self.tiling(index, step, &shapes, &mut slots));
            if !self.tiles[index] && step.suits_winograd() {
                scratch =
                    scratch.max(self.winograd_scratch(step, &shapes, &mut slots).unwrap_or(0));
            }
        }
        for schedule in &schedules {
            schedule.shorten(&mut slots);
        }
        let chains = schedules.into_iter().map(Schedule::chain).collect();
        let dense = walks.into_iter().map(|tiling| {
            tiling.map(|(tiling, kernel, source)| {
                Self::dense_plan(tiling, kernel, source, &shapes, &slots)
            })
        });
        let dense = dense.collect();
        let buffers = self.assign(&uses, &runs, &mut slots);
        Ok(Plan { shapes, slots, dense, buffers, scratch, capacity: block, split, chains })
    }

    /// The first step with more weights than values.
    fn split(&self, shapes: &[Option<Shape>]) -> usize {
        let size = |value: ValueId| shapes[value.0].map_or(0, Shape::size);
        let is_heavy = |step: &Step| match step {
            Step::Dense { source, weights_count, .. } => {
                *weights_count
                    > size(*source) + step.outputs().iter().map(|v| size(*v)).sum::<usize>()
            }
            _ => false,
        };
        self.steps.iter().position(is_heavy).unwrap_or(self.steps.len())
    }

    /// Values of which all pictures of a block are kept: all but those that are made and used
    /// before the split.
    fn crossing(&self, split: usize) -> Vec<bool> {
        let mut crossing = vec![false; self.values];
        for step in &self.steps[split..] {
            for value in step.inputs().into_iter().chain(step.outputs()) {
                crossing[value.0] = true;
            }
        }
        for output in self.outputs {
            crossing[output.value.0] = true;
        }
        crossing
    }

    /// Runs of convolutions on values too large for the cache.
    fn runs(&self, split: usize, shapes: &[Option<Shape>]) -> Vec<Run> {
        let bytes = |value: ValueId| {
            let shape = shapes[value.0];
            shape.map_or(0, |s| {
                s.height * s.width * s.channels.next_multiple_of(CHANNEL_BLOCK) * size_of::<f32>()
            })
        };
        let belongs = |step: &Step| {
            let is_local = match step {
                Step::Dense { window, .. } => window.is_some(),
                Step::Depthwise { .. } => true,
                Step::Plain { .. } => false,
            };
            let values = step.source().into_iter().chain(step.outputs());
            is_local && values.map(bytes).max() > Some(CHAIN_BYTES)
        };
        let mut runs = Vec::new();
        let mut start = 0;
        for index in 0..=split {
            if index < split && belongs(&self.steps[index]) {
                continue;
            }
            if index > start + 1 {
                let steps = start..index;
                let outputs = self.steps[steps.clone()].iter().flat_map(Step::outputs);
                let total: usize = outputs.map(bytes).sum();
                runs.push(Run { steps, bands: total.div_ceil(BAND_BYTES) });
            }
            start = index + 1;
        }
        runs
    }

    /// The tiling loop of a dense step; its source is made long enough for it.
    fn tiling(
        &self,
        index: usize,
        step: &Step,
        shapes: &[Option<Shape>],
        slots: &mut [Option<Slot>],
    ) -> Option<(TilingLoop, [usize; 2], ValueId)> {
        let Step::Dense { source, window, .. } = step else { return None };
        let from = shapes[source.0]?;
        let slot = slots[source.0].as_mut()?;
        let whole = Window { kernel: [from.height, from.width], stride: 1, padding: 0 };
        let window = window.unwrap_or(whole);
        let rows = if self.tiles[index] { TILE_ROWS } else { self.kernels.rows };
        let tiling = TilingLoop::new(&slot.layout, window, shapes[step.outputs()[0].0]?, rows);
        let [height, width] = window.kernel;
        let reach = tiling.reach(slot.layout.capacity, rows) + (height - 1) * slot.layout.row();
        let row = (width * slot.layout.pitch).next_multiple_of(TILE_DEPTH);
        slot.length = slot.length.max(reach * slot.layout.pitch + row);
        Some((tiling, window.kernel, *source))
    }

    /// Makes a source long enough for windows of four by four; gives the numbers of scratch that
    /// the step needs at most.
    fn winograd_scratch(
        &self,
        step: &Step,
        shapes: &[Option<Shape>],
        slots: &mut [Option<Slot>],
    ) -> Option<usize> {
        let Step::Dense { source, weights_count, fused, .. } = step else { return None };
        let output = shapes[step.outputs()[0].0]?;
        let slot = slots[source.0].as_mut()?;
        let Slot { layout, length, .. } = slot;
        // The last window of two by two outputs may lie a row and a column further.
        *length = (*length).max((layout.pixels() + layout.row() + 4) * layout.pitch);
        let inputs = weights_count / (9 * fused.channels);
        let weights = PLACES * inputs * fused.channels.next_multiple_of(CHANNEL_BLOCK);
        let scratch = |height: usize, images: usize| {
            let size = [height, output.width, images];
            Blocks::new(size, layout.pitch, weights, self.kernels.rows).scratch()
        };
        // Fewer rows at a time may make smaller blocks, but also blocks that are whole.
        let images = 1..=layout.capacity;
        images
            .flat_map(|n| (1..=output.height).map(move |h| (h, n)))
            .map(|(h, n)| scratch(h, n))
            .max()
    }

    fn dense_plan(
        tiling: TilingLoop,
        kernel: [usize; 2],
        source: ValueId,
        shapes: &[Option<Shape>],
        slots: &[Option<Slot>],
    ) -> DensePlan {
        let [height, width] = kernel;
        let channels = shapes[source.0].map_or(0, |shape| shape.channels);
        let (pitch, row, halves) = slots[source.0].map_or((1, 1, Halves::Single), |slot| {
            (slot.layout.pitch, slot.layout.row() * slot.layout.pitch, slot.halves)
        });
        let mut segments = Vec::new();
        for i in 0..height {
            if pitch == channels {
                segments.push(Segment { offset: i * row, length: width * channels });
            } else {
                segments.extend(
                    (0..width).map(|j| Segment { offset: i * row + j * pitch, length: channels }),
                );
            }
        }
        DensePlan { tiling, segments, tiles: TileWindow::new(kernel, pitch, row / pitch, halves) }
    }

    /// The shapes of all values that are stored.
    fn shapes(&self) -> Result<Vec<Option<Shape>>, InvalidNetwork> {
        let mut shapes: Vec<Option<Shape>> = vec![None; self.values];
        shapes[ValueId::INPUT.0] = Some(self.input);
        for step in self.steps {
            let problem = |problem| InvalidNetwork {
                network: self.network.to_owned(),
                layer: format!("`{}`", step.name()),
                problem,
            };
            let stored = |value: ValueId| {
                shapes[value.0].ok_or_else(|| problem(format!("value {} is not stored", value.0)))
            };
            let shape = match step {
                Step::Plain { op, inputs, .. } => {
                    let part = |part: &Part| {
                        stored(part.value)?;
                        Ok(part.shape(&shapes).unwrap_or(self.input))
                    };
                    let inputs = inputs.iter().map(part).collect::<Result<Vec<_>, _>>()?;
                    output_shape(op, &inputs).map_err(problem)?
                }
                Step::Dense { source, weights, window, fused, .. } => {
                    let x = stored(*source)?;
                    match window {
                        Some(window) => windows(x, *window, fused).map_err(problem)?,
                        None if x.size() * fused.channels == weights.len() => {
                            Shape { channels: fused.channels, height: 1, width: 1 }
                        }
                        None => {
                            let (found, outputs) = (weights.len(), fused.channels);
                            let text = format!("{found} weights for {x} to {outputs}");
                            return Err(problem(text));
                        }
                    }
                }
                Step::Depthwise { source, window, fused, .. } => {
                    windows(stored(*source)?, *window, fused).map_err(problem)?
                }
            };
            if let Some(residual) = step.fused().and_then(|fused| fused.residual) {
                let other = stored(residual)?;
                if other != shape {
                    return Err(problem(format!("cannot add {shape} and {other}")));
                }
            }
            step.outputs().iter().for_each(|value| shapes[value.0] = Some(shape));
        }
        Ok(shapes)
    }
}

/// Neighbouring steps that make a chain, and the number of bands that their rows are cut into.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub steps: Range<usize>,
    pub bands: usize,
}

fn windows(x: Shape, window: Window, fused: &Fused) -> Result<Shape, String> {
    let [height, width] = convolution_sides(x, window.kernel, window.stride, window.padding)?;
    Ok(Shape { channels: fused.channels, height, width })
}
