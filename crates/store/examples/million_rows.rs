//! How fast a store of a million made-up pictures opens and loads, against reading the same bytes.
//!
//! `cargo run --release -p facefold-store --example million_rows -- DIR [PICTURES [PAUSE]]` writes
//! about 4.5 GB into `DIR/million-rows`, prints a Markdown table, and leaves the store for a second
//! look. Each reading starts after a pause of so many seconds (default 3): a virtual machine's
//! host takes back memory that was just freed, and gives it out again slowly.

use std::error::Error;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use facefold_core::rng::{Rng, seeded};
use facefold_core::{
    Embedding, Extraction, ExtractorInfo, Face, FaceVariant, FeatureRows, Fingerprint, ImageKey,
    Precision, Sample,
};
use facefold_store::{DatasetInfo, Features, SampleRow, Select, Store, StoreHeader};

const WIDTH: usize = 512;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("expected a directory for the store")?;
    let pictures: u32 = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let pause: u64 = arguments.next().map_or(Ok(3), |seconds| seconds.parse())?;
    let path = PathBuf::from(directory).join("million-rows");
    let mut table = Table(std::io::stdout());
    table.line(["what", "seconds", "of them computing", ""])?;
    table.line(["---", "---:", "---:", "---"])?;

    let (keys, time) = timed(|| append(&path, pictures))?;
    let rate = f64::from(pictures) / time.seconds;
    table.row("append all and seal", time, &format!("{rate:.0} pictures a second"))?;

    let (_, time) = timed(|| Ok(Store::open(&path)?))?;
    table.row("open", time, &format!("{pictures} pictures"))?;
    evict(&path.join("derived/index.bin"));
    let (store, time) = timed(|| Ok(Store::open(&path)?))?;
    table.row("open, key index not in the page cache", time, "")?;
    let (samples, time) = timed(|| Ok(store.samples()?))?;
    table.row("read the samples table", time, &format!("{} rows", samples.len()))?;
    drop(samples);

    let before = peak_memory();
    let select = Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &keys };
    let (_, time) = timed(|| Ok(store.load_rows(&select)?))?;
    table.row("first load, which builds the copy", time, "")?;
    let copy = copy_of(&path)?;
    let bytes = fs_err::metadata(&copy)?.len() as f64;
    for warm in [true, false] {
        let state = if warm { "in the page cache" } else { "not in the page cache" };
        // In turns: what memory costs that is touched for the first time changes from minute to
        // minute.
        let mut times: Vec<(Reading, Vec<Time>)> = READINGS.map(|way| (way, Vec::new())).to_vec();
        for _ in 0..ROUNDS {
            for (reading, times) in &mut times {
                if !warm {
                    evict(&copy);
                }
                sleep(Duration::from_secs(pause));
                let (_, time) = timed(|| match reading {
                    Reading::Plain => read_plainly(&copy),
                    Reading::Whole => Ok(fs_err::read(&copy)?[1000]),
                    Reading::Matrix => Ok(store.load_rows(&select)?.row(0)[0].to_bits() as u8),
                    Reading::Used => Ok(sum(&store.load_rows(&select)?).to_bits() as u8),
                })?;
                times.push(time);
            }
        }
        for (reading, mut times) in times {
            times.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let rate = |time: Time| bytes / time.seconds / 1e9;
            let (median, fastest) = (times[ROUNDS / 2], times[0]);
            let note = format!("{:.2} GB/s, at best {:.2}", rate(median), rate(fastest));
            table.row(&format!("{}, {state}", reading.name()), median, &note)?;
        }
    }
    let memory = format!(
        "peak memory {:.2} GB, {:.2} GB before the first load, the matrix is {:.2} GB",
        peak_memory(),
        before,
        bytes / 1e9
    );
    writeln!(table.0, "\n{memory}")?;

    drop(store);
    fs_err::remove_dir_all(path.join("derived"))?;
    let (_, time) = timed(|| Ok(Store::open(&path)?))?;
    writeln!(table.0, "open after deleting `derived`: {:.2} s", time.seconds)?;
    let load = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    writeln!(table.0, "load average at the end: {load}")?;
    Ok(())
}

/// Ways to bring the same bytes into memory; after the last, every one was looked at.
#[derive(Clone, Copy)]
enum Reading {
    Plain,
    Whole,
    Matrix,
    Used,
}

/// Each way is measured so often, in turns, and the median is printed.
const ROUNDS: usize = 9;

const READINGS: [Reading; 4] = [Reading::Plain, Reading::Whole, Reading::Matrix, Reading::Used];

impl Reading {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "read the file through one buffer of 4 MiB",
            Self::Whole => "read the file into memory",
            Self::Matrix => "load the matrix, rows in the order of the samples",
            Self::Used => "load the matrix and add up its values on one core, row by row",
        }
    }
}

/// The sum of all values, as a head would read them: each row copied out of the matrix.
fn sum(rows: &FeatureRows) -> f32 {
    let mut row = vec![0.0; rows.width()];
    let one = |number| {
        rows.copy(number, &mut row);
        let (lanes, _) = row.as_chunks::<16>();
        lanes.iter().fold([0.0; 16], |sums, lane| std::array::from_fn(|at| sums[at] + lane[at]))
    };
    (0..rows.count()).map(one).map(|sums| sums.iter().sum::<f32>()).sum()
}

struct Table(std::io::Stdout);

impl Table {
    fn line(&mut self, cells: [&str; 4]) -> Outcome<()> {
        Ok(writeln!(self.0, "| {} |", cells.join(" | "))?)
    }

    fn row(&mut self, what: &str, time: Time, note: &str) -> Outcome<()> {
        let (seconds, computing) =
            (format!("{:.3}", time.seconds), format!("{:.2}", time.computing));
        self.line([what, &seconds, &computing, note])
    }
}

/// How long something took, and how long of that this program had a core: on a machine that is
/// busy with other work the two lie far apart.
#[derive(Clone, Copy)]
struct Time {
    seconds: f64,
    computing: f64,
}

fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Time)> {
    let (start, computed) = (Instant::now(), processor_time());
    let result = work()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((result, Time { seconds, computing: processor_time() - computed }))
}

/// Seconds of processor time that this program has used, where the system reports it.
fn processor_time() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, in ticks of a hundredth of a second; field 3 follows the name in brackets.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Makes the store, and gives its keys in the order of appending.
fn append(path: &Path, pictures: u32) -> Outcome<Vec<ImageKey>> {
    let info = ExtractorInfo {
        backend: "local".into(),
        model: "made-up".into(),
        detector: "none".into(),
        network: "none".into(),
        precision: Precision::F32Equivalent,
        execution: "none".into(),
        embedding_length: WIDTH,
        taps_length: 0,
        taps_layout: String::new(),
        licence: "none".into(),
    };
    let fingerprint = Fingerprint::builder().text("network", "made-up").finish();
    let header = StoreHeader::new(fingerprint, info, DatasetInfo::new("manifest", "made-up"));
    let mut writer = Store::create_or_open(path, header)?;
    let mut rng = seeded(0, "million rows");
    let mut rows = Vec::new();
    for number in 0..pictures {
        let key = ImageKey::of(&number.to_le_bytes());
        writer.append(key, &Extraction::Embedded { faces: vec![face(&mut rng)?], found: 1 })?;
        let sample = Sample::unlabelled(format!("{number:07}.jpg"));
        rows.push(SampleRow { sample, key: Some(key), rejection: None });
    }
    writer.write_samples(&rows)?;
    writer.finish()?;
    Ok(rows.into_iter().filter_map(|row| row.key).collect())
}

fn face(rng: &mut Rng) -> Outcome<Face> {
    use rand::RngCore;
    let value = |_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5;
    let embedding = Embedding::new((0..WIDTH).map(value).collect())?;
    Ok(Face {
        index: 0,
        variant: FaceVariant::PLAIN,
        norm: Some(embedding.norm()),
        embedding,
        taps: Vec::new(),
        bounding_box: [0.0, 0.0, 112.0, 112.0].into(),
        landmarks: [[56.0, 56.0]; 5],
        score: 0.9,
        luminance: 127.0,
        sharpness: 80.0,
    })
}

fn read_plainly(path: &Path) -> Outcome<u8> {
    let mut file = fs_err::File::open(path)?;
    let mut buffer = vec![0; 4 << 20];
    let mut last = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(last),
            count => last = buffer[count - 1],
        }
    }
}

fn copy_of(path: &Path) -> Outcome<PathBuf> {
    for entry in fs_err::read_dir(path.join("derived"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "npy") {
            return Ok(path);
        }
    }
    Err("expected a derived copy of the shards".into())
}

/// Asks the system to drop a file from its page cache, through GNU dd.
fn evict(path: &Path) {
    let mut from = std::ffi::OsString::from("if=");
    from.push(path);
    let status = Command::new("dd")
        .arg(from)
        .args(["iflag=nocache", "count=0"])
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "expected GNU dd");
}

/// Peak memory of this program in GB, where the system reports it.
fn peak_memory() -> f64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) * 1024.0 / 1e9
}
