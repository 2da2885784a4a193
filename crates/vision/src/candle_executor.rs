//! Runs a network in candle, on any of its devices: the reference that faster executors must
//! agree with.

mod cpu;
mod device;
mod layer;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, DeviceLocation};
use facefold_engine::{EngineError, Executor, Images, Network, Shape, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

use layer::{Input, Kernels, Layer};

pub use device::{DeviceError, open_device};

/// A network on a candle device.
///
/// Pictures are computed one by one, so that the bits of an embedding do not depend on the batch
/// it came in. On the CPU one call keeps to one core: run one call a core. Candle spreads a
/// matrix product over the rayon pool of its caller; a caller that is in no pool gets one of a
/// single thread, and a caller in a pool shares the pool that it is in. Neither changes a bit. On
/// other devices calls take turns: there candle gives each thread a stream but all of them one
/// cuBLAS handle, and products that run side by side have been seen to give other bits.
pub struct CandleExecutor {
    network: Network,
    layers: Vec<Layer>,
    /// For each value, the last layer that reads it; none for outputs, which are kept.
    last_reader: Vec<Option<usize>>,
    device: Device,
    kernels: Kernels,
}

impl CandleExecutor {
    /// Puts the network's weights on the device.
    ///
    /// # Errors
    /// A network of mismatched shapes, or a device without room for it.
    pub fn new(network: &Network, device: &Device) -> Result<Self, EngineError> {
        let kernels = if device.is_cpu() { Kernels::Cpu } else { Kernels::Portable };
        Self::with_kernels(network, device, kernels)
    }

    fn with_kernels(
        network: &Network,
        device: &Device,
        kernels: Kernels,
    ) -> Result<Self, EngineError> {
        network.validate()?;
        let layers = network.layers.iter().map(|layer| Layer::new(&layer.op, device, kernels));
        let layers = layers.collect::<candle_core::Result<_>>().map_err(|error| failed(&error))?;
        // Threads have streams of their own, which do not wait for this one's copies.
        device.synchronize().map_err(|error| failed(&error))?;
        let mut last_reader = vec![None; network.layers.len() + 1];
        for (index, layer) in network.layers.iter().enumerate() {
            for input in &layer.inputs {
                last_reader[input.0] = Some(index);
            }
        }
        for output in &network.outputs {
            last_reader[output.value.0] = None;
        }
        Ok(Self { network: network.clone(), layers, last_reader, device: device.clone(), kernels })
    }

    fn run_all(&self, images: Images<'_>, shapes: &[Shape]) -> candle_core::Result<Vec<Tensor>> {
        let mut outputs: Vec<Tensor> = (self.network.outputs.iter())
            .map(|output| {
                let shape = shapes[output.value.0];
                let data = Vec::with_capacity(images.count * shape.size());
                Tensor { data, count: images.count, shape }
            })
            .collect();
        for image in images.data.chunks_exact(images.shape.size().max(1)) {
            for (output, values) in outputs.iter_mut().zip(self.run_one(image, shapes)?) {
                output.data.extend(values);
            }
        }
        Ok(outputs)
    }

    fn run_one(&self, image: &[f32], shapes: &[Shape]) -> candle_core::Result<Vec<Vec<f32>>> {
        let Shape { channels, height, width } = shapes[0];
        let image =
            candle_core::Tensor::from_slice(image, (height, width, channels), &self.device)?;
        let mut values = vec![Some(image.permute((2, 0, 1))?.contiguous()?)];
        for (index, (layer, described)) in self.layers.iter().zip(&self.network.layers).enumerate()
        {
            let mut inputs = Vec::with_capacity(described.inputs.len());
            for input in &described.inputs {
                let last_use = self.last_reader[input.0] == Some(index);
                match &values[input.0] {
                    Some(tensor) => inputs.push(Input { tensor: tensor.clone(), last_use }),
                    None => candle_core::bail!("value {} is gone before its last use", input.0),
                }
            }
            let output = layer.compute(&inputs, shapes[index + 1], self.kernels)?;
            for input in &described.inputs {
                if self.last_reader[input.0] == Some(index) {
                    values[input.0] = None;
                }
            }
            values.push(Some(output));
        }
        let outputs = self.network.outputs.iter().map(|output| match &values[output.value.0] {
            Some(value) => value.permute((1, 2, 0))?.flatten_all()?.to_vec1(),
            None => candle_core::bail!("output `{}` is gone", output.name),
        });
        outputs.collect()
    }
}

impl Executor for CandleExecutor {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        let shapes = self.network.shapes(images.shape.height, images.shape.width)?;
        let expected = images.count * shapes[0].size();
        if images.data.len() != expected || images.shape.channels != shapes[0].channels {
            return Err(EngineError::Batch { expected, found: images.data.len() });
        }
        let run = || self.run_all(images, &shapes).map_err(|error| failed(&error));
        if self.device.is_cpu() {
            return on_one_thread(run)?;
        }
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        run()
    }

    fn describe(&self) -> String {
        match self.device.location() {
            DeviceLocation::Cpu => "candle f32 (cpu)".to_owned(),
            DeviceLocation::Cuda { gpu_id } => format!("candle f32 (cuda:{gpu_id})"),
            DeviceLocation::Metal { .. } => "candle f32 (metal)".to_owned(),
        }
    }
}

/// Held by the call that has the device. One for all executors: those on a device share handles.
static TURN: Mutex<()> = Mutex::new(());

fn failed(error: &candle_core::Error) -> EngineError {
    EngineError::Device(error.to_string())
}

thread_local! {
    /// One thread for candle's matrix products: they split their work over the pool they run in,
    /// and with one picture a core there is no idle core to share it with.
    static ONE_THREAD: OnceCell<ThreadPool> = const { OnceCell::new() };
}

fn on_one_thread<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, EngineError> {
    // From inside a pool, waiting for another would let this thread pick up further pictures
    // meanwhile, nested one in the other.
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    ONE_THREAD.with(|cell| {
        if let Some(pool) = cell.get() {
            return Ok(pool.install(work));
        }
        let built = ThreadPoolBuilder::new().num_threads(1).build();
        let built = built.map_err(|error| EngineError::Device(error.to_string()))?;
        Ok(cell.get_or_init(|| built).install(work))
    })
}
