//! For one picture size: the shape and place of every value, and how each step goes through its
//! source. Memory is assigned here, once; running allocates nothing.

use std::collections::HashMap;

use crate::cpu::Precision;
use crate::kernels::Kernels;
use crate::kernels::product::{Segment, TileSegment};
use crate::layout::{CHANNEL_BLOCK, Layout, Walk, Window};
use crate::lower::{Fused, Step};
use crate::network::{InvalidNetwork, Shape, ValueId, convolution_sides, output_shape};
use crate::pack::{STEP_ELEMENTS, TILE_DEPTH, TILE_ROWS};

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
    /// Number of bf16 planes.
    pub parts: usize,
}

/// How a dense step goes through its source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sweep {
    pub walk: Walk,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// The window in the source's f32 plane.
    pub segments: Vec<Segment>,
    /// The window in the source's bf16 planes, with its weights.
    pub tiles: Vec<TileSegment>,
}

/// Everything that depends on the picture's size.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// By value; values that are never stored have none.
    pub shapes: Vec<Option<Shape>>,
    pub slots: Vec<Option<Slot>>,
    /// By step; only dense ones have one.
    pub sweeps: Vec<Option<Sweep>>,
    /// Bytes of each buffer.
    pub buffers: Vec<usize>,
    /// Pictures that are computed together.
    pub capacity: usize,
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub network: &'a str,
    pub steps: &'a [Step],
    pub outputs: &'a [ValueId],
    /// Number of values.
    pub values: usize,
    pub input: Shape,
    pub kernels: Kernels,
    pub precision: Precision,
}

/// bf16 planes of a value, and of the weights of a dense step that takes it. The picture keeps
/// two in any precision: it has few values, and their rounding would go through all layers.
pub(crate) fn parts(precision: Precision, source: ValueId) -> usize {
    if precision == Precision::Bf16x3 || source == ValueId::INPUT { 2 } else { 1 }
}

/// Elements from one pixel of the picture to the next: without padding channels where only dense
/// steps take it.
pub(crate) fn input_pitch(steps: &[Step], channels: usize) -> usize {
    let only_dense = steps.iter().all(|step| match step {
        Step::Dense { fused, .. } => fused.residual != Some(ValueId::INPUT),
        Step::Depthwise { source, fused, .. } => {
            *source != ValueId::INPUT && fused.residual != Some(ValueId::INPUT)
        }
        Step::Plain { inputs, .. } => !inputs.contains(&ValueId::INPUT),
    });
    if only_dense { channels } else { channels.next_multiple_of(CHANNEL_BLOCK) }
}

/// How a value is used.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    pad: usize,
    /// The last step that reads each kind of plane.
    f32: Option<usize>,
    bf16: Option<usize>,
}

impl Request<'_> {
    /// Plans for pictures of this size.
    pub fn plan(&self) -> Result<Plan, InvalidNetwork> {
        let shapes = self.shapes()?;
        let uses = self.uses();
        let capacity = if self.input.height * self.input.width <= 128 * 128 { 8 } else { 1 };
        let mut slots: Vec<Option<Slot>> = Vec::with_capacity(self.values);
        for (value, shape) in shapes.iter().enumerate() {
            slots.push(shape.map(|shape| {
                let pitch = if value == ValueId::INPUT.0 {
                    input_pitch(self.steps, shape.channels)
                } else {
                    shape.channels.next_multiple_of(CHANNEL_BLOCK)
                };
                let layout = Layout::new(shape, pitch, uses[value].pad, capacity);
                let length = layout.pixels() * pitch;
                let parts = parts(self.precision, ValueId(value));
                Slot { layout, length, f32: None, bf16: None, parts }
            }));
        }
        let mut walks = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            walks.push(self.walk(step, &shapes, &mut slots));
        }
        let sweeps = walks.into_iter().map(|walk| {
            walk.map(|(walk, kernel, source)| Self::sweep(walk, kernel, source, &shapes, &slots))
        });
        let sweeps = sweeps.collect();
        let buffers = self.assign(&uses, &mut slots);
        Ok(Plan { shapes, slots, sweeps, buffers, capacity })
    }

    /// Whether dense steps run on matrix tiles.
    fn on_tiles(&self) -> bool {
        self.precision != Precision::F32
    }

    /// The order in which a dense step goes through its source, which is made long enough for it.
    fn walk(
        &self,
        step: &Step,
        shapes: &[Option<Shape>],
        slots: &mut [Option<Slot>],
    ) -> Option<(Walk, [usize; 2], ValueId)> {
        let Step::Dense { source, window, .. } = step else { return None };
        let from = shapes[source.0]?;
        let slot = slots[source.0].as_mut()?;
        let whole = Window { kernel: [from.height, from.width], stride: 1, padding: 0 };
        let window = window.unwrap_or(whole);
        let rows = if self.on_tiles() { TILE_ROWS } else { self.kernels.rows };
        let walk = Walk::new(&slot.layout, window, shapes[step.outputs()[0].0]?, rows);
        let [height, width] = window.kernel;
        let reach = walk.reach(slot.layout.capacity, rows) + (height - 1) * slot.layout.row();
        let row = (width * slot.layout.pitch).next_multiple_of(TILE_DEPTH);
        slot.length = slot.length.max(reach * slot.layout.pitch + row);
        Some((walk, window.kernel, *source))
    }

    fn sweep(
        walk: Walk,
        kernel: [usize; 2],
        source: ValueId,
        shapes: &[Option<Shape>],
        slots: &[Option<Slot>],
    ) -> Sweep {
        let [height, width] = kernel;
        let channels = shapes[source.0].map_or(0, |shape| shape.channels);
        let (pitch, row, length, parts) = slots[source.0].map_or((0, 0, 0, 1), |slot| {
            (slot.layout.pitch, slot.layout.row() * slot.layout.pitch, slot.length, slot.parts)
        });
        let mut segments = Vec::new();
        let mut tiles = Vec::new();
        let steps = (width * pitch).div_ceil(TILE_DEPTH);
        // High by high, high by low, low by high; low by low is below f32's own rounding.
        let products: &[(usize, usize)] =
            if parts == 2 { &[(0, 0), (0, 1), (1, 0)] } else { &[(0, 0)] };
        for i in 0..height {
            if pitch == channels {
                segments.push(Segment { offset: i * row, length: width * channels });
            } else {
                segments.extend(
                    (0..width).map(|j| Segment { offset: i * row + j * pitch, length: channels }),
                );
            }
            tiles.extend(products.iter().map(|&(values, weights)| TileSegment {
                source: size_of::<u16>() * (values * length + i * row),
                weights: size_of::<u16>() * (weights * height + i) * steps * STEP_ELEMENTS,
                steps,
            }));
        }
        Sweep { walk, kernel, segments, tiles }
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
                    let inputs =
                        inputs.iter().map(|&v| stored(v)).collect::<Result<Vec<_>, _>>()?;
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

    fn uses(&self) -> Vec<Use> {
        let mut uses = vec![Use::default(); self.values];
        for (index, step) in self.steps.iter().enumerate() {
            let window = match step {
                Step::Dense { source, window, .. } => {
                    let used = &mut uses[source.0];
                    if self.on_tiles() {
                        used.bf16 = Some(index);
                    } else {
                        used.f32 = Some(index);
                    }
                    window.map(|window| (*source, window))
                }
                Step::Depthwise { source, window, .. } => {
                    uses[source.0].f32 = Some(index);
                    Some((*source, *window))
                }
                Step::Plain { inputs, .. } => {
                    for input in inputs {
                        uses[input.0].f32 = Some(index);
                    }
                    None
                }
            };
            if let Some((source, window)) = window {
                uses[source.0].pad = uses[source.0].pad.max(window.padding);
            }
            if let Some(residual) = step.fused().and_then(|fused| fused.residual) {
                uses[residual.0].f32 = Some(index);
            }
        }
        self.outputs.iter().for_each(|output| uses[output.0].f32 = Some(usize::MAX));
        uses
    }

    /// Gives every plane a buffer, which it shares with planes of the same layout that live at
    /// other times: the same layout, so that the zeros around pictures stay zeros.
    fn assign(&self, uses: &[Use], slots: &mut [Option<Slot>]) -> Vec<usize> {
        let mut pool = Pool::default();
        if let Some(slot) = &mut slots[ValueId::INPUT.0] {
            slot.f32 = uses[0].f32.map(|_| pool.take(Kind::of(slot, false)));
            slot.bf16 = uses[0].bf16.map(|_| pool.take(Kind::of(slot, true)));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let mut kept = None;
            for value in step.outputs() {
                let Some(mut slot) = slots[value.0] else { continue };
                let is_plain = matches!(step, Step::Plain { .. });
                if is_plain || uses[value.0].f32.is_some() {
                    // A sum may take the place of a value that is used here for the last time,
                    // unless windows of that value are still to be read.
                    let replaced = step.fused().and_then(|fused| {
                        let residual = fused.residual.filter(|_| fused.main == Some(value))?;
                        let other = slots[residual.0]?;
                        let last = uses[residual.0].f32 == Some(index);
                        (last
                            && step.source() != Some(residual)
                            && Kind::of(&other, false) == Kind::of(&slot, false))
                        .then_some(residual)
                    });
                    slot.f32 = match replaced {
                        Some(residual) => {
                            kept = Some(residual);
                            slots[residual.0].and_then(|other| other.f32)
                        }
                        None => Some(pool.take(Kind::of(&slot, false))),
                    };
                }
                if uses[value.0].bf16.is_some() {
                    slot.bf16 = Some(pool.take(Kind::of(&slot, true)));
                }
                slots[value.0] = Some(slot);
            }
            let mut inputs = step.inputs();
            inputs.sort_unstable();
            inputs.dedup();
            for value in inputs {
                let Some(slot) = &slots[value.0] else { continue };
                if let (Some(buffer), Some(last)) = (slot.f32, uses[value.0].f32)
                    && last == index
                    && kept != Some(value)
                {
                    pool.give(Kind::of(slot, false), buffer);
                }
                if let (Some(buffer), Some(last)) = (slot.bf16, uses[value.0].bf16)
                    && last == index
                {
                    pool.give(Kind::of(slot, true), buffer);
                }
            }
        }
        pool.buffers
    }
}

fn windows(x: Shape, window: Window, fused: &Fused) -> Result<Shape, String> {
    let [height, width] = convolution_sides(x, window.kernel, window.stride, window.padding)?;
    Ok(Shape { channels: fused.channels, height, width })
}

/// Planes that can take each other's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    layout: Layout,
    length: usize,
    bytes: usize,
}

impl Kind {
    fn of(slot: &Slot, bf16: bool) -> Self {
        let each = if bf16 { size_of::<u16>() * slot.parts } else { size_of::<f32>() };
        Self { layout: slot.layout, length: slot.length, bytes: slot.length * each }
    }
}

/// Buffers, and which of them nobody needs any more.
#[derive(Debug, Default)]
struct Pool {
    buffers: Vec<usize>,
    free: HashMap<Kind, Vec<usize>>,
}

impl Pool {
    fn take(&mut self, kind: Kind) -> usize {
        self.free.get_mut(&kind).and_then(Vec::pop).unwrap_or_else(|| {
            self.buffers.push(kind.bytes);
            self.buffers.len() - 1
        })
    }

    fn give(&mut self, kind: Kind, buffer: usize) {
        self.free.entry(kind).or_default().push(buffer);
    }
}
