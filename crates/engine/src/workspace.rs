//! The working memory of one thread for pictures of one size, and the execution of steps in it.

mod pictures;

use std::cell::Cell;
use std::ops::Range;

use pictures::NotFinite;
pub(crate) use pictures::Pictures;

use crate::engine::{Engine, Packed, Size};
use crate::kernels::depthwise::Depthwise;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::plain::{self, Rows};
use crate::kernels::planes::Planes;
use crate::kernels::product::Product;
use crate::kernels::winograd::{PLACES, Winograd};
use crate::layout::{CHANNEL_BLOCK, Halves, Window};
use crate::lower::{Fused, Part, Step};
use crate::network::ValueId;
use crate::plan::{BandTask, Chain, DensePlan, Plan};
use facefold_kernels::buffer::Buffer;

/// Weights beyond this many bytes do not stay in the second-level cache while the windows of a
/// picture go by: then all windows go through one panel of outputs before the next.
const RESIDENT_WEIGHTS: usize = 1 << 20;

/// The planes of all values.
#[derive(Debug)]
pub(crate) struct Workspace {
    buffers: Vec<Buffer>,
    /// For a step that needs memory of its own.
    scratch: Buffer,
    /// By value: the first row that is kept at the moment.
    first_rows: Vec<Cell<usize>>,
}

impl Workspace {
    pub fn new(plan: &Plan) -> Self {
        Self {
            buffers: plan.buffers.iter().map(|&bytes| Buffer::zeroed(bytes)).collect(),
            scratch: Buffer::zeroed(plan.scratch * size_of::<f32>()),
            first_rows: vec![Cell::new(0); plan.slots.len()],
        }
    }

    /// Computes all steps for some pictures, at most the plan's capacity.
    ///
    /// # Errors
    /// The index of a picture with a value that is not finite.
    pub fn run(
        &mut self,
        engine: &Engine,
        size: &Size,
        pictures: Pictures<'_>,
    ) -> Result<(), usize> {
        let plan = &size.plan;
        let Some(shape) = plan.shapes[ValueId::INPUT.0] else { return Ok(()) };
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: an engine has tile kernels only where tiles are permitted.
        let _tiles = engine.kernels.tiles.map(|_| unsafe { crate::kernels::Tiles::new() });
        let images = pictures.len() / shape.size().max(1);
        let in_one = pictures.are_bf16();
        for image in 0..images {
            let picture = pictures.part(image * shape.size()..(image + 1) * shape.size());
            let pass = Pass {
                workspace: self,
                engine,
                size,
                plan,
                picture,
                in_one,
                first: image,
                images: 1,
            };
            if !plan.chains.iter().any(Chain::copies_input) {
                pass.copy_input(0..shape.height).map_err(|NotFinite| image)?;
            }
            let mut step = 0;
            while step < plan.split {
                if let Some(chain) = plan.chains.iter().find(|chain| chain.steps.start == step) {
                    pass.chain(chain).map_err(|NotFinite| image)?;
                    step = chain.steps.end;
                } else {
                    pass.step(step);
                    step += 1;
                }
            }
        }
        let pass = Pass {
            workspace: self,
            engine,
            size,
            plan,
            picture: pictures,
            in_one,
            first: 0,
            images,
        };
        (plan.split..engine.steps.len()).for_each(|step| pass.step(step));
        Ok(())
    }

    /// The planes of a value, from the place of picture `first` on.
    fn planes(&self, plan: &Plan, value: ValueId, first: usize) -> Option<Planes> {
        let slot = plan.slots[value.0]?;
        let layout = slot.layout;
        let picture = first % layout.capacity * layout.image() * layout.pitch;
        // Where the first rows are no longer kept, the plane would start before its buffer.
        let dropped = self.first_rows[value.0].get() * layout.row() * layout.pitch;
        let skip = picture.wrapping_sub(dropped);
        let block_stride = slot.halves.block_stride();
        let mut planes = Planes { block_stride, ..Planes::absent(slot.layout) };
        if let Some(buffer) = slot.f32 {
            planes.f32 = self.buffers[buffer].plane::<f32>().wrapping_add(skip);
        }
        if let Some(buffer) = slot.bf16 {
            let skip = skip.wrapping_mul(block_stride);
            planes.high = self.buffers[buffer].plane::<u16>().wrapping_add(skip);
            planes.low = match slot.halves {
                Halves::Single => planes.low,
                Halves::Planar => planes.high.wrapping_add(slot.length),
                Halves::Interleaved => planes.high.wrapping_add(CHANNEL_BLOCK),
            };
        }
        Some(planes)
    }

    fn rows(&self, plan: &Plan, part: &Part, first: usize) -> Option<Rows> {
        let (planes, shape) = (self.planes(plan, part.value, first)?, plan.shapes[part.value.0]?);
        let channels = part.channels.clone().unwrap_or(0..shape.channels);
        // SAFETY: the buffers outlive the steps, which take one another's values in turn.
        (!planes.f32.is_null()).then(|| unsafe { Rows::new(planes, channels, part.factor) })
    }
}

/// Some pictures on their way through the steps.
struct Pass<'a> {
    workspace: &'a Workspace,
    engine: &'a Engine,
    size: &'a Size,
    plan: &'a Plan,
    /// The picture, on the way to the split.
    picture: Pictures<'a>,
    /// Whether its values lie in one bf16 plane, and the second would hold zeros.
    in_one: bool,
    /// The first picture's place in the block.
    first: usize,
    images: usize,
}

impl<'a> Pass<'a> {
    /// Computes one step.
    fn step(&self, index: usize) {
        if let Step::Plain { op, inputs, output, .. } = &self.engine.steps[index] {
            if let Some(rows) = self.rows(&Part::whole(*output)) {
                let input = |i: usize| self.rows(inputs.get(i)?);
                (0..self.images).for_each(|image| plain::run(op, &input, rows, image));
                self.round(*output);
            }
        } else {
            self.convolve(index, 0..self.height(index));
        }
    }

    /// Rows of a step's output.
    fn height(&self, index: usize) -> usize {
        let output = self.engine.steps[index].outputs().first().copied();
        output.and_then(|value| self.plan.shapes[value.0]).map_or(0, |shape| shape.height)
    }

    /// Computes the steps of a chain.
    fn chain(&self, chain: &Chain) -> Result<(), NotFinite> {
        let done = chain.tasks.iter().try_for_each(|task| {
            match task {
                BandTask::CopyInput { rows } => self.copy_input(rows.clone())?,
                BandTask::ComputeRows { step, rows } => self.convolve(*step, rows.clone()),
                BandTask::RetainRows { value, rows } => self.retain_rows(*value, rows),
                BandTask::ZeroTopPadding { value } => self.zero_top_padding(*value),
                BandTask::ZeroBottomPadding { value } => self.zero_bottom_padding(*value),
            }
            Ok(())
        });
        self.workspace.first_rows.iter().for_each(|first| first.set(0));
        done
    }

    /// Moves rows of a value to where its first row was.
    fn retain_rows(&self, value: ValueId, rows: &Range<usize>) {
        let Some(from) = self.planes(value) else { return };
        self.workspace.first_rows[value.0].set(rows.start);
        let Some(to) = self.planes(value) else { return };
        let (layout, block_stride) = (to.layout, to.block_stride);
        let (from, to) = (from.at([0, rows.start, 0], 0), to.at([0, rows.start, 0], 0));
        let count = rows.len() * layout.row() * layout.pitch;
        // SAFETY: the schedule makes the planes long enough for the rows that are kept, before
        // and after.
        unsafe {
            if !from.f32.is_null() {
                std::ptr::copy(from.f32, to.f32, count);
            }
            if !from.high.is_null() {
                std::ptr::copy(from.high, to.high, count * block_stride);
            }
            if !from.low.is_null() && block_stride == 1 {
                std::ptr::copy(from.low, to.low, count);
            }
        }
    }

    /// Clears the rows above a value, where the last ones of another picture may have been.
    fn zero_top_padding(&self, value: ValueId) {
        let Some(planes) = self.planes(value) else { return };
        let layout = planes.layout;
        let count = layout.pad * layout.row() * layout.pitch;
        // SAFETY: a plane starts with the zeros above.
        unsafe { planes.row(0).clear(count) };
    }

    /// Clears the rows below a value, where other rows of it may have been.
    fn zero_bottom_padding(&self, value: ValueId) {
        let Some(planes) = self.planes(value) else { return };
        let layout = planes.layout;
        for row in 0..layout.pad {
            let below = planes.row(layout.height + layout.pad + row);
            // SAFETY: the schedule makes the planes long enough for the zeros below the last row.
            unsafe { below.clear((layout.row() + layout.pad) * layout.pitch) };
        }
    }

    /// Computes some rows of a convolution.
    fn convolve(&self, index: usize, rows: Range<usize>) {
        match &self.engine.steps[index] {
            Step::Dense { source, fused, window, .. } => {
                let dense_plan = self.plan.dense[index].as_ref();
                let weights = self.engine.weights(self.size, index);
                if let (Some(dense_plan), Some(weights), Some(source)) =
                    (dense_plan, weights, self.planes(*source))
                {
                    if let (Packed::Winograd { offset, count }, Some(window)) = (weights.0, window)
                    {
                        let weights = weights.1.numbers(offset, count);
                        self.winograd(source, fused, dense_plan, window, weights, rows);
                    } else {
                        self.dense(source, fused, dense_plan, weights, rows);
                    }
                }
            }
            Step::Depthwise { source, weights, pairs, window, rectify, fused, .. } => {
                let shape = fused.main.and_then(|value| self.plan.shapes[value.0]);
                let shape = shape.or_else(|| self.plan.shapes[fused.affine.as_ref()?.0.0]);
                if let (Some(source), Some(shape)) = (self.planes(*source), shape) {
                    let job = Depthwise {
                        source,
                        window: *window,
                        width: shape.width,
                        rows,
                        weights,
                        pairs: *pairs,
                        rectify: *rectify,
                        images: self.images,
                        epilogue: self.epilogue(fused),
                    };
                    // SAFETY: the plan gives every value planes of its shape and layout, with
                    // the padding that its readers need.
                    unsafe { (self.engine.kernels.depthwise)(&job) };
                }
            }
            Step::Plain { .. } => {}
        }
    }

    fn winograd(
        &self,
        source: Planes,
        fused: &Fused,
        dense_plan: &DensePlan,
        window: &Window,
        weights: &[f32],
        rows: Range<usize>,
    ) {
        let epilogue = self.epilogue(fused);
        let job = Winograd {
            source: source.f32,
            layout: source.layout,
            padding: window.padding,
            inputs: weights.len() / (PLACES * epilogue.pitch),
            width: dense_plan.tiling.width,
            rows,
            images: self.images,
            weights,
            scratch: self.workspace.scratch.plane(),
            epilogue,
        };
        // SAFETY: the plan makes the source's plane and the scratch long enough, and gives the
        // outputs planes of their shape.
        unsafe { (self.engine.kernels.winograd)(&job) };
    }

    fn dense(
        &self,
        source: Planes,
        fused: &Fused,
        dense_plan: &DensePlan,
        (packed, buffer): (Packed, &Buffer),
        rows: Range<usize>,
    ) {
        let panels_first = packed.bytes() > RESIDENT_WEIGHTS;
        match packed {
            Packed::F32 { offset, count } => {
                let job = Product {
                    source: source.f32,
                    pitch: source.layout.pitch,
                    tiling: &dense_plan.tiling,
                    segments: &dense_plan.segments,
                    weights: buffer.numbers(offset, count),
                    images: self.images,
                    rows,
                    panels_first,
                    epilogue: self.epilogue(fused),
                };
                // SAFETY: the plan makes the source's plane as long as the tiling loop reaches, and
                // gives the outputs planes of their shape.
                unsafe { (self.engine.kernels.product)(&job) };
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Packed::Tiles { offset, count, panel, parts } => {
                let job = crate::kernels::TileProduct {
                    source: source.high,
                    // Interleaved with the first halves, the second ones are in the same tiles.
                    low: if source.block_stride == 1 { source.low } else { std::ptr::null() },
                    parts,
                    pitch: source.layout.pitch * source.block_stride,
                    tiling: &dense_plan.tiling,
                    window: dense_plan.tiles,
                    weights: buffer.numbers(offset, count),
                    panel,
                    images: self.images,
                    rows,
                    panels_first,
                    epilogue: self.epilogue(fused),
                };
                if let Some(tiles) = self.engine.kernels.tiles {
                    // SAFETY: as above, and `run` holds the tiles of this thread.
                    unsafe { tiles(&job) };
                }
            }
            #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
            Packed::Tiles { .. } => {}
            Packed::Winograd { .. } => {}
        }
    }

    fn epilogue(&self, fused: &'a Fused) -> Epilogue<'a> {
        let planes = |value: ValueId| self.planes(value);
        Epilogue {
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

    /// Fills the bf16 planes of a value from its f32 plane.
    fn round(&self, value: ValueId) {
        let (Some(rows), Some(planes)) = (self.rows(&Part::whole(value)), self.planes(value))
        else {
            return;
        };
        if planes.high.is_null() {
            return;
        }
        let rounded = Planes { f32: std::ptr::null_mut(), ..planes };
        for image in 0..self.images {
            for y in 0..planes.layout.height {
                // SAFETY: the bf16 planes have the layout of the f32 plane.
                unsafe {
                    (self.engine.kernels.write)(rows.row(image, y), rounded.at([image, y, 0], 0));
                }
            }
        }
    }

    fn planes(&self, value: ValueId) -> Option<Planes> {
        let mut planes = self.workspace.planes(self.plan, value, self.first)?;
        if value == ValueId::INPUT && self.in_one {
            planes.low = std::ptr::null_mut();
        }
        Some(planes)
    }

    fn rows(&self, part: &Part) -> Option<Rows> {
        self.workspace.rows(self.plan, part, self.first)
    }
}
