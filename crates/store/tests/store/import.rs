//! Embeddings as Python's programs write them.

use std::path::Path;
use std::process::Command;

use facefold_store::{ImportError, ImportFiles, ImportedRows};
use facefold_testing::{Need, given};

/// Writes the same five rows of three values in many ways, of which row 3 has none where a file can say
/// so.
const WRITE: &str = r#"
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
out = sys.argv[1]
x = np.arange(15, dtype=np.float64).reshape(5, 3) / 4
paths = [f"ü{i}.jpg" for i in range(5)]
for dtype in ["f2", "f4", "f8"]:
    np.save(f"{out}/{dtype}.npy", x.astype("<" + dtype))
    np.save(f"{out}/{dtype}-fortran.npy", np.asfortranarray(x.astype("<" + dtype)))
np.savez(f"{out}/stored.npz", x.astype("f4"))
np.savez_compressed(f"{out}/compressed.npz", embeddings=np.asfortranarray(x), paths=np.array(paths))
np.save(f"{out}/big-endian.npy", x.astype(">f4"))
np.save(f"{out}/objects.npy", np.array([x[0], None], dtype=object), allow_pickle=True)
lists = lambda type: pa.array(list(x.astype(type)))
fixed = pa.FixedSizeListArray.from_arrays(pa.array(x.astype("f4").ravel()), 3)
large = pa.array([list(row) for row in x], pa.large_list(pa.float32()))
columns = {f"embedding_{i}": x[:, i].astype("f4") for i in range(3)}
for compression in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    table = pa.table({"path": paths, "embedding": lists("f4"), "year": list(range(5))})
    pq.write_table(table, f"{out}/{compression}.parquet", compression=compression, row_group_size=2)
pq.write_table(pa.table({"path": pa.array(paths).dictionary_encode(), "e": fixed}), f"{out}/fixed.parquet")
pq.write_table(pa.table({"path": pa.array(paths, pa.large_string()), "e": large}), f"{out}/large.parquet")
pq.write_table(pa.table({"e": lists("f2")}), f"{out}/f2.parquet")
pq.write_table(pa.table({"e": lists("f8")}), f"{out}/f8.parquet")
pq.write_table(pa.table({"path": paths} | columns), f"{out}/columns.parquet", version="1.0")
"#;

fn rows(path: &Path, key: Option<&str>) -> Result<(Vec<f32>, Option<Vec<String>>), ImportError> {
    let files = ImportFiles {
        embeddings: path.to_owned(),
        key: key.map(str::to_owned),
        ..ImportFiles::default()
    };
    let rows = ImportedRows::open(&files)?;
    let mut values = Vec::new();
    rows.for_each(|row| {
        values.extend_from_slice(row.embedding.unwrap_or_default());
        Ok::<(), ImportError>(())
    })?;
    Ok((values, rows.text_columns().first().map(|column| column.texts.clone())))
}

#[test]
fn what_numpy_and_pyarrow_write_is_read() {
    let Some(python) = given(Need::Python) else { return };
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(python).arg("-c").arg(WRITE).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<f32> = (0..15).map(|value| value as f32 / 4.0).collect();
    let names: Vec<String> = (0..5).map(|row| format!("ü{row}.jpg")).collect();
    for name in [
        "f2.npy",
        "f2-fortran.npy",
        "f4.npy",
        "f4-fortran.npy",
        "f8.npy",
        "f8-fortran.npy",
        "stored.npz",
        "compressed.npz",
        "none.parquet",
        "snappy.parquet",
        "gzip.parquet",
        "zstd.parquet",
        "lz4.parquet",
        "fixed.parquet",
        "large.parquet",
        "f2.parquet",
        "f8.parquet",
        "columns.parquet",
    ] {
        let (values, _) = rows(&directory.path().join(name), None).unwrap();
        assert_eq!(values, expected, "{name}");
    }
    for (name, key) in [
        ("compressed.npz", "paths"),
        ("snappy.parquet", "path"),
        ("fixed.parquet", "path"),
        ("large.parquet", "path"),
    ] {
        let (_, keys) = rows(&directory.path().join(name), Some(key)).unwrap();
        assert_eq!(keys.as_ref(), Some(&names), "{name}");
    }
    for (name, expected) in [
        ("big-endian.npy", "found dtype `>f4`"),
        ("objects.npy", "numpy.stack(rows)"),
        ("brotli.parquet", "Snappy, LZ4, Zstandard or gzip, found BROTLI"),
    ] {
        let message = rows(&directory.path().join(name), None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
