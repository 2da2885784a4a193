//! Weights in the order in which the kernels read them.

use crate::buffer::Numbers;
use crate::kernels::lanes::{from_bf16, to_bf16};
use crate::layout::CHANNEL_BLOCK;

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

    /// Panels of two registers of outputs; in each, cell by cell and channel by channel, the
    /// weights of the panel's outputs. A last panel may have one register.
    pub fn panels(&self, lanes: usize) -> Numbers<f32> {
        let depth = self.inputs * self.kernel[0] * self.kernel[1];
        let pitch = self.output_pitch();
        let mut packed = Numbers::zeroed(pitch * depth);
        let to = packed.as_mut_slice();
        for output in 0..self.outputs {
            let first = output / (2 * lanes) * 2 * lanes;
            let width = (pitch - first).min(2 * lanes);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    for input in 0..self.inputs {
                        let k = (i * self.kernel[1] + j) * self.inputs + input;
                        to[first * depth + k * width + output - first] =
                            self.at(output, input, [i, j]);
                    }
                }
            }
        }
        packed
    }

    /// Steps of 32 values for one row of the window, whose pixels are `pitch` elements apart.
    fn steps_a_row(&self, pitch: usize) -> usize {
        (self.kernel[1] * pitch).div_ceil(TILE_DEPTH)
    }

    /// Elements of one panel of [`Self::tiles`].
    pub fn tile_panel(&self, pitch: usize, parts: usize) -> usize {
        parts * self.kernel[0] * self.steps_a_row(pitch) * STEP_ELEMENTS
    }

    /// Panels of 32 outputs for matrix tiles. In each: the weights rounded to bf16, row of the
    /// window by row, 32 values a step (zeros between pixels and after a row); then, with two
    /// `parts`, what the rounding took away. A step is two tiles of 16 outputs, each 16 rows of
    /// pairs of values: (k, n), (k + 1, n), (k, n + 1), and so on.
    pub fn tiles(&self, pitch: usize, parts: usize) -> Numbers<u16> {
        let steps = self.steps_a_row(pitch);
        let part = self.kernel[0] * steps * STEP_ELEMENTS;
        let panels = self.outputs.div_ceil(32);
        let mut packed = Numbers::zeroed(panels * parts * part);
        let to = packed.as_mut_slice();
        for output in 0..self.outputs {
            let panel = output / 32 * parts * part;
            let (tile, column) = (output % 32 / 16, output % 16);
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    for input in 0..self.inputs {
                        let k = j * pitch + input;
                        let step =
                            panel + (i * steps + k / TILE_DEPTH) * STEP_ELEMENTS + tile * 512;
                        let index = step + (k % TILE_DEPTH / 2) * 32 + column * 2 + k % 2;
                        let value = self.at(output, input, [i, j]);
                        to[index] = to_bf16(value);
                        if parts == 2 {
                            to[index + part] = to_bf16(value - from_bf16(to_bf16(value)));
                        }
                    }
                }
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::Weights;
    use crate::kernels::lanes::from_bf16;

    #[test]
    fn panels_hold_the_weights_of_neighbouring_outputs() {
        let values: Vec<f32> = (0..40).map(|v| v as f32).collect();
        let weights = Weights { values: &values, outputs: 20, inputs: 2, kernel: [1, 1] };
        // 20 outputs in 32 channels: one panel of 32 with 16 lanes, four of 8 with 4.
        let wide = weights.panels(16);
        assert_eq!((wide.as_slice()[1], wide.as_slice()[32]), (2.0, 1.0));
        assert_eq!(wide.as_slice()[20], 0.0);
        let narrow = weights.panels(4);
        assert_eq!((narrow.as_slice()[16], narrow.as_slice()[24]), (16.0, 17.0));
    }

    #[test]
    fn tiles_hold_pairs_of_values() {
        // One output, three channels at a pitch of 16, a row of two cells: values 0, 1, 2 and
        // 16, 17, 18 of one step.
        let values = [1.0, 10.0, 2.0, 20.0, 3.0, 1.0 + 1.0 / 1024.0];
        let weights = Weights { values: &values, outputs: 1, inputs: 3, kernel: [1, 2] };
        let packed = weights.tiles(16, 2);
        let at = |k: usize| from_bf16(packed.as_slice()[k / 2 * 32 + k % 2]);
        assert_eq!([at(0), at(1), at(2), at(3)], [1., 2., 3., 0.]);
        assert_eq!([at(16), at(17), at(18)], [10., 20., 1.]);
        assert_eq!(from_bf16(packed.as_slice()[1024 + 9 * 32]), 1.0 / 1024.0);
        assert_eq!(packed.as_slice().len(), weights.tile_panel(16, 2));
    }
}
