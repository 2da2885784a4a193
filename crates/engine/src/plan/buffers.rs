//! Lifetimes of planes, and the buffers that they share.

use super::{Request, Run, Slot};
use crate::lower::Step;
use crate::network::ValueId;
use crate::pool::{Kind, Pool};

/// How a value is used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Use {
    pub pad: usize,
    /// The last step that reads each kind of plane.
    f32: Option<usize>,
    bf16: Option<usize>,
}

impl Request<'_> {
    pub(super) fn uses(&self, runs: &[Run]) -> Vec<Use> {
        let mut uses = vec![Use::default(); self.values];
        for (index, step) in self.steps.iter().enumerate() {
            // The next band of a chain reads again what its first step reads.
            let on_tiles = self.tiles[index];
            let index = run_of(runs, index).map_or(index, |run| run.steps.end - 1);
            let window = match step {
                Step::Dense { source, window, .. } => {
                    let used = &mut uses[source.0];
                    if on_tiles {
                        used.bf16 = Some(index);
                    } else {
                        used.f32 = Some(index);
                    }
                    window.map(|window| (*source, window))
                }
                Step::Depthwise { source, window, .. } => {
                    uses[source.0].f32 = Some(index);
                    Some((*source, *window))
                }
                Step::Plain { inputs, .. } => {
                    for input in inputs {
                        uses[input.value.0].f32 = Some(index);
                    }
                    None
                }
            };
            if let Some((source, window)) = window {
                uses[source.0].pad = uses[source.0].pad.max(window.padding);
            }
            if let Some(residual) = step.fused().and_then(|fused| fused.residual) {
                uses[residual.0].f32 = Some(index);
            }
        }
        self.outputs.iter().for_each(|output| uses[output.value.0].f32 = Some(usize::MAX));
        uses
    }

    /// Gives every plane a buffer, which it shares with planes of the same layout that live at
    /// other times: the same layout, so that the zeros around pictures stay zeros.
    pub(super) fn assign(
        &self,
        uses: &[Use],
        runs: &[Run],
        slots: &mut [Option<Slot>],
    ) -> Vec<usize> {
        let mut pool = Pool::default();
        if let Some(slot) = &mut slots[ValueId::INPUT.0] {
            slot.f32 = uses[0].f32.map(|_| pool.take(Kind::of(slot, false)));
            slot.bf16 = uses[0].bf16.map(|_| pool.take(Kind::of(slot, true)));
        }
        for (index, step) in self.steps.iter().enumerate() {
            let mut kept = None;
            for value in step.outputs() {
                let Some(mut slot) = slots[value.0] else { continue };
                let is_plain = matches!(step, Step::Plain { .. });
                if is_plain || uses[value.0].f32.is_some() {
                    // A sum may take the place of a value that is used here for the last time,
                    // unless windows of that value are still to be read.
                    let replaced = step.fused().and_then(|fused| {
                        let residual = fused.residual.filter(|_| fused.main == Some(value))?;
                        let other = slots[residual.0]?;
                        let last = uses[residual.0].f32 == Some(index);
                        let alone = run_of(runs, index).is_none();
                        (last
                            && alone
                            && step.source() != Some(residual)
                            && Kind::of(&other, false) == Kind::of(&slot, false))
                        .then_some(residual)
                    });
                    slot.f32 = match replaced {
                        Some(residual) => {
                            kept = Some(residual);
                            slots[residual.0].and_then(|other| other.f32)
                        }
                        None => Some(pool.take(Kind::of(&slot, false))),
                    };
                }
                if uses[value.0].bf16.is_some() {
                    slot.bf16 = Some(pool.take(Kind::of(&slot, true)));
                }
                slots[value.0] = Some(slot);
            }
            for (value, used) in uses.iter().enumerate() {
                let Some(slot) = &slots[value] else { continue };
                if let (Some(buffer), Some(last)) = (slot.f32, used.f32)
                    && last == index
                    && kept != Some(ValueId(value))
                {
                    pool.release(Kind::of(slot, false), buffer);
                }
                if let (Some(buffer), Some(last)) = (slot.bf16, used.bf16)
                    && last == index
                {
                    pool.release(Kind::of(slot, true), buffer);
                }
            }
        }
        pool.buffers
    }
}

/// The run that a step belongs to.
fn run_of(runs: &[Run], step: usize) -> Option<&Run> {
    runs.iter().find(|run| run.steps.contains(&step))
}
