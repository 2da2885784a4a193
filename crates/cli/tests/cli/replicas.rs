//! An extraction over two served replicas of facefold itself, one of which is killed half way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use facefold_core::{ImageKey, RejectReason};
use facefold_store::Store;

use crate::serve::Served;
use crate::stored::{cosine, embeddings, keys};
use crate::support::{Dir, drawn, has_weights, line, pictures, succeed};

/// About as many bytes as the store's log grows by a picture.
const ROW: u64 = 2_000;

/// Drawn faces as a data set of one class, with a picture of nothing and two files that are no
/// whole pictures.
fn data_set(dir: &Dir) -> PathBuf {
    let root = dir.path("pictures");
    let face = root.join("face");
    std::fs::create_dir_all(&face).expect("a folder");
    let all = pictures(drawn());
    for (number, picture) in all.iter().enumerate() {
        std::fs::copy(picture, face.join(format!("{number:03}.jpg"))).expect("a copy");
    }
    let whole = std::fs::read(&all[0]).expect("a picture");
    std::fs::write(face.join("cut.jpg"), &whole[..whole.len() / 2]).expect("a file");
    std::fs::write(face.join("text.jpg"), "this is no picture").expect("a file");
    image::RgbImage::from_pixel(300, 300, image::Rgb([120, 130, 140]))
        .save(face.join("nothing.png"))
        .expect("a file");
    root
}

fn rejections(store: &Path) -> BTreeMap<ImageKey, RejectReason> {
    let stored = Store::open(store).expect("a store").rejections().expect("rejections");
    stored.into_iter().map(|(key, rejection)| (key, rejection.reason)).collect()
}

#[test]
fn two_replicas_of_facefold_one_killed_give_what_the_local_extractor_gives() {
    let dir = Dir::new();
    let root = data_set(&dir);
    // Without weights the untrained network does, which takes whole pictures.
    let model = if has_weights() { "buffalo_s" } else { "untrained" };
    let [local, remote] = ["local", "remote"].map(|name| dir.path(name));
    let extract = format!("extract folder {{}} --store {{}} --model {model} --offline");
    succeed(line(&extract, &[&root, &local]));

    let serve = format!("serve --model {model} --listen 127.0.0.1:0 --threads 1 --offline");
    let mut replicas = [Served::start(line(&serve, &[])), Served::start(line(&serve, &[]))];
    let [first, second] = [0, 1].map(|at: usize| format!("http://{}", replicas[at].address));
    let through = format!(
        "extract folder {{}} --store {{}} --backend insightface --url {first} --url {second}"
    );
    let child = line(&through, &[&root, &remote])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("facefold starts");
    let start = Instant::now();
    let size = || std::fs::metadata(remote.join("log")).map_or(0, |metadata| metadata.len());
    while size() < 15 * ROW && start.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = size();
    replicas[1].child.kill().expect("a replica to kill");
    let output = child.wait_with_output().expect("facefold ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(before < 50 * ROW, "the replica was killed too late: {before} bytes were written");

    let rejected = rejections(&local);
    assert!(rejected.len() >= 2, "{rejected:?}");
    assert_eq!(rejections(&remote), rejected);
    let [ours, theirs] = [&local, &remote].map(|path| Store::open(path).expect("a store"));
    assert_eq!(keys(&ours), keys(&theirs));
    let all: Vec<ImageKey> = keys(&ours).into_iter().collect();
    assert!(all.len() >= 50, "{} pictures", all.len());
    let rows = embeddings(&ours, &all).into_iter().zip(embeddings(&theirs, &all));
    let worst = rows.map(|(a, b)| cosine(&a, &b)).fold(1.0, f64::min);
    println!("{model}: {} pictures, killed at {before} bytes, smallest cosine {worst}", all.len());
    assert!(worst >= 0.999_999, "{worst}");
}
