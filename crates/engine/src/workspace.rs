//! The memory of one thread for pictures of one size, and the steps computed in it.

use crate::buffer::Buffer;
use crate::engine::{Engine, Packed, Size};
use crate::kernels::depthwise::Depthwise;
use crate::kernels::finish::{Finish, Planes};
use crate::kernels::plain::{self, Rows};
use crate::kernels::product::Product;
use crate::layout::CHANNEL_BLOCK;
use crate::lower::{Fused, Step};
use crate::network::ValueId;
use crate::plan::{Plan, Sweep};

/// Weights beyond this many bytes do not stay in the second-level cache while the windows of a
/// picture go by: then all windows go through one panel of outputs before the next.
const RESIDENT_WEIGHTS: usize = 1 << 20;

/// The planes of all values.
#[derive(Debug)]
pub(crate) struct Workspace {
    buffers: Vec<Buffer>,
}

impl Workspace {
    pub fn new(plan: &Plan) -> Self {
        Self { buffers: plan.buffers.iter().map(|&bytes| Buffer::zeroed(bytes)).collect() }
    }

    /// Computes all steps for some pictures, at most the plan's capacity.
    pub fn run(&mut self, engine: &Engine, size: &Size, pictures: &[f32]) {
        let plan = &size.plan;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: an engine has tile kernels only where tiles are permitted.
        let _tiles = engine.kernels.tiles.map(|_| unsafe { crate::kernels::Tiles::new() });
        let images = self.stage(engine, plan, pictures);
        for (index, step) in engine.steps.iter().enumerate() {
            match step {
                Step::Dense { source, fused, .. } => {
                    let sweep = plan.sweeps[index].as_ref();
                    if let (Some(sweep), Some(packed)) = (sweep, engine.weights(size, index)) {
                        self.dense(engine, plan, *source, fused, sweep, packed, images);
                    }
                }
                Step::Depthwise { source, weights, pairs, window, fused, .. } => {
                    let shape = step.outputs().first().and_then(|value| plan.shapes[value.0]);
                    if let (Some(source), Some(shape)) = (self.planes(plan, *source), shape) {
                        let job = Depthwise {
                            source,
                            window: *window,
                            width: shape.width,
                            rows: 0..shape.height,
                            weights,
                            pairs: *pairs,
                            images,
                            finish: self.finish(plan, fused),
                        };
                        // SAFETY: the plan gives every value planes of its shape and layout,
                        // with the padding that its readers need.
                        unsafe { (engine.kernels.depthwise)(&job) };
                    }
                }
                Step::Plain { op, inputs, output, .. } => {
                    if let Some(rows) = self.rows(plan, *output) {
                        let input = |i: usize| self.rows(plan, *inputs.get(i)?);
                        (0..images).for_each(|image| plain::run(op, &input, rows, image));
                        self.round(engine, plan, *output, images);
                    }
                }
            }
        }
    }

    /// Copies the pictures to the planes that the first steps read; how many they are.
    fn stage(&self, engine: &Engine, plan: &Plan, pictures: &[f32]) -> usize {
        let (Some(shape), Some(planes)) =
            (plan.shapes[ValueId::INPUT.0], self.planes(plan, ValueId::INPUT))
        else {
            return 0;
        };
        let row = shape.width * shape.channels;
        for (image, picture) in pictures.chunks_exact(shape.size()).enumerate() {
            for (y, row) in picture.chunks_exact(row).enumerate() {
                if planes.layout.pitch == shape.channels {
                    // SAFETY: a row of the picture is a row of the plane.
                    unsafe { (engine.kernels.write)(row, planes.at([image, y, 0], 0)) };
                } else {
                    for (x, pixel) in row.chunks_exact(shape.channels).enumerate() {
                        // SAFETY: the plane's pixels have at least the picture's channels.
                        unsafe { (engine.kernels.write)(pixel, planes.at([image, y, x], 0)) };
                    }
                }
            }
        }
        pictures.len() / shape.size()
    }

    /// Appends a value of the first `images` pictures, NHWC without padding.
    pub fn read(&self, plan: &Plan, value: ValueId, images: usize, to: &mut Vec<f32>) {
        let (Some(rows), Some(shape)) = (self.rows(plan, value), plan.shapes[value.0]) else {
            return;
        };
        for image in 0..images {
            for y in 0..shape.height {
                for pixel in rows.row(image, y).chunks_exact(rows.pitch()) {
                    to.extend_from_slice(&pixel[..shape.channels]);
                }
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of one step, taken apart by its caller"
    )]
    fn dense(
        &self,
        engine: &Engine,
        plan: &Plan,
        source: ValueId,
        fused: &Fused,
        sweep: &Sweep,
        packed: &Packed,
        images: usize,
    ) {
        let Some(source) = self.planes(plan, source) else { return };
        let pitch = source.layout.pitch;
        let finish = self.finish(plan, fused);
        let panels_first = packed.bytes() > RESIDENT_WEIGHTS;
        match packed {
            Packed::F32(weights) => {
                let job = Product {
                    source: source.f32,
                    pitch,
                    walk: &sweep.walk,
                    segments: &sweep.segments,
                    weights: weights.as_slice(),
                    images,
                    rows: 0..sweep.walk.height,
                    panels_first,
                    finish,
                };
                // SAFETY: the plan makes the source's plane as long as the walk reaches, and
                // gives the outputs planes of their shape.
                unsafe { (engine.kernels.product)(&job) };
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Packed::Tiles { weights, panel } => {
                let job = crate::kernels::TileProduct {
                    source: source.high,
                    pitch,
                    walk: &sweep.walk,
                    segments: &sweep.tiles,
                    weights: weights.as_slice(),
                    panel: *panel,
                    images,
                    rows: 0..sweep.walk.height,
                    panels_first,
                    finish,
                };
                if let Some(tiles) = engine.kernels.tiles {
                    // SAFETY: as above, and `run` holds the tiles of this thread.
                    unsafe { tiles(&job) };
                }
            }
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Packed::Tiles { .. } => {}
        }
    }

    fn finish<'a>(&self, plan: &Plan, fused: &'a Fused) -> Finish<'a> {
        let planes = |value: ValueId| self.planes(plan, value);
        Finish {
            bias: &fused.bias,
            activation: &fused.activation,
            residual: fused.residual.and_then(planes),
            after: &fused.after,
            main: fused.main.and_then(planes),
            affine: fused
                .affine
                .as_ref()
                .and_then(|(value, scale, shift)| Some((planes(*value)?, scale, shift))),
            pitch: fused.channels.next_multiple_of(CHANNEL_BLOCK),
        }
    }

    fn planes(&self, plan: &Plan, value: ValueId) -> Option<Planes> {
        let slot = plan.slots[value.0]?;
        let mut planes = Planes::absent(slot.layout);
        if let Some(buffer) = slot.f32 {
            planes.f32 = self.buffers[buffer].address().cast();
        }
        if let Some(buffer) = slot.bf16 {
            planes.high = self.buffers[buffer].address().cast();
            if slot.parts == 2 {
                planes.low = planes.high.wrapping_add(slot.length);
            }
        }
        Some(planes)
    }

    fn rows(&self, plan: &Plan, value: ValueId) -> Option<Rows> {
        let (planes, shape) = (self.planes(plan, value)?, plan.shapes[value.0]?);
        // SAFETY: the buffers outlive the steps, which take one another's values in turn.
        (!planes.f32.is_null()).then(|| unsafe { Rows::new(planes, shape.channels) })
    }

    /// Fills the bf16 planes of a value from its f32 plane.
    fn round(&self, engine: &Engine, plan: &Plan, value: ValueId, images: usize) {
        let (Some(rows), Some(planes)) = (self.rows(plan, value), self.planes(plan, value)) else {
            return;
        };
        if planes.high.is_null() {
            return;
        }
        let rounded = Planes { f32: std::ptr::null_mut(), ..planes };
        for image in 0..images {
            for y in 0..planes.layout.height {
                // SAFETY: the bf16 planes have the layout of the f32 plane.
                unsafe {
                    (engine.kernels.write)(rows.row(image, y), rounded.at([image, y, 0], 0));
                }
            }
        }
    }
}
