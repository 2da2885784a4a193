//! Measures one stage of the pipeline at a time for `scripts/bench_peers.py`: a request a line on
//! standard input, a response a line on standard output, both JSON.
//!
//! - `{"stage": "load", "folder", "count", "detector"}`: read, decode, detect and align these
//!   pictures once;
//! - `{"stage": "decode" | "detect" | "align" | "embed" | "network", "threads", "rounds", ...}`: do
//!   that for all of them on so many threads. `detect` and `embed` take `model`, `precision` and
//!   `kernel`, `embed` a `batch`; `network` also a `side`, and runs the network alone on noise,
//!   with `bytes` true on bytes that it scales;
//! - `{"stage": "export", "model", "architecture"}`: write an untrained network to that file.
//!
//! Responses have the pictures done, the wall-clock seconds and the processor seconds of the
//! threads.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures")]

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use facefold_engine::{
    ByteImages, Engine, EngineError, Executor, Images, Kernel, Network, Precision, Shape, Tensor,
};
use facefold_vision::align::{Crop, align};
use facefold_vision::decode::{Limits, decode, inspect};
use facefold_vision::detect::Detector;
use facefold_vision::extractor::Embedder;
use facefold_vision::networks::{Architecture, Untrained};
use image::RgbImage;
use serde_json::{Value, json};

type Failure = Box<dyn Error>;

/// One picture at every stage.
struct Sample {
    bytes: Vec<u8>,
    picture: RgbImage,
    landmarks: [[f32; 2]; 5],
    crop: Crop,
}

/// An engine that several stages share.
struct Shared(Arc<Engine>);

impl Executor for Shared {
    fn run(&self, images: Images<'_>) -> Result<Vec<Tensor>, EngineError> {
        self.0.run(images)
    }

    fn run_bytes(&self, images: ByteImages<'_>) -> Result<Vec<Tensor>, EngineError> {
        self.0.run_bytes(images)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[derive(Default)]
struct Bench {
    samples: Vec<Sample>,
    networks: HashMap<PathBuf, Arc<Network>>,
    engines: HashMap<String, Arc<Engine>>,
}

impl Bench {
    fn process(&mut self, request: &Value) -> Result<Value, Failure> {
        let text = |name: &str| request[name].as_str().ok_or(format!("expected `{name}`"));
        let number = |name: &str| request[name].as_u64().map_or(1, |number| number as usize);
        let (threads, rounds, batch) = (number("threads"), number("rounds"), number("batch"));
        match text("stage")? {
            "load" => self.load(request, Path::new(text("folder")?), number("count")),
            "export" => {
                let architecture = match text("architecture")? {
                    "iresnet50" => Architecture::IResNet50,
                    "mobile_facenet" => Architecture::MobileFaceNet,
                    other => return Err(format!("no network for `{other}`").into()),
                };
                let network = architecture.build(&mut Untrained { seed: 7 });
                fs_err::write(text("model")?, facefold_onnx::export(&network, 112, 112)?)?;
                Ok(json!({}))
            }
            "decode" => Ok(measure(threads, rounds * self.samples.len(), 1, |range| {
                for index in range {
                    let sample = &self.samples[index % self.samples.len()];
                    let inspected = inspect(&sample.bytes, &Limits::default());
                    inspected.unwrap().decode().unwrap();
                }
            })),
            "align" => Ok(measure(threads, rounds * self.samples.len(), 1, |range| {
                for index in range {
                    let sample = &self.samples[index % self.samples.len()];
                    align(&sample.picture, &sample.landmarks).unwrap();
                }
            })),
            "detect" => {
                let (network, engine) = self.engine(request)?;
                let detector = Detector::new(&network, Box::new(engine))?;
                Ok(measure(threads, rounds * self.samples.len(), 1, |range| {
                    for index in range {
                        detector.detect(&self.samples[index % self.samples.len()].picture).unwrap();
                    }
                }))
            }
            "embed" => {
                let (network, engine) = self.engine(request)?;
                let embedder = Embedder::new(&network, Box::new(engine))?;
                let crops: Vec<Crop> =
                    (0..batch).flat_map(|_| self.samples.iter().map(|s| s.crop.clone())).collect();
                Ok(measure(threads, rounds * self.samples.len(), batch, |range| {
                    let start = range.start % self.samples.len();
                    for embedded in embedder.embed(&crops[start..start + range.len()]).unwrap() {
                        embedded.unwrap();
                    }
                }))
            }
            "network" => {
                let (_, engine) = self.engine(request)?;
                let side = number("side");
                let shape = Shape { channels: 3, height: side, width: side };
                let noise = (0..batch * shape.size()).map(|i| (i * 7919 % 2017) as u8);
                let bytes: Vec<u8> = noise.collect();
                let all = ByteImages {
                    data: &bytes,
                    count: batch,
                    shape,
                    mean: 127.5,
                    scale: 1.0 / 128.0,
                };
                let values = all.scaled();
                let in_bytes = request["bytes"] == true;
                Ok(measure(threads, rounds, batch, |range| {
                    let (count, size) = (range.len(), range.len() * shape.size());
                    let outputs = if in_bytes {
                        engine.run_bytes(ByteImages { data: &bytes[..size], count, ..all })
                    } else {
                        engine.run(Images { data: &values[..size], count, shape })
                    };
                    outputs.unwrap();
                }))
            }
            other => Err(format!("no stage is called `{other}`").into()),
        }
    }

    /// Reads pictures, evenly spread over a folder's names, and takes those with a face.
    fn load(&mut self, request: &Value, folder: &Path, count: usize) -> Result<Value, Failure> {
        let mut paths: Vec<PathBuf> = fs_err::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, Failure>>()?;
        paths.sort();
        let step = (paths.len() / count).max(1);
        let detector = json!({"model": request["detector"]});
        let (network, engine) = self.engine(&detector)?;
        let detector = Detector::new(&network, Box::new(engine))?;
        self.samples.clear();
        let mut names = Vec::new();
        for path in paths.into_iter().step_by(step).take(count) {
            let bytes = fs_err::read(&path)?;
            let decoded = decode(&bytes, &Limits::default());
            let picture =
                decoded.map_err(|rejection| format!("{}: {rejection:?}", path.display()))?;
            let Some(face) = detector.detect(&picture)?.faces.first().copied() else { continue };
            let Ok(crop) = align(&picture, &face.landmarks) else { continue };
            self.samples.push(Sample { bytes, picture, landmarks: face.landmarks, crop });
            names.push(path);
        }
        Ok(json!({"pictures": names}))
    }

    /// The engine of a request's model, precision and kernel; the defaults where it names none.
    fn engine(&mut self, request: &Value) -> Result<(Arc<Network>, Shared), Failure> {
        let path = PathBuf::from(request["model"].as_str().ok_or("expected `model`")?);
        if !self.networks.contains_key(&path) {
            let network = facefold_onnx::import(&fs_err::read(&path)?)?;
            self.networks.insert(path.clone(), Arc::new(network));
        }
        let network = Arc::clone(&self.networks[&path]);
        let kernel = match request["kernel"].as_str() {
            Some(name) => name.parse()?,
            None => Kernel::choose()?,
        };
        let precision: Precision = match request["precision"].as_str() {
            Some(name) => name.parse()?,
            None => Precision::default_for(kernel),
        };
        let key = format!("{} {kernel} {precision}", path.display());
        if !self.engines.contains_key(&key) {
            let engine = Engine::new(&network, precision, kernel)?;
            self.engines.insert(key.clone(), Arc::new(engine));
        }
        Ok((network, Shared(Arc::clone(&self.engines[&key]))))
    }
}

/// Does `count` pictures, `batch` at a time, on some threads.
fn measure(
    threads: usize,
    count: usize,
    batch: usize,
    work: impl Fn(std::ops::Range<usize>) + Sync,
) -> Value {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let worker = || {
        let before = processor_seconds();
        loop {
            let first = next.fetch_add(batch, Ordering::Relaxed);
            if first >= count {
                return processor_seconds() - before;
            }
            work(first..count.min(first + batch));
        }
    };
    let processor: f64 = if threads == 1 {
        worker()
    } else {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        })
    };
    json!({"pictures": count, "wall": start.elapsed().as_secs_f64(), "processor": processor})
}

/// Processor time of this thread (Linux; nothing elsewhere).
fn processor_seconds() -> f64 {
    let schedule = fs_err::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = schedule.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}

fn main() -> Result<(), Failure> {
    let mut bench = Bench::default();
    for line in std::io::stdin().lock().lines() {
        println!("{}", bench.process(&serde_json::from_str(&line?)?)?);
    }
    Ok(())
}
