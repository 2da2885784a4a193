//! Extraction through insightface containers: `scripts/insightface_server.py`, which runs their models with onnxruntime.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use facefold_core::ImageKey;
use facefold_store::Store;
use facefold_testing::{Need, given};

use crate::stored::{cosine, embeddings, keys};
use crate::support::{Dir, line, pictures, succeed};

/// `scripts/insightface_server.py`, stopped when dropped.
struct Peer {
    child: Child,
    url: String,
}

impl Peer {
    fn start(python: &Path, models: &Path, more: &[&str]) -> Self {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/insightface_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(models)
            .args(["--port", "0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut url).expect("an address");
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pictures of real people, as a data set of one class.
fn real_pictures(dir: &Dir, data: &Path, count: usize) -> PathBuf {
    let images = data.join("utkface/images");
    let files = pictures(&images);
    let root = dir.path("pictures");
    std::fs::create_dir_all(root.join("face")).expect("a folder");
    let step = (files.len() / count).max(1);
    for (at, file) in files.iter().step_by(step).take(count).enumerate() {
        std::fs::copy(file, root.join(format!("face/{at}.jpg"))).expect("a copy");
    }
    root
}

#[test]
fn two_python_peers_one_killed_give_what_the_local_extractor_gives() {
    let Some(python) = given(Need::Python) else { return };
    let Some(models) = given(Need::Weights) else { return };
    let Some(data) = given(Need::Data) else { return };
    let dir = Dir::new();
    let root = real_pictures(&dir, &data, 50);
    let [local, remote, crops, remote_crops] =
        ["local", "remote", "crops", "remote-crops"].map(|name| dir.path(name));
    // Detectors with the input that the local one has for pictures of 200 pixels.
    let size = ["--max-size", "256,256"];
    let plain = [size[0], size[1], "--without-msgpack"];
    let mut peers = [Peer::start(&python, &models, &size), Peer::start(&python, &models, &plain)];
    let urls: Vec<String> = peers.iter().map(|peer| peer.url.clone()).collect();

    // Aligned crops go through embed_only, of both encodings.
    succeed(line("extract folder {} --store {} --aligned", &[&root, &crops]));
    let urls_of = format!("--backend insightface --url {} --url {}", urls[0], urls[1]);
    succeed(line(
        &format!("extract folder {{}} --store {{}} --aligned {urls_of}"),
        &[&root, &remote_crops],
    ));
    let [worst, _] = compared(&crops, &remote_crops, 0, 0.001);
    assert!(worst > 0.999_999, "aligned crops: smallest cosine {worst}");

    succeed(line("extract folder {} --store {}", &[&root, &local]));
    let child = line(&format!("extract folder {{}} --store {{}} {urls_of}"), &[&root, &remote])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("facefold starts");
    // Half way: the log of the store grows with every picture, 2 kB each.
    let start = Instant::now();
    let log = remote.join("log");
    let size = || std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
    while size() < 25 * 2_000 && start.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = size();
    peers[1].child.kill().expect("a peer to kill");
    let output = child.wait_with_output().expect("facefold ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(before < 45 * 2_000, "the peer was killed too late: {before} bytes were written");
    let [worst, _] = compared(&local, &remote, 1, 0.05);
    assert!(worst >= 0.99, "detected faces: smallest cosine {worst}");

    // At the size of most containers their detector sees the faces as large as the local one does, but
    // with a margin around pictures that here have none: landmarks of faces that fill their pictures
    // move by a pixel or two.
    let large = dir.path("remote-large");
    let peer = Peer::start(&python, &models, &[]);
    let command =
        format!("extract folder {{}} --store {{}} --backend insightface --url {}", peer.url);
    succeed(line(&command, &[&root, &large]));
    let [worst, median] = compared(&local, &large, 1, 0.2);
    assert!(worst > 0.9 && median > 0.98, "at 640 pixels: cosines from {worst}, median {median}");
}

/// The smallest and the median cosine of embeddings of the same picture in two stores, which differ in at most so
/// many pictures that one of them rejects, and in lengths of embeddings by less than `norm` of them.
fn compared(local: &Path, remote: &Path, differing: usize, norm: f64) -> [f64; 2] {
    let [local, remote] = [local, remote].map(|path| Store::open(path).expect("a store"));
    let [ours, theirs] = [keys(&local), keys(&remote)];
    let only: Vec<_> = ours.symmetric_difference(&theirs).collect();
    println!("{} here, {} there, {} in one only", ours.len(), theirs.len(), only.len());
    assert!(only.len() <= differing, "{only:?}");
    let common: Vec<ImageKey> = ours.intersection(&theirs).copied().collect();
    assert!(common.len() >= 45, "{} pictures", common.len());
    let [ours, theirs] = [&local, &remote].map(|store| embeddings(store, &common));
    let cosines = ours.iter().zip(&theirs).map(|(a, b)| cosine(a, b));
    let mut cosines: Vec<f64> = cosines.collect();
    cosines.sort_by(f64::total_cmp);
    let norms = |rows: &[Vec<f64>]| -> Vec<f64> { rows.iter().map(|row| length(row)).collect() };
    for (a, b) in norms(&ours).iter().zip(norms(&theirs)) {
        assert!((a / b - 1.0).abs() < norm, "norms {a} and {b}");
    }
    [cosines[0], cosines[cosines.len() / 2]]
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|value| value * value).sum::<f64>().sqrt()
}
