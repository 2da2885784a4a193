//! The fast executor: a network lowered to few steps, its weights packed for this machine's
//! kernels, its memory planned once for each picture size.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use facefold_kernels::Kernel;
use facefold_kernels::buffer::{Buffer, LINE};

use crate::executor::{ByteImages, EngineError, Executor, Images, Tensor, are_finite, check_size};
use crate::kernels::Kernels;
use crate::layout::{CHANNEL_BLOCK, Halves};
use crate::lower::{Lowered, Part, Step, fuse_relu_into_depthwise, lower};
use crate::network::{Network, Shape, ValueId};
use crate::pack::{self, TILE_DEPTH};
use crate::plan::{Plan, Request, halves, input_pitch};
use crate::precision::Precision;
use crate::workspace::{Pictures, Workspace};

/// Runs a network on the CPU, one thread a call.
///
/// Calls from several threads run side by side, each in a workspace of its own. Workspaces and
/// plans are kept for the next call with pictures of that size.
#[derive(Debug)]
pub struct Engine {
    name: String,
    input_channels: usize,
    values: usize,
    outputs: Vec<Part>,
    pub(crate) steps: Vec<Step>,
    /// By step: whether it runs on matrix tiles.
    tiles: Vec<bool>,
    /// Weights of dense steps whose window does not depend on the picture's size.
    weights: Weights,
    kernel: Kernel,
    pub(crate) kernels: Kernels,
    precision: Precision,
    sizes: Mutex<HashMap<[usize; 2], Arc<Size>>>,
}

/// Where the packed weights of a dense step are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packed {
    /// Bytes from the start of the buffer, and elements.
    F32 { offset: usize, count: usize },
    /// The same, the elements of a panel, and the bf16 planes of the weights.
    Tiles { offset: usize, count: usize, panel: usize, parts: usize },
    /// As for f32, transformed.
    Winograd { offset: usize, count: usize },
}

impl Packed {
    /// Bytes of all weights.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 { count, .. } | Self::Winograd { count, .. } => count * size_of::<f32>(),
            Self::Tiles { count, .. } => count * size_of::<u16>(),
        }
    }
}

/// Packed weights of some steps.
#[derive(Debug)]
pub(crate) struct Weights {
    /// By step.
    packed: Vec<Option<Packed>>,
    buffer: Buffer,
}

/// What one picture size needs.
#[derive(Debug)]
pub(crate) struct Size {
    pub plan: Plan,
    /// Weights of dense steps whose window is the whole picture.
    weights: Weights,
    /// Workspaces that no call uses at the moment.
    idle: Mutex<Vec<Workspace>>,
}

impl Engine {
    /// Lowers and packs a network for a family of kernels. bf16 precisions need matrix tiles: on
    /// other kernels f32 stands in for them ([`Precision::on`]).
    ///
    /// # Errors
    /// A network that does not hold together, or kernels that this machine cannot run.
    pub fn new(
        network: &Network,
        precision: Precision,
        kernel: Kernel,
    ) -> Result<Self, EngineError> {
        network.validate()?;
        let precision = precision.on(kernel.checked()?);
        // Without products on tiles the rest of that family is plain AVX-512.
        let kernel = match (kernel, precision) {
            (Kernel::Amx, Precision::F32) => Kernel::Avx512,
            _ => kernel,
        };
        let Lowered { mut steps, outputs, values } = lower(network);
        let tiles: Vec<bool> =
            (0..steps.len()).map(|step| runs_on_tiles(&steps, step, precision)).collect();
        fuse_relu_into_depthwise(&mut steps, &outputs, &tiles);
        let mut engine = Self {
            name: network.name.clone(),
            input_channels: network.input_channels,
            values,
            outputs,
            steps: Vec::new(),
            tiles,
            weights: Weights { packed: Vec::new(), buffer: Buffer::zeroed(0) },
            kernel,
            kernels: Kernels::of(kernel),
            precision,
            sizes: Mutex::default(),
        };
        engine.weights = engine.pack(&steps, None);
        for step in &mut steps {
            if let Step::Dense { weights, window: Some(_), .. } = step {
                *weights = Vec::new();
            }
        }
        engine.steps = steps;
        Ok(engine)
    }

    /// The engine with the kernels of [`Kernel::choose`] in their default precision.
    ///
    /// # Errors
    /// As for [`Self::new`] and [`Kernel::choose`].
    pub fn with_defaults(network: &Network) -> Result<Self, EngineError> {
        let kernel = Kernel::choose()?;
        Self::new(network, Precision::default_for(kernel), kernel)
    }

    /// The kernels in use.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The precision in use: f32 where a bf16 precision was asked for and there are no tiles.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Packs the weights of the dense steps whose window is known: their own, or, given the
    /// shapes of all values, the whole picture.
    fn pack(&self, steps: &[Step], shapes: Option<&[Option<Shape>]>) -> Weights {
        let unpacked: Vec<Option<(pack::Weights<'_>, usize, Halves)>> = steps
            .iter()
            .map(|step| {
                let Step::Dense { source, weights, window, fused, .. } = step else { return None };
                let kernel = match (window, shapes) {
                    (Some(window), None) => window.kernel,
                    (None, Some(shapes)) => {
                        shapes[source.0].map(|shape| [shape.height, shape.width])?
                    }
                    _ => return None,
                };
                let outputs = fused.channels;
                let inputs = weights.len() / (outputs * kernel[0] * kernel[1]);
                let pitch = match *source {
                    ValueId::INPUT => input_pitch(steps, inputs),
                    _ => inputs.next_multiple_of(CHANNEL_BLOCK),
                };
                let weights = pack::Weights { values: weights, outputs, inputs, kernel };
                Some((weights, pitch, halves(self.precision, *source, pitch)))
            })
            .collect();
        let mut end = 0;
        let places =
            unpacked.iter().zip(steps).zip(&self.tiles).map(|((unpacked, step), &tiles)| {
                let (weights, pitch, halves) = unpacked.as_ref()?;
                let offset = end;
                let packed = if !tiles && step.suits_winograd() {
                    Packed::Winograd { offset, count: weights.winograd_length() }
                } else if tiles {
                    let count = weights.tiles_length(*pitch, *halves);
                    let panel = weights.tile_panel(*pitch, *halves);
                    Packed::Tiles { offset, count, panel, parts: halves.count() }
                } else {
                    Packed::F32 { offset, count: weights.panels_length() }
                };
                end = (end + packed.bytes()).next_multiple_of(LINE);
                Some(packed)
            });
        let packed: Vec<Option<Packed>> = places.collect();
        let mut buffer = Buffer::zeroed(end);
        for (packed, unpacked) in packed.iter().zip(&unpacked) {
            let (Some(packed), Some((weights, pitch, halves))) = (packed, unpacked) else {
                continue;
            };
            match *packed {
                Packed::F32 { offset, count } => {
                    weights.panels(self.kernels.lanes, buffer.numbers_mut(offset, count));
                }
                Packed::Winograd { offset, count } => {
                    weights.winograd(self.kernels.lanes, buffer.numbers_mut(offset, count));
                }
                Packed::Tiles { offset, count, .. } => {
                    weights.tiles(*pitch, *halves, buffer.numbers_mut(offset, count));
                }
            }
        }
        Weights { packed, buffer }
    }

    /// The weights of a dense step.
    pub(crate) fn weights<'a>(
        &'a self,
        size: &'a Size,
        step: usize,
    ) -> Option<(Packed, &'a Buffer)> {
        [&self.weights, &size.weights]
            .into_iter()
            .find_map(|weights| Some((weights.packed[step]?, &weights.buffer)))
    }

    /// What pictures of a shape need, made on the first call with that shape.
    fn size(&self, input: Shape) -> Result<Arc<Size>, EngineError> {
        let key = [input.height, input.width];
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(size) = sizes.get(&key) {
            return Ok(Arc::clone(size));
        }
        let request = Request {
            network: &self.name,
            steps: &self.steps,
            outputs: &self.outputs,
            values: self.values,
            input,
            kernels: self.kernels,
            precision: self.precision,
            tiles: &self.tiles,
        };
        let plan = request.plan()?;
        let weights = self.pack(&self.steps, Some(&plan.shapes));
        let size = Arc::new(Size { plan, weights, idle: Mutex::default() });
        sizes.insert(key, Arc::clone(&size));
        Ok(size)
    }
}

impl Engine {
    fn run_pictures(
        &self,
        pictures: Pictures<'_>,
        count: usize,
        shape: Shape,
    ) -> Result<Vec<Tensor>, EngineError> {
        check_size(pictures.len(), count, shape, self.input_channels)?;
        let size = self.size(shape)?;
        let mut outputs: Vec<Tensor> = self
            .outputs
            .iter()
            .filter_map(|part| part.shape(&size.plan.shapes))
            .map(|shape| Tensor { data: Vec::with_capacity(count * shape.size()), count, shape })
            .collect();
        let idle = || size.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut workspace = waiting.unwrap_or_else(|| Workspace::new(&size.plan));
        for first in (0..count).step_by(size.plan.capacity) {
            let block = size.plan.capacity.min(count - first);
            let values = first * shape.size()..(first + block) * shape.size();
            if let Err(picture) = workspace.run(self, &size, pictures.part(values)) {
                idle().push(workspace);
                return Err(EngineError::NotFinite { picture: first + picture });
            }
            for (tensor, part) in outputs.iter_mut().zip(&self.outputs) {
                workspace.read(&size.plan, part, block, &mut tensor.data);
            }
        }
        idle().push(workspace);
        Ok(outputs)
    }
}

impl Executor for Engine {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        self.run_pictures(Pictures::Values(images.data), images.count, images.shape)
    }

    fn run_bytes(&self, images: ByteImages<'_>) -> Result<Vec<Tensor>, EngineError> {
        let scaling = [images.mean, images.scale];
        if images.count > 0 && !are_finite(&scaling) {
            return Err(EngineError::NotFinite { picture: 0 });
        }
        let pictures = Pictures::Bytes(images.data, scaling);
        self.run_pictures(pictures, images.count, images.shape)
    }

    fn describe(&self) -> String {
        format!("engine {} ({})", self.precision, self.kernel)
    }
}

/// Whether a step is faster on matrix tiles than in f32 registers, by cycles a window as they were
/// measured: three quarters for each value and 16 outputs in registers; on tiles two for each 32
/// values and 16 outputs, and 15 for each 16 channels that are stored in bf16 only for it.
fn runs_on_tiles(steps: &[Step], index: usize, precision: Precision) -> bool {
    let Step::Dense { source, weights_count, window, fused, .. } = &steps[index] else {
        return false;
    };
    let Some(window) = window else { return precision != Precision::F32 };
    let depth = weights_count / fused.channels;
    let inputs = depth / (window.kernel[0] * window.kernel[1]);
    let products = match (precision, *source) {
        (Precision::Bf16x3, source) if source != ValueId::INPUT => 3,
        // Of pictures in bytes.
        (_, ValueId::INPUT) => 2,
        _ => 1,
    };
    let rows = window.kernel[0] * (window.kernel[1] * inputs).div_ceil(TILE_DEPTH);
    let outputs = fused.channels.div_ceil(16);
    let registers = depth * outputs * 3 / 4;
    let others = || (0..steps.len()).filter(|&other| other != index).map(|other| &steps[other]);
    let shared = others()
        .any(|other| matches!(other, Step::Dense { .. }) && other.source() == Some(*source));
    let stored = if !shared && others().any(|other| other.inputs().contains(source)) {
        15 * inputs.div_ceil(16) * window.stride * window.stride
    } else {
        0
    };
    precision != Precision::F32 && 2 * rows * products * outputs + stored < registers
}
