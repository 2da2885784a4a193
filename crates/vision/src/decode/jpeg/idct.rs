//! The inverse cosine transform of libjpeg ("islow"), bit by bit: Loeffler, Ligtenberg and
//! Moschytz 1989, with constants of 13 bits and 2 bits more between the two passes.

const CONST_BITS: u32 = 13;
const PASS_BITS: u32 = 2;

const FIX_0_298631336: i32 = 2446;
const FIX_0_390180644: i32 = 3196;
const FIX_0_541196100: i32 = 4433;
const FIX_0_765366865: i32 = 6270;
const FIX_0_899976223: i32 = 7373;
const FIX_1_175875602: i32 = 9633;
const FIX_1_501321110: i32 = 12299;
const FIX_1_847759065: i32 = 15137;
const FIX_1_961570560: i32 = 16069;
const FIX_2_053119869: i32 = 16819;
const FIX_2_562915447: i32 = 20995;
const FIX_3_072711026: i32 = 25172;

/// Samples of a block from its dequantized coefficients, both in rows.
pub(super) fn inverse(coefficients: &[i32; 64]) -> [u8; 64] {
    let mut between = [0_i32; 64];
    for column in 0..8 {
        let values = std::array::from_fn(|row| coefficients[8 * row + column]);
        for (row, value) in pass(values, CONST_BITS - PASS_BITS).into_iter().enumerate() {
            between[8 * row + column] = value;
        }
    }
    let mut samples = [0; 64];
    for (row, out) in between.as_chunks::<8>().0.iter().zip(samples.as_chunks_mut::<8>().0) {
        for (value, sample) in pass(*row, CONST_BITS + PASS_BITS + 3).into_iter().zip(out) {
            *sample = (value + 128).clamp(0, 255) as u8;
        }
    }
    samples
}

/// One dimension; the results lose so many bits, rounded.
fn pass(values: [i32; 8], bits: u32) -> [i32; 8] {
    // Corrupt files may hold anything: their sums wrap around.
    let values = values.map(std::num::Wrapping);
    let w = std::num::Wrapping::<i32>;
    let z1 = (values[2] + values[6]) * w(FIX_0_541196100);
    let tmp2 = z1 - values[6] * w(FIX_1_847759065);
    let tmp3 = z1 + values[2] * w(FIX_0_765366865);
    let tmp0 = (values[0] + values[4]) << CONST_BITS as usize;
    let tmp1 = (values[0] - values[4]) << CONST_BITS as usize;
    let (tmp10, tmp13) = (tmp0 + tmp3, tmp0 - tmp3);
    let (tmp11, tmp12) = (tmp1 + tmp2, tmp1 - tmp2);

    let [tmp0, tmp1, tmp2, tmp3] = [values[7], values[5], values[3], values[1]];
    let (z1, z2, z3, z4) = (tmp0 + tmp3, tmp1 + tmp2, tmp0 + tmp2, tmp1 + tmp3);
    let z5 = (z3 + z4) * w(FIX_1_175875602);
    let (z1, z2) = (-z1 * w(FIX_0_899976223), -z2 * w(FIX_2_562915447));
    let z3 = z5 - z3 * w(FIX_1_961570560);
    let z4 = z5 - z4 * w(FIX_0_390180644);
    let tmp0 = tmp0 * w(FIX_0_298631336) + z1 + z3;
    let tmp1 = tmp1 * w(FIX_2_053119869) + z2 + z4;
    let tmp2 = tmp2 * w(FIX_3_072711026) + z2 + z3;
    let tmp3 = tmp3 * w(FIX_1_501321110) + z1 + z4;

    [
        tmp10 + tmp3,
        tmp11 + tmp2,
        tmp12 + tmp1,
        tmp13 + tmp0,
        tmp13 - tmp0,
        tmp12 - tmp1,
        tmp11 - tmp2,
        tmp10 - tmp3,
    ]
    .map(|sum| (sum + (w(1) << (bits as usize - 1))).0 >> bits)
}
