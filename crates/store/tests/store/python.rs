//! Stores and exports as Python sees them, with the code that the documentation gives.

use std::path::Path;
use std::process::Command;

use facefold_core::FaceVariant;
use facefold_store::ExportFormat;
use facefold_testing::{Need, given};
use serde_json::{Value, json};

use crate::export::labelled;
use crate::util::{EMBEDDING, fingerprint, key, row};

fn run(python: &Path, code: &str, argument: &Path) -> Value {
    let output = Command::new(python).arg("-c").arg(code).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn plain(numbers: &[u32]) -> Vec<Vec<f32>> {
    numbers.iter().map(|&number| row(number, FaceVariant::PLAIN)[..EMBEDDING].to_vec()).collect()
}

#[test]
fn the_documented_code_reads_a_store() {
    let Some(python) = given(Need::Python) else { return };
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/store-format.md");
    let page = fs_err::read_to_string(page).unwrap();
    let (_, code) = page.split_once("```python\n").unwrap();
    let (code, _) = code.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(labelled(&path));
    let found = run(&python, code, &path);
    let rows = plain(&[7, 0, 7]);
    assert_eq!(found["fingerprint"], json!(fingerprint("made-up").as_str()));
    assert_eq!(found["shape"], json!([3, EMBEDDING]));
    assert_eq!(found["first"], json!(rows[0]));
    assert_eq!(found["sum"], json!(rows.iter().flatten().map(|&v| f64::from(v)).sum::<f64>()));
    assert_eq!(found["paths"], json!(["a, b.jpg", "c.jpg", "copy of a, b.jpg"]));
    assert_eq!(found["key"], json!(key(7).to_string()));
}

#[test]
fn numpy_and_pyarrow_read_exports_and_derived_matrices() {
    let Some(python) = given(Need::Python) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let store = labelled(&directory.path().join("store"));
    let out = directory.path().join("out");
    store.export(ExportFormat::Npy, &out).unwrap();
    store.export(ExportFormat::Parquet, &out).unwrap();
    let code = r#"
import glob, json, sys
import numpy as np, pyarrow.parquet as pq
out = sys.argv[1]
table = pq.read_table(out + "/embeddings.parquet")
derived = np.load(glob.glob(out + "/../store/derived/taps-*.npy")[0])
print(json.dumps({
    "npy": np.load(out + "/embeddings.npy").tolist(),
    "taps": np.load(out + "/taps.npy").shape,
    "parquet": table["embedding"].to_pylist(),
    "fold": table["fold"].to_pylist(),
    "race": table["race"].to_pylist(),
    "norm": table["norm"].to_pylist(),
    "derived": [str(derived.dtype), derived.shape],
}))
"#;
    let found = run(&python, code, &out);
    let rows = plain(&[7, 0, 7]);
    assert_eq!(found["npy"], json!(rows));
    assert_eq!(found["parquet"], json!(rows));
    assert_eq!(found["taps"], json!([3, 5]));
    assert_eq!(found["fold"], json!(["3", "3", "3"]));
    assert_eq!(found["race"], json!([null, null, null]));
    assert_eq!(found["norm"], json!([null, f64::from(0.1f32), null]));
    assert_eq!(found["derived"], json!(["float32", [18, 5]]));
}
