//! Embeds crops from a .npy file with candle on one core: `embed_crops MODEL.onnx CROPS.npy
//! EMBEDDINGS.npy`. What `scripts/parity.py run` compares with onnxruntime.
#![allow(clippy::print_stderr)]

#[path = "../tests/support/npy.rs"]
mod npy;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Device;
use facefold_engine::{Executor, Images, Shape};
use facefold_vision::candle_executor::CandleExecutor;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, crops, embeddings] = paths.as_slice() else {
        return Err("expected MODEL.onnx CROPS.npy EMBEDDINGS.npy".into());
    };
    let network = facefold_onnx::import(&fs_err::read(model)?)?;
    let executor = CandleExecutor::new(&network, &Device::Cpu)?;
    let (count, bytes) = npy::read_crops(crops)?;
    let data: Vec<f32> = bytes.iter().map(|&byte| (f32::from(byte) - 127.5) / 127.5).collect();
    let shape = Shape { channels: 3, height: 112, width: 112 };
    let start = Instant::now();
    let outputs = executor.run(Images { data: &data, count, shape })?;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    eprintln!("{}: {count} crops, {rate:.1} a second", executor.describe());
    npy::write_rows(embeddings, &outputs[0].data, outputs[0].shape.channels)?;
    Ok(())
}
