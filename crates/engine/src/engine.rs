//! The fast executor: a network lowered to few steps, its weights packed for this machine's
//! kernels, its memory planned once for each picture size.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::buffer::Numbers;
use crate::cpu::{Kernel, Precision};
use crate::executor::{EngineError, Executor, Images, Tensor};
use crate::kernels::Kernels;
use crate::lower::{Step, lower};
use crate::network::{Network, Shape, ValueId};
use crate::pack::Weights;
use crate::plan::{Plan, Request, input_pitch, parts};
use crate::workspace::Workspace;

/// Runs a network on the CPU, one thread a call.
///
/// Calls from several threads run side by side, each in a workspace of its own. Workspaces and
/// plans are kept for the next call with pictures of that size.
#[derive(Debug)]
pub struct Engine {
    name: String,
    input_channels: usize,
    values: usize,
    outputs: Vec<ValueId>,
    pub(crate) steps: Vec<Step>,
    /// By step; of dense steps whose window does not depend on the picture's size.
    packed: Vec<Option<Packed>>,
    kernel: Kernel,
    pub(crate) kernels: Kernels,
    precision: Precision,
    sizes: Mutex<HashMap<[usize; 2], Arc<Size>>>,
}

/// The packed weights of a dense step.
#[derive(Debug)]
pub(crate) enum Packed {
    F32(Numbers<f32>),
    Tiles {
        weights: Numbers<u16>,
        /// Elements of a panel.
        panel: usize,
    },
}

impl Packed {
    /// Bytes of all weights.
    pub fn bytes(&self) -> usize {
        match self {
            Self::F32(weights) => size_of_val(weights.as_slice()),
            Self::Tiles { weights, .. } => size_of_val(weights.as_slice()),
        }
    }
}

/// What one picture size needs.
#[derive(Debug)]
pub(crate) struct Size {
    pub plan: Plan,
    /// By step; of dense steps whose window is the whole picture.
    packed: Vec<Option<Packed>>,
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
        let mut engine = Self {
            name: network.name.clone(),
            input_channels: network.input_channels,
            values: network.layers.len() + 1,
            outputs: network.outputs.iter().map(|output| output.value).collect(),
            steps: lower(network),
            packed: Vec::new(),
            kernel,
            kernels: Kernels::of(kernel),
            precision,
            sizes: Mutex::default(),
        };
        engine.packed = (0..engine.steps.len()).map(|step| engine.pack(step, None)).collect();
        for step in &mut engine.steps {
            if let Step::Dense { weights, window: Some(_), .. } = step {
                *weights = Vec::new();
            }
        }
        Ok(engine)
    }

    /// The engine with the kernels of [`Kernel::choose`] in their default precision.
    ///
    /// # Errors
    /// As for [`Self::new`] and [`Kernel::choose`].
    pub fn with_defaults(network: &Network) -> Result<Self, EngineError> {
        let kernel = Kernel::choose()?;
        Self::new(network, kernel.default_precision(), kernel)
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

    /// Packs the weights of a dense step, where its window is known: its own, or `whole`.
    fn pack(&self, step: usize, whole: Option<Shape>) -> Option<Packed> {
        let Step::Dense { source, weights, window, fused, .. } = &self.steps[step] else {
            return None;
        };
        let kernel = match (window, whole) {
            (Some(window), None) => window.kernel,
            (None, Some(shape)) => [shape.height, shape.width],
            _ => return None,
        };
        let outputs = fused.channels;
        let inputs = weights.len() / (outputs * kernel[0] * kernel[1]);
        let weights = Weights { values: weights, outputs, inputs, kernel };
        if self.precision == Precision::F32 {
            return Some(Packed::F32(weights.panels(self.kernels.lanes)));
        }
        let pitch = self.pitch(*source, inputs);
        let parts = parts(self.precision, *source);
        let panel = weights.tile_panel(pitch, parts);
        Some(Packed::Tiles { weights: weights.tiles(pitch, parts), panel })
    }

    fn pitch(&self, value: ValueId, channels: usize) -> usize {
        if value == ValueId::INPUT {
            input_pitch(&self.steps, channels)
        } else {
            channels.next_multiple_of(crate::layout::CHANNEL_BLOCK)
        }
    }

    /// The weights of a dense step.
    pub(crate) fn weights<'a>(&'a self, size: &'a Size, step: usize) -> Option<&'a Packed> {
        self.packed[step].as_ref().or(size.packed[step].as_ref())
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
        };
        let plan = request.plan()?;
        let packed = (0..self.steps.len())
            .map(|step| {
                let whole = self.steps[step].source().and_then(|source| plan.shapes[source.0]);
                self.pack(step, whole)
            })
            .collect();
        let size = Arc::new(Size { plan, packed, idle: Mutex::default() });
        sizes.insert(key, Arc::clone(&size));
        Ok(size)
    }
}

impl Executor for Engine {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        images.check(self.input_channels)?;
        let size = self.size(images.shape)?;
        let mut outputs: Vec<Tensor> = self
            .outputs
            .iter()
            .filter_map(|value| size.plan.shapes[value.0])
            .map(|shape| Tensor {
                data: Vec::with_capacity(images.count * shape.size()),
                count: images.count,
                shape,
            })
            .collect();
        let idle = || size.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut workspace = waiting.unwrap_or_else(|| Workspace::new(&size.plan));
        let block = size.plan.capacity * images.shape.size();
        for pictures in images.data.chunks(block.max(1)) {
            workspace.run(self, &size, pictures);
            for (tensor, value) in outputs.iter_mut().zip(&self.outputs) {
                let count = pictures.len() / images.shape.size().max(1);
                workspace.read(&size.plan, *value, count, &mut tensor.data);
            }
        }
        idle().push(workspace);
        Ok(outputs)
    }

    fn describe(&self) -> String {
        format!("engine {} ({})", self.precision, self.kernel)
    }
}
