//! An embedding's bits do not depend on how many threads the machine offers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::Command;

use candle_core::Device;
use facefold_engine::{Executor, Images, Shape};
use facefold_vision::candle_executor::CandleExecutor;
use facefold_vision::networks::{Architecture, Untrained};

const ASKED: &str = "FACEFOLD_TEST_PRINT_BITS";

fn embedding_bits() -> String {
    let network = Architecture::MobileFaceNet.build(&mut Untrained { seed: 1 });
    let executor = CandleExecutor::new(&network, &Device::Cpu).unwrap();
    let shape = Shape { channels: 3, height: 112, width: 112 };
    let data: Vec<f32> = (0..shape.size()).map(|i| (i % 251) as f32 / 125.0 - 1.0).collect();
    let output = executor.run(Images { data: &data, count: 1, shape }).unwrap().remove(0);
    let bits: Vec<u8> = output.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    blake3::hash(&bits).to_hex().to_string()
}

/// candle splits its matrix products by the number of threads, which it reads from the
/// environment: so each number gets a process of its own, which is this test again.
#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    if std::env::var_os(ASKED).is_some() {
        println!("bits={}", embedding_bits());
        return;
    }
    let expected = embedding_bits();
    for threads in ["1", "2", "7"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "bits_do_not_depend_on_the_number_of_threads", "--nocapture"])
            .env(ASKED, "1")
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("bits={expected}")), "{threads} threads: {said}");
    }
}
