//! Parses the codes of a scan and checks that they make as many blocks as the frame has.

use facefold_core::{RejectReason, Rejection};

use super::bits::Bits;
use super::file::{File, Scan, ScanComponent};
use super::frame::Frame;
use super::huffman::{
    END_OF_BLOCK, FARTHEST, Pair, Pairs, Table, difference, extend, run_and_value, run_or_end,
};
use super::undecodable;
use super::zeros::{Repeats, may_repeat};

/// What the walk of a block found.
type Walked = Result<(), &'static str>;

const NO_CODE: &str = "found bits that are no code of its table";
const TOO_LONG: &str = "a block has more than 64 coefficients";
const TOO_SHORT: &str = "the data end";
const OUT_OF_RANGE: &str = "a block is far brighter or darker than any";

/// The mean of a block's samples lies between -128 and 127, and its first coefficient is 8 times as
/// large: beyond this it is corrupt. Differences add up, so corruption anywhere before shows here.
const BRIGHTEST: i32 = 1024 + 256;

/// Bytes of zeros that may stand behind a scan: libjpeg passes over them.
const MOST_PADDING: usize = 4;

/// Gets the coefficients of a sequential scan's blocks, in natural order, not yet dequantized.
pub(super) trait Blocks {
    /// Whether it wants them; a walk that only counts is faster.
    const WANTED: bool;

    /// A block of the component with this place in the scan, by its column and row.
    fn block(&mut self, component: usize, at: (usize, usize), coefficients: &[i16; 64]);
}

/// Counts blocks only.
struct Counted;

impl Blocks for Counted {
    const WANTED: bool = false;

    fn block(&mut self, _: usize, _: (usize, usize), _: &[i16; 64]) {}
}

/// Has all coefficients read, and so checked, and keeps none.
struct Checked;

impl Blocks for Checked {
    const WANTED: bool = true;

    fn block(&mut self, _: usize, _: (usize, usize), _: &[i16; 64]) {}
}

/// Checks the data of a sequential picture's only scan.
///
/// # Errors
/// Data that end early, go on after the last block, make no blocks, or were replaced by zeros.
pub(super) fn check_sequential(file: &File<'_>) -> Result<(), Rejection> {
    if may_repeat(&file.scans[0].parts) {
        sequential(file, 0, &mut Checked)
    } else {
        sequential(file, 0, &mut Counted)
    }
}

/// Walks a sequential scan's blocks.
///
/// # Errors
/// As [`check_sequential`].
pub(super) fn sequential<B: Blocks>(
    file: &File<'_>,
    number: usize,
    blocks: &mut B,
) -> Result<(), Rejection> {
    let (frame, scan) = (file.frame()?, &file.scans[number]);
    let tables = scan
        .components
        .iter()
        .map(|component| {
            let dc = Table::new(component.dc.as_ref()?, difference)?;
            let ac = Table::new(component.ac.as_ref()?, run_and_value)?;
            let pairs = ac.pairs();
            Some((dc, ac, pairs))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| undecodable(format!("scan {} has no usable Huffman table", number + 1)))?;
    let order = Order::of(frame, scan);
    let mut brightness = Brightness::of(scan, number)?;
    let mut block = [0_i16; 64];
    walk(frame, scan, number, |kept, mcu, first| {
        if first {
            brightness.restart();
        }
        let mut bits = *kept;
        for unit in &order.units {
            let (dc, ac, pairs) = &tables[unit.component];
            let walked = brightness.next(&mut bits, dc, unit.component).and_then(|mean| {
                if B::WANTED {
                    block = [0; 64];
                    block[0] = mean as i16;
                    coefficients(&mut bits, ac, &mut block)?;
                    blocks.block(unit.component, order.place(unit, mcu), &block);
                } else {
                    pass(&mut bits, ac, pairs)?;
                }
                if bits.overdrawn() { Err(TOO_SHORT) } else { Ok(()) }
            });
            *kept = bits;
            walked?;
        }
        Ok(())
    })
}

/// First coefficients of a scan's blocks, which are differences.
struct Brightness {
    /// Of each component of the scan: the last value, and the most that one can be.
    components: Vec<(i32, i32)>,
}

impl Brightness {
    fn of(scan: &Scan<'_>, number: usize) -> Result<Self, Rejection> {
        let most = |component: &ScanComponent| {
            let quantum = i32::from(component.quanta.as_ref()?[0].max(1)) << scan.low;
            Some((0, (BRIGHTEST + quantum) / quantum))
        };
        let components = scan.components.iter().map(most).collect::<Option<_>>();
        let missing = || undecodable(format!("scan {} has no quantization table", number + 1));
        Ok(Self { components: components.ok_or_else(missing)? })
    }

    fn restart(&mut self) {
        self.components.iter_mut().for_each(|(last, _)| *last = 0);
    }

    #[expect(clippy::inline_always, reason = "the bits stay in registers")]
    #[inline(always)]
    fn next(
        &mut self,
        bits: &mut Bits<'_>,
        table: &Table,
        component: usize,
    ) -> Result<i32, &'static str> {
        bits.fill();
        let code = table.next(bits);
        if code.bits == 0 {
            return Err(NO_CODE);
        }
        bits.skip(u32::from(code.bits - code.size));
        let (last, most) = &mut self.components[component];
        let size = u32::from(code.size);
        if size > 0 {
            // Code and value are at most 27 bits together.
            let value = bits.peek(size) as u32;
            bits.skip(size);
            *last += extend(value, size);
        }
        if last.abs() > *most { Err(OUT_OF_RANGE) } else { Ok(*last) }
    }
}

/// Passes over the coefficients of a block.
#[expect(clippy::inline_always, reason = "the bits stay in registers: a tenth of the decoding")]
#[inline(always)]
fn pass(bits: &mut Bits<'_>, table: &Table, pairs: &Pairs) -> Walked {
    // Far from the end of the block two codes can be taken at once.
    let pair = |bits: &mut Bits<'_>, at: &mut u32| {
        let pair = Pair::next(pairs, bits);
        let taken = *at + FARTHEST < 64 && pair.bits > 0;
        if taken {
            bits.skip(pair.bits.into());
            *at += u32::from(pair.advance);
        }
        taken
    };
    let mut at = 1;
    while at < 64 {
        bits.fill();
        if pair(bits, &mut at) {
            pair(bits, &mut at);
            continue;
        }
        let code = table.next(bits);
        if code.bits == 0 {
            return Err(NO_CODE);
        }
        bits.skip(code.bits.into());
        at += u32::from(code.advance);
    }
    if at == 64 || at >= END_OF_BLOCK { Ok(()) } else { Err(TOO_LONG) }
}

/// Reads the coefficients of a block.
fn coefficients(bits: &mut Bits<'_>, table: &Table, block: &mut [i16; 64]) -> Walked {
    let mut at = 1;
    let mut repeats = Repeats::default();
    while at < 64 {
        bits.fill();
        let code = table.next(bits);
        if code.bits == 0 {
            return Err(NO_CODE);
        }
        bits.skip(u32::from(code.bits - code.size));
        at += u32::from(code.advance);
        if code.size > 0 {
            let size = u32::from(code.size);
            let value = bits.take(size);
            repeats.add(u32::from(code.advance) - 1, size, value)?;
            let &place = ZIGZAG.get(at as usize - 1).ok_or(TOO_LONG)?;
            block[usize::from(place)] = extend(value, size) as i16;
        }
    }
    if at == 64 || at >= END_OF_BLOCK { Ok(()) } else { Err(TOO_LONG) }
}

/// A block of an MCU.
struct Unit {
    /// The component's place in the scan.
    component: usize,
    /// Column and row within the MCU.
    inside: (usize, usize),
    /// Columns and rows of its component in an MCU.
    step: (usize, usize),
}

/// The order of a scan's blocks.
struct Order {
    units: Vec<Unit>,
    columns: usize,
    rows: usize,
}

impl Order {
    fn of(frame: &Frame, scan: &Scan<'_>) -> Self {
        if let [only] = scan.components.as_slice() {
            let (columns, rows) = frame.blocks(only.index);
            let units = vec![Unit { component: 0, inside: (0, 0), step: (1, 1) }];
            return Self { units, columns, rows };
        }
        let (columns, rows) = frame.mcus();
        let units = scan.components.iter().enumerate().flat_map(|(component, part)| {
            let step = (frame.components[part.index].h, frame.components[part.index].v);
            (0..step.1).flat_map(move |y| {
                (0..step.0).map(move |x| Unit { component, inside: (x, y), step })
            })
        });
        Self { units: units.collect(), columns, rows }
    }

    fn place(&self, unit: &Unit, mcu: usize) -> (usize, usize) {
        let (x, y) = (mcu % self.columns, mcu / self.columns);
        (x * unit.step.0 + unit.inside.0, y * unit.step.1 + unit.inside.1)
    }
}

/// Walks a scan MCU by MCU, restart interval by restart interval: each must hold its share and no
/// more. `mcu` is given the bits, the number of the MCU, and whether it is the first of its part.
fn walk(
    frame: &Frame,
    scan: &Scan<'_>,
    number: usize,
    mut mcu: impl FnMut(&mut Bits<'_>, usize, bool) -> Walked,
) -> Result<(), Rejection> {
    let order = Order::of(frame, scan);
    let total = order.columns * order.rows;
    let interval = if scan.interval == 0 { total } else { scan.interval };
    let parts = total.div_ceil(interval);
    let in_turn =
        scan.restarts.iter().zip(0_usize..).all(|(&found, n)| usize::from(found) == n % 8);
    // A marker after the last interval is superfluous, but some encoders write it.
    let (last, more) = scan.parts.split_at(parts.min(scan.parts.len()));
    if !in_turn || more.len() > 1 || more.iter().any(|part| !part.is_empty()) {
        return Err(undecodable(format!(
            "scan {}: expected restart markers every {interval} of {total} MCUs, found others",
            number + 1
        )));
    }
    let mut done = 0;
    for &part in last {
        let end = total.min(done + interval);
        let mut bits = Bits::new(part);
        for (place, index) in (done..end).enumerate() {
            mcu(&mut bits, index, place == 0).map_err(|what| {
                // Past the end zeros are read, which may make no code either.
                let early = what == TOO_SHORT || bits.overdrawn();
                let what = if early { TOO_SHORT } else { what };
                let reason =
                    if early { RejectReason::Truncated } else { RejectReason::Undecodable };
                let scan = number + 1;
                Rejection::new(reason, format!("scan {scan}, MCU {index} of {total}: {what}"))
            })?;
        }
        let padded = end == total && bits.left() <= MOST_PADDING && bits.end_before_zeros();
        if bits.left() > 0 && !padded {
            return Err(undecodable(format!(
                "scan {}: {} bytes are left after MCU {end} of {total}",
                number + 1,
                bits.left()
            )));
        }
        done = end;
    }
    if done < total {
        let scan = number + 1;
        let detail = format!("scan {scan}: the data end after MCU {done} of {total}");
        return Err(Rejection::new(RejectReason::Truncated, detail));
    }
    Ok(())
}

/// Checks the data of all scans of a progressive picture.
///
/// # Errors
/// As [`check_sequential`].
pub(super) fn check_progressive(file: &File<'_>) -> Result<(), Rejection> {
    let frame = file.frame()?;
    // For each component's block, which coefficients are known not to be zero: a bit each.
    let (columns, rows) = frame.mcus();
    let mut known: Vec<Known> = frame
        .components
        .iter()
        .map(|c| {
            let width = columns * c.h;
            Known { width, blocks: vec![0; width * rows * c.v] }
        })
        .collect();
    for (number, scan) in file.scans.iter().enumerate() {
        match (scan.band.0, scan.high) {
            (0, 0) => first_dc(frame, scan, number)?,
            (0, _) => {
                let blocks = Order::of(frame, scan).units.len();
                walk(frame, scan, number, |bits, _, _| {
                    for _ in 0..blocks {
                        bits.take(1);
                    }
                    if bits.overdrawn() { Err(TOO_SHORT) } else { Ok(()) }
                })?;
            }
            _ => band(frame, scan, number, &mut known)?,
        }
    }
    Ok(())
}

struct Known {
    /// Blocks in a row.
    width: usize,
    blocks: Vec<u64>,
}

fn first_dc(frame: &Frame, scan: &Scan<'_>, number: usize) -> Result<(), Rejection> {
    let table = |component: &ScanComponent| Table::new(component.dc.as_ref()?, difference);
    let tables: Vec<Table> =
        scan.components.iter().map(table).collect::<Option<_>>().ok_or_else(|| {
            undecodable(format!("scan {} has no usable Huffman table", number + 1))
        })?;
    let order = Order::of(frame, scan);
    let mut brightness = Brightness::of(scan, number)?;
    walk(frame, scan, number, |bits, _, first| {
        if first {
            brightness.restart();
        }
        for unit in &order.units {
            brightness.next(bits, &tables[unit.component], unit.component)?;
        }
        if bits.overdrawn() { Err(TOO_SHORT) } else { Ok(()) }
    })
}

/// A scan of other coefficients than the first, of one component.
fn band(
    frame: &Frame,
    scan: &Scan<'_>,
    number: usize,
    known: &mut [Known],
) -> Result<(), Rejection> {
    let component = &scan.components[0];
    let table = component.ac.as_ref().and_then(|ac| Table::new(ac, run_or_end));
    let table = table
        .ok_or_else(|| undecodable(format!("scan {} has no usable Huffman table", number + 1)))?;
    let (columns, rows) = frame.blocks(component.index);
    let known = &mut known[component.index];
    let mut state = Band {
        first: scan.band.0 as u32,
        last: scan.band.1 as u32,
        refines: scan.high > 0,
        ended: 0,
    };
    let interval = if scan.interval == 0 { columns * rows } else { scan.interval };
    walk(frame, scan, number, |bits, index, first| {
        if first {
            state.ended = 0;
        }
        let (x, y) = (index % columns, index / columns);
        state.block(bits, &table, &mut known.blocks[y * known.width + x])?;
        if bits.overdrawn() {
            return Err(TOO_SHORT);
        }
        let closes = index + 1 == columns * rows || (index + 1) % interval == 0;
        if closes && state.ended > 0 { Err("a run of ended blocks goes on") } else { Ok(()) }
    })
}

/// The walk of a progressive scan of coefficients `first` to `last` (T.81, G.1.2.2 and G.1.2.3).
struct Band {
    first: u32,
    last: u32,
    /// Whether known coefficients get a bit more.
    refines: bool,
    /// Blocks to come that have no new coefficients.
    ended: u32,
}

impl Band {
    fn block(&mut self, bits: &mut Bits<'_>, table: &Table, known: &mut u64) -> Walked {
        let mut at = self.first;
        if self.ended == 0 {
            while at <= self.last {
                bits.fill();
                let code = table.next(bits);
                if code.bits == 0 {
                    return Err(NO_CODE);
                }
                bits.skip(u32::from(code.bits - code.size));
                let (run, size) = (u32::from(code.symbol >> 4), u32::from(code.symbol & 15));
                if size == 0 && run < 15 {
                    self.ended = (1 << run) + bits.take(run);
                    break;
                }
                if self.refines {
                    if size > 1 {
                        return Err(NO_CODE);
                    }
                    bits.take(size);
                    at = self.pass_zeros(bits, *known, at, run)?;
                } else {
                    bits.take(size);
                    at += run;
                }
                if at > self.last {
                    return Err(TOO_LONG);
                }
                if size > 0 {
                    *known |= 1 << at;
                }
                at += 1;
            }
        }
        if self.ended > 0 {
            if self.refines {
                let rest = *known & bit_range(at, self.last);
                for _ in 0..rest.count_ones() {
                    bits.take(1);
                }
            }
            self.ended -= 1;
        }
        Ok(())
    }

    /// Passes over so many coefficients that are not known, and those known before the next one;
    /// each of the latter takes a bit.
    fn pass_zeros(
        &self,
        bits: &mut Bits<'_>,
        known: u64,
        mut at: u32,
        mut run: u32,
    ) -> Result<u32, &'static str> {
        while at <= self.last {
            if known >> at & 1 == 1 {
                bits.take(1);
            } else if run == 0 {
                return Ok(at);
            } else {
                run -= 1;
            }
            at += 1;
        }
        Err(TOO_LONG)
    }
}

/// Bits `from` to `to`; none where `from` is above.
fn bit_range(from: u32, to: u32) -> u64 {
    if from > to { 0 } else { (u64::MAX << from) & (u64::MAX >> (63 - to)) }
}

/// Place of each coefficient in natural order.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
