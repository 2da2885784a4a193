//! Each kernel on the layer shapes of the networks, in GFLOP/s, compared with what the machine
//! reaches with registers alone: `cargo bench -p facefold-engine`. Operations are counted as the
//! layers are defined, so 3x3 layers computed with fewer products can exceed the peak.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that reports")]

use std::time::{Duration, Instant};

use facefold_engine::{
    Convolution, Engine, Executor, Images, Kernel, Network, Op, Precision, Shape, ValueId,
};

/// A convolution layer: name, input channels, output channels, kernel, stride, side of the
/// picture, groups.
type LayerShape = (&'static str, usize, usize, usize, usize, usize, usize);

const LAYERS: [LayerShape; 9] = [
    ("MobileFaceNet 1x1", 128, 128, 1, 1, 28, 1),
    ("MobileFaceNet 1x1", 256, 256, 1, 1, 14, 1),
    ("MobileFaceNet depthwise", 128, 128, 3, 1, 28, 128),
    ("MobileFaceNet pairs", 128, 128, 3, 1, 56, 64),
    ("IResNet 3x3", 64, 64, 3, 1, 56, 1),
    ("IResNet 3x3", 256, 256, 3, 1, 14, 1),
    ("IResNet 3x3, stride 2", 128, 128, 3, 2, 56, 1),
    ("SCRFD stem", 3, 16, 3, 2, 320, 1),
    ("SCRFD 1x1", 72, 72, 1, 1, 80, 1),
];

fn network(
    (name, inputs, outputs, kernel, stride, side, groups): LayerShape,
) -> (Network, Shape, f64) {
    let weights = outputs * (inputs / groups) * kernel * kernel;
    let mut network = Network::new(name, inputs);
    let layer = Op::Convolution(Convolution {
        weight: (0..weights).map(|i| ((i % 17) as f32 / 17.0 - 0.5) / 64.0).collect(),
        bias: vec![0.1; outputs],
        input_channels: inputs,
        output_channels: outputs,
        kernel: [kernel; 2],
        stride,
        padding: kernel / 2,
        groups,
    });
    // Several in a row where they fit: the first one takes the picture, which has planes of its
    // own kind.
    let layers = if inputs == outputs && stride == 1 { 8 } else { 1 };
    let mut x = ValueId::INPUT;
    for _ in 0..layers {
        x = network.push(name, layer.clone(), &[x]);
        x = network.push("prelu", Op::PRelu(vec![0.25; outputs]), &[x]);
    }
    // Pooled, so that copying the outputs does not count.
    let x = network.push("moments", Op::Moments, &[x]);
    network.output("x", x);
    let shape = Shape { channels: inputs, height: side, width: side };
    let pixels = side.div_ceil(stride).pow(2);
    (network, shape, 2.0 * (layers * pixels * weights) as f64)
}

/// The shortest of many runs, in seconds: other work on the machine only adds.
fn shortest(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while start.elapsed() < Duration::from_millis(300) || runs < 10 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

#[cfg(target_arch = "x86_64")]
mod peak {
    use std::arch::asm;

    const ROUNDS: usize = 20_000;

    /// Twelve independent sums a round, in the named registers.
    macro_rules! sums {
        ($name:ident, $register:literal, $lanes:literal) => {
            pub fn $name() -> f64 {
                let seconds = super::shortest(|| {
                    // SAFETY: called where the processor has the registers; they are declared
                    // as overwritten, and denormals or infinities in them only cost time.
                    unsafe {
                        asm!(
                            concat!("vxorps ", $register, "14,", $register, "14,", $register, "14"),
                            "2:",
                            concat!("vfmadd231ps ", $register, "0,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "1,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "2,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "3,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "4,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "5,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "6,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "7,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "8,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "9,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "10,", $register, "14,", $register, "14"),
                            concat!("vfmadd231ps ", $register, "11,", $register, "14,", $register, "14"),
                            "dec {rounds}",
                            "jnz 2b",
                            rounds = inout(reg) ROUNDS => _,
                            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                            out("xmm14") _,
                        );
                    }
                });
                (ROUNDS * 12 * $lanes * 2) as f64 / seconds / 1e9
            }
        };
    }
    sums!(avx2, "ymm", 8);
    sums!(avx512, "zmm", 16);

    /// Four independent sums of tiles a round.
    #[cfg(target_os = "linux")]
    pub fn amx() -> f64 {
        let mut configuration = [0_u8; 64];
        configuration[0] = 1;
        for tile in 0..8 {
            configuration[16 + 2 * tile] = 64;
            configuration[48 + tile] = 16;
        }
        let seconds = super::shortest(|| {
            // SAFETY: called where the engine has found tiles to be permitted.
            unsafe {
                asm!(
                    "ldtilecfg [{configuration}]",
                    "2:",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "dec {rounds}",
                    "jnz 2b",
                    "tilerelease",
                    configuration = in(reg) configuration.as_ptr(),
                    rounds = inout(reg) ROUNDS => _,
                );
            }
        });
        (ROUNDS * 4 * 16 * 16 * 32 * 2) as f64 / seconds / 1e9
    }
}

/// What a kernel's arithmetic reaches with registers alone, where there is a loop for it.
fn peak(kernel: Kernel) -> Option<f64> {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => Some(peak::avx2()),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => Some(peak::avx512()),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Kernel::Amx => Some(peak::amx()),
        _ => None,
    }
}

fn main() {
    for kernel in Kernel::available() {
        match peak(kernel) {
            Some(peak) => println!("{kernel}: registers alone {peak:.0} GFLOP/s"),
            None => println!("{kernel}: no loop for its registers"),
        }
        for precision in [Precision::F32, Precision::Bf16x3, Precision::Bf16] {
            if precision.on(kernel) != precision
                || (kernel, precision) == (Kernel::Amx, Precision::F32)
            {
                continue;
            }
            for layer in LAYERS {
                let (network, shape, work) = network(layer);
                let engine = Engine::new(&network, precision, kernel).unwrap();
                let data: Vec<f32> = (0..shape.size()).map(|i| (i % 251) as f32 / 251.0).collect();
                let images = Images { data: &data, count: 1, shape };
                let seconds = shortest(|| drop(engine.run(images).unwrap()));
                let (name, .., side, _) = layer;
                println!(
                    "  {:24} {name:26} {:>4} -> {:>4} at {side:>3}: {:7.1} GFLOP/s",
                    engine.describe(),
                    layer.1,
                    layer.2,
                    work / seconds / 1e9
                );
            }
        }
    }
}
