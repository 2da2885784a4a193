//! `TensorBoard` event files of fits: learning curves and final metrics, a run for each head and fit.
//!
//! An event file is a sequence of records of `TFRecord`: the length of the data as a little-endian u64, its
//! masked CRC-32C, the data, their masked CRC-32C. The data are a message `Event` of Protocol Buffers
//! (tensorflow/core/util/event.proto), of which a time, a step and scalars are used.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use facefold_core::files::write_atomic;
use facefold_core::{Task, TrainingLog};
use facefold_evaluate::{CvResult, HeadResult, Metric, Metrics};

use crate::error::ReportError;

/// `TensorBoard` reads what has `tfevents` in its name. Always the same, so that a repeated run replaces
/// its file.
const FILE: &str = "events.out.tfevents.0.facefold";

/// Writes the fits of a task's heads below a directory: `TASK/HEAD/SPLIT-seed-SEED` has the learning curve
/// (`loss/training`, `loss/validation`, `score/validation`, `learning-rate`; a step is an epoch) and the
/// metrics of training, validation and test rows; `TASK/HEAD/all-test-rows` those over all test rows.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write_fits(result: &CvResult, directory: &Path) -> Result<(), ReportError> {
    for HeadResult { name, fits, pooled, .. } in &result.heads {
        let head = directory.join(result.task.as_str()).join(name);
        for fit in fits {
            let mut events = EventFile::new(&fit.log);
            events.metrics("train", result.task, fit.train.as_ref());
            events.metrics("validation", result.task, fit.validation.as_ref());
            events.metrics("test", result.task, Some(&fit.test));
            events.write(&head.join(format!("{}-seed-{}", plain(&fit.split), fit.seed)))?;
        }
        let mut events = EventFile::new(&TrainingLog::default());
        events.metrics("test", result.task, Some(pooled));
        events.write(&head.join("all-test-rows"))?;
    }
    Ok(())
}

/// Writes a fit that has no test rows as `TASK/HEAD`, with its metrics on the validation rows.
///
/// # Errors
/// Any error of the file system, naming the path.
pub fn write_training(
    (task, head): (Task, &str),
    log: &TrainingLog,
    validation: Option<&Metrics>,
    directory: &Path,
) -> Result<(), ReportError> {
    let mut events = EventFile::new(log);
    events.metrics("validation", task, validation);
    events.write(&directory.join(task.as_str()).join(head))
}

/// A name of a split as one of a directory.
fn plain(name: &str) -> String {
    name.replace(|c: char| !c.is_alphanumeric(), "-")
}

/// The records of an event file.
struct EventFile {
    bytes: Vec<u8>,
    /// Seconds since 1970.
    time: f64,
    /// The step of what is measured at the end.
    last: u64,
}

impl EventFile {
    /// A file with a learning curve, where there is one.
    fn new(log: &TrainingLog) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut file = Self { bytes: Vec::new(), time, last: 0 };
        // Field 3 of the first event: the version of the format.
        file.event(0, &[&[0x1a, 13], &b"brain.Event:2"[..]].concat());
        for epoch in &log.epochs {
            let step = epoch.number as u64;
            file.scalar(step, "loss/training", epoch.training_loss);
            file.scalar(step, "loss/validation", epoch.validation_loss);
            file.scalar(step, "score/validation", epoch.validation_score);
            file.scalar(step, "learning-rate", epoch.learning_rate);
        }
        file.last = log.best_epoch.unwrap_or(log.epochs.len()) as u64;
        file
    }

    /// The metrics of a task on some rows: `test/accuracy`.
    fn metrics(&mut self, rows: &str, task: Task, metrics: Option<&Metrics>) {
        for &metric in Metric::of(task) {
            if let Some(value) = metrics.and_then(|metrics| metrics.get(metric)) {
                self.scalar(self.last, &format!("{rows}/{}", tag(metric)), value);
            }
        }
    }

    fn scalar(&mut self, step: u64, tag: &str, value: f64) {
        // Summary.Value: its tag is field 1, its simple_value field 2.
        let mut of_value = field(1, tag.as_bytes());
        of_value.push(0x15);
        of_value.extend((value as f32).to_le_bytes());
        // Event.summary is field 5, Summary.value field 1.
        self.event(step, &field(5, &field(1, &of_value)));
    }

    /// Appends a record with an event.
    fn event(&mut self, step: u64, content: &[u8]) {
        // Event.wall_time is field 1, Event.step field 2.
        let mut event = vec![0x09];
        event.extend(self.time.to_le_bytes());
        event.push(0x10);
        varint(&mut event, step);
        event.extend(content);
        let length = (event.len() as u64).to_le_bytes();
        for part in [&length[..], &event] {
            self.bytes.extend(part);
            self.bytes.extend(masked(crc32c(part)).to_le_bytes());
        }
    }

    fn write(&self, directory: &Path) -> Result<(), ReportError> {
        Ok(write_atomic(&directory.join(FILE), &self.bytes)?)
    }
}

/// A metric's name as a tag: `mean-absolute-error`.
fn tag(metric: Metric) -> String {
    let name = serde_json::to_value(metric).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(&mut field, bytes.len() as u64);
    field.extend(bytes);
    field
}

/// Appends a number in groups of seven bits, the lowest first.
fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// CRC-32C (Castagnoli, RFC 3720 B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// A CRC as records carry it (tensorflow/core/lib/hash/crc32c.h).
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use facefold_core::{Epoch, TrainingLog};

    use super::{EventFile, crc32c, masked};

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720 B.4: 32 zeros, 32 bytes of ones; and the check value of CRC-32C.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_read_back_with_their_checksums() {
        let epoch = |number| Epoch {
            number,
            training_loss: 1.0 / number as f64,
            validation_loss: 0.5,
            validation_score: 0.75,
            learning_rate: 1e-3,
        };
        let log = TrainingLog {
            epochs: (1..=300).map(epoch).collect(),
            best_epoch: Some(200),
            ..TrainingLog::default()
        };
        let file = EventFile::new(&log);
        let (mut rest, mut events) = (&file.bytes[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let sum = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            assert_eq!(sum(8), masked(crc32c(&rest[..8])));
            let event = &rest[12..12 + length];
            assert_eq!(sum(12 + length), masked(crc32c(event)));
            events.push(event);
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 1 + 4 * 300);
        assert!(events[0].ends_with(b"brain.Event:2"));
        // Of the last epoch: step 300, then a summary with a value of a tag and a float.
        let last = events[1 + 4 * 299];
        let value = [&[0x0a, 13][..], b"loss/training", &[0x15], &(1.0_f32 / 300.0).to_le_bytes()];
        let value = value.concat();
        let length = value.len() as u8;
        let expected = [&[0x10, 0xac, 0x02, 0x2a, length + 2, 0x0a, length][..], &value].concat();
        assert_eq!(last[9..], expected);
        assert_eq!(file.last, 200);
    }
}
