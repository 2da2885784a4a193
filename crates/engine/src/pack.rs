//! Weights in the order in which the kernels read them.

use crate::kernels::winograd::{PLACES, transposed};
use crate::layout::{CHANNEL_BLOCK, Halves, TileWindow};
use facefold_kernels::lanes::{from_bf16, to_bf16};

/// Values of a window that matrix tiles multiply in one step.
pub(crate) const TILE_DEPTH: usize = 32;
/// Weights of one step: 32 values by 32 outputs.
pub(crate) const STEP_ELEMENTS: usize = TILE_DEPTH * 32;
/// Windows of a pair of tiles.
pub(crate) const TILE_ROWS: usize = 32;

/// The weights of a dense convolution, in the order of ONNX.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// out x in x kernel height x kernel width.
    pub values: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    pub kernel: [usize; 2],
}

impl Weights<'_> {
    fn at(&self, output: usize, input: usize, [i, j]: [usize; 2]) -> f32 {
        let [height, width] = self.kernel;
        self.values[((output * self.inputs + input) * height + i) * width + j]
    }

    /// Channels of an output pixel in memory.
    fn output_pitch(&self) -> usize {
        self.outputs.next_multiple_of(CHANNEL_BLOCK)
    }

    /// Values of the window.
    fn depth(&self) -> usize {
        self.inputs * self.kernel[0] * self.kernel[1]
    }

    /// Elements of all panels of [`Self::panels`].
    pub fn panels_length(&self) -> usize {
        self.output_pitch() * self.depth()
    }

    /// Panels of two registers of outputs; in each, cell by cell and channel by channel, the
    /// weights of the panel's outputs. A last panel may have one register.
    pub fn panels(&self, lanes: usize, to: &mut [f32]) {
        for output in 0..self.outputs {
            let first = output / (2 * lanes) * 2 * lanes;
            let width = (self.output_pitch() - first).min(2 * lanes);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    for input in 0..self.inputs {
                        let k = (i * self.kernel[1] + j) * self.inputs + input;
                        to[first * self.depth() + k * width + output - first] =
                            self.at(output, input, [i, j]);
                    }
                }
            }
        }
    }

    /// Elements of all panels of [`Self::winograd`].
    pub fn winograd_length(&self) -> usize {
        PLACES * self.output_pitch() * self.inputs
    }

    /// Panels of two registers of outputs for `kernels::winograd`; in each, place by place and
    /// channel by channel, the weights G g G' of the panel's outputs with
    /// G = (1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1). For 3x3 windows.
    pub fn winograd(&self, lanes: usize, to: &mut [f32]) {
        let along = |[a, b, c]: [f32; 3]| [a, f32::midpoint(a + b, c), f32::midpoint(a - b, c), c];
        for output in 0..self.outputs {
            let first = output / (2 * lanes) * 2 * lanes;
            let width = (self.output_pitch() - first).min(2 * lanes);
            for input in 0..self.inputs {
                let row = |i: usize| along([0, 1, 2].map(|j| self.at(output, input, [i, j])));
                let rows = [row(0), row(1), row(2), [0.0; 4]];
                for (j, [a, b, c, _]) in transposed(rows).into_iter().enumerate() {
                    for (i, value) in along([a, b, c]).into_iter().enumerate() {
                        let k = (4 * i + j) * self.inputs + input;
                        to[first * PLACES * self.inputs + k * width + output - first] = value;
                    }
                }
            }
        }
    }

    /// Elements of one panel of [`Self::tiles`].
    pub fn tile_panel(&self, pitch: usize, halves: Halves) -> usize {
        let [rows, steps] = TileWindow::new(self.kernel, pitch, 0, halves).steps();
        rows * steps * halves.count() * STEP_ELEMENTS
    }

    /// Elements of all panels of [`Self::tiles`].
    pub fn tiles_length(&self, pitch: usize, halves: Halves) -> usize {
        self.outputs.div_ceil(32) * self.tile_panel(pitch, halves)
    }

    /// Panels of 32 outputs for matrix tiles. In each, row of the window by row, 32 values a step
    /// (zeros between pixels and after a row): the weights rounded to bf16, then, unless there is
    /// one half, what the rounding took away. Each is two tiles of 16 outputs, 16 rows of pairs of
    /// values: (k, n), (k + 1, n), (k, n + 1), and so on. The rows of a window that is gathered
    /// follow each other. For interleaved halves a step has 16 values: the rounded weights meet
    /// both halves of them, what the rounding took away the first.
    pub fn tiles(&self, pitch: usize, halves: Halves, to: &mut [u16]) {
        let parts = halves.count();
        let window = TileWindow::new(self.kernel, pitch, 0, halves);
        let [_, steps] = window.steps();
        for output in 0..self.outputs {
            let panel = output / 32 * self.tile_panel(pitch, halves);
            let (tile, column) = (output % 32 / 16, output % 16);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    for input in 0..self.inputs {
                        let mut k = j * pitch + input;
                        if halves == Halves::Interleaved {
                            k += k / CHANNEL_BLOCK * CHANNEL_BLOCK;
                        }
                        let mut step = i * steps;
                        if window.is_gathered() {
                            (k, step) = (i * window.length + k, 0);
                        }
                        let step = (step + k / TILE_DEPTH) * parts * STEP_ELEMENTS;
                        let index = (k % TILE_DEPTH / 2) * 32 + column * 2 + k % 2;
                        let at = panel + step + tile * 512 + index;
                        let value = self.at(output, input, [i, j]);
                        to[at] = to_bf16(value);
                        if halves == Halves::Interleaved {
                            to[at + CHANNEL_BLOCK / 2 * 32] = to_bf16(value);
                        }
                        if parts == 2 {
                            to[at + STEP_ELEMENTS] = to_bf16(value - from_bf16(to_bf16(value)));
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Weights;
    use crate::layout::Halves;
    use facefold_kernels::lanes::from_bf16;

    #[test]
    fn panels_hold_the_weights_of_neighbouring_outputs() {
        let values: Vec<f32> = (0..40).map(|v| v as f32).collect();
        let weights = Weights { values: &values, outputs: 20, inputs: 2, kernel: [1, 1] };
        // 20 outputs in 32 channels: one panel of 32 with 16 lanes, four of 8 with 4.
        let (mut wide, mut narrow) = (vec![0.0; 64], vec![0.0; 64]);
        weights.panels(16, &mut wide);
        assert_eq!((wide[1], wide[32]), (2.0, 1.0));
        assert_eq!(wide[20], 0.0);
        weights.panels(4, &mut narrow);
        assert_eq!((narrow[16], narrow[24]), (16.0, 17.0));
    }

    #[test]
    fn tiles_hold_pairs_of_values() {
        // One output, three channels at a pitch of 16, a row of two cells: values 0, 1, 2 and
        // 16, 17, 18 of one step.
        let values = [1.0, 10.0, 2.0, 20.0, 3.0, 1.0 + 1.0 / 1024.0];
        let weights = Weights { values: &values, outputs: 1, inputs: 3, kernel: [1, 2] };
        assert_eq!(weights.tiles_length(16, Halves::Planar), 2048);
        let mut packed = vec![0; 2048];
        weights.tiles(16, Halves::Planar, &mut packed);
        let at = |k: usize| from_bf16(packed[k / 2 * 32 + k % 2]);
        assert_eq!([at(0), at(1), at(2), at(3)], [1., 2., 3., 0.]);
        assert_eq!([at(16), at(17), at(18)], [10., 20., 1.]);
        assert_eq!(from_bf16(packed[1024 + 9 * 32]), 1.0 / 1024.0);
    }

    #[test]
    fn rows_shorter_than_a_step_are_packed_together() {
        let values: Vec<f32> = (0..9).map(|v| v as f32).collect();
        let weights = Weights { values: &values, outputs: 1, inputs: 1, kernel: [3, 3] };
        let mut packed = vec![0; weights.tiles_length(3, Halves::Planar)];
        assert_eq!(packed.len(), 2048);
        weights.tiles(3, Halves::Planar, &mut packed);
        let at = |k: usize| from_bf16(packed[k / 2 * 32 + k % 2]);
        // One channel of three: cell (i, j) at 9 i + 3 j.
        assert_eq!([at(0), at(3), at(9), at(24), at(25)], [0., 1., 3., 8., 0.]);
    }

    #[test]
    fn interleaved_halves_repeat_the_rounded_weights() {
        // One output, three blocks of channels: a step each.
        let values: Vec<f32> = (0..48).map(|v| v as f32 + 1.0 / 1024.0).collect();
        let weights = Weights { values: &values, outputs: 1, inputs: 48, kernel: [1, 1] };
        let mut packed = vec![0; weights.tiles_length(48, Halves::Interleaved)];
        assert_eq!(packed.len(), 3 * 2048);
        weights.tiles(48, Halves::Interleaved, &mut packed);
        let at = |step: usize, part: usize, k: usize| {
            from_bf16(packed[(2 * step + part) * 1024 + k / 2 * 32 + k % 2])
        };
        assert_eq!([at(2, 0, 5), at(2, 0, 16 + 5)], [37.0, 37.0]);
        assert_eq!([at(2, 1, 5), at(2, 1, 16 + 5)], [1.0 / 1024.0, 0.0]);
    }

    #[test]
    fn transformed_weights_are_sums_along_both_axes() {
        // One output, one channel: 1 to 9. Along the first row: 1, (1 + 2 + 3) / 2, (1 - 2 + 3) /
        // 2, 3.
        let values: Vec<f32> = (1..=9).map(|v| v as f32).collect();
        let weights = Weights { values: &values, outputs: 1, inputs: 1, kernel: [3, 3] };
        let mut packed = vec![0.0; weights.winograd_length()];
        weights.winograd(4, &mut packed);
        // Sixteen places of a register pair each.
        let at = |place: usize| packed[place * 8];
        assert_eq!([at(0), at(1), at(2), at(3)], [1.0, 3.0, 1.0, 3.0]);
        assert_eq!([at(4), at(5), at(15)], [6.0, 11.25, 9.0]);
        assert_eq!(packed.len(), 256);
    }
}
