use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;

use super::{PART, RemoteError, RemoteStore, Transferred};

fn remote() -> (RemoteStore, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    let prefix = ObjectPath::from("stores/faces");
    let remote =
        RemoteStore::of("s3://bucket/stores/faces", Arc::<InMemory>::clone(&objects), prefix);
    (remote.unwrap(), objects)
}

/// The name of a shard of these bytes.
fn shard(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes).to_hex();
    format!("shards/embeddings-0123456789abcdef-{}.parquet", &hash[..32])
}

fn write(copy: &Path, name: &str, bytes: &[u8]) {
    let path = copy.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A local store of two shards, of which one takes several requests.
fn store(copy: &Path) -> [String; 2] {
    let large: Vec<u8> = (0..2 * PART as usize + 5).map(|at| (at % 251) as u8).collect();
    let names = [large.as_slice(), b"small"].map(|bytes| {
        write(copy, &shard(bytes), bytes);
        shard(bytes)
    });
    write(copy, "samples.parquet", b"samples");
    write(copy, "store.json", b"header");
    write(copy, "log", b"not uploaded");
    names
}

#[test]
fn a_store_that_was_uploaded_is_fetched_whole_and_once() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    assert!(matches!(remote.fetch(&other, false), Err(RemoteError::Missing { .. })));
    assert_eq!(remote.fetch(&one, true).unwrap(), Transferred::default());
    let names = store(&one);
    assert_eq!(remote.upload(&one, true).unwrap().files, 4);
    assert_eq!(remote.upload(&one, true).unwrap(), Transferred::default());
    assert_eq!(remote.fetch(&one, false).unwrap(), Transferred::default());
    assert_eq!(remote.fetch(&other, false).unwrap().files, 4);
    assert_eq!(remote.fetch(&other, false).unwrap(), Transferred::default());
    for name in names.iter().map(String::as_str).chain(["samples.parquet", "store.json"]) {
        assert_eq!(fs::read(one.join(name)).unwrap(), fs::read(other.join(name)).unwrap());
    }
    assert!(!other.join("log").exists());
}

#[test]
fn what_changes_is_followed() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    store(&one);
    // A run that is under way can go on elsewhere.
    assert_eq!(remote.upload(&one, false).unwrap().files, 3);
    assert_eq!(remote.fetch(&other, true).unwrap().files, 3);
    assert!(!other.join("samples.parquet").exists());
    assert_eq!(remote.upload(&one, true).unwrap().files, 1);
    assert_eq!(remote.fetch(&other, false).unwrap().files, 1);
    write(&one, &shard(b"more"), b"more");
    write(&one, "store.json", b"another header");
    assert_eq!(remote.upload(&one, true).unwrap().files, 2);
    assert_eq!(remote.fetch(&other, false).unwrap().files, 2);
    assert_eq!(fs::read(other.join("store.json")).unwrap(), b"another header");
    // A removal writes the shards of the others anew, and deletes those of before.
    fs::remove_file(one.join(shard(b"more"))).unwrap();
    write(&one, &shard(b"less"), b"less");
    write(&one, "store.json", b"header after a removal");
    assert_eq!(remote.upload(&one, true).unwrap().files, 2);
    assert_eq!(remote.fetch(&other, false).unwrap().files, 2);
    assert!(!other.join(shard(b"more")).exists() && other.join(shard(b"less")).exists());
}

#[test]
fn two_writers_do_not_overwrite_each_other() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    store(&one);
    remote.upload(&one, true).unwrap();
    remote.fetch(&other, false).unwrap();
    write(&one, "store.json", b"header of one");
    remote.upload(&one, true).unwrap();
    write(&other, "store.json", b"header of another");
    for found in [remote.upload(&other, true), remote.fetch(&other, false)] {
        assert!(matches!(found, Err(RemoteError::Diverged { .. })), "{found:?}");
    }
    assert_eq!(fs::read(other.join("store.json")).unwrap(), b"header of another");
}

#[test]
fn a_download_goes_on_and_corrupt_bytes_are_refused() {
    let (remote, objects) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    let [large, small] = store(&one);
    remote.upload(&one, true).unwrap();
    let begun = &fs::read(one.join(&large)).unwrap()[..PART as usize - 3];
    write(&other, &format!("{large}.download"), begun);
    remote.fetch(&other, false).unwrap();
    assert_eq!(fs::read(one.join(&large)).unwrap(), fs::read(other.join(&large)).unwrap());

    let third = directory.path().join("third");
    let object = ObjectPath::from(format!("stores/faces/{small}"));
    remote.runtime.block_on(objects.put(&object, "smell".into())).unwrap();
    let error = remote.fetch(&third, false).unwrap_err();
    assert!(matches!(&error, RemoteError::Corrupt { name, .. } if *name == small), "{error}");
    assert!(!third.join(&small).exists() && !third.join("store.json").exists());
    // A shard that was removed there goes here too; one that only the copy has stays.
    remote.runtime.block_on(objects.delete(&object)).unwrap();
    write(&other, &shard(b"own"), b"own");
    remote.fetch(&other, false).unwrap();
    assert!(other.join(&small).exists(), "nobody wrote the store");
    let header = ObjectPath::from("stores/faces/store.json");
    remote.runtime.block_on(objects.put(&header, "written".into())).unwrap();
    remote.fetch(&other, false).unwrap();
    assert!(!other.join(&small).exists() && other.join(shard(b"own")).exists());
}

#[test]
fn what_the_server_lost_is_uploaded_again() {
    let (remote, objects) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    let [_, small] = store(&one);
    remote.upload(&one, true).unwrap();
    // Shards of a run that never had a header belong to no store.
    let strange = ObjectPath::from(format!("stores/faces/{}", shard(b"strange")));
    remote.runtime.block_on(objects.put(&strange, "strange".into())).unwrap();
    remote.upload(&one, true).unwrap();
    assert!(remote.runtime.block_on(objects.head(&strange)).is_err());
    let names = [small.as_str(), "store.json"];
    for (lost, uploaded) in [(&names[..1], 1), (&names[..], 2)] {
        for name in lost {
            let object = ObjectPath::from(format!("stores/faces/{name}"));
            remote.runtime.block_on(objects.delete(&object)).unwrap();
        }
        assert_eq!(remote.fetch(&one, true).unwrap(), Transferred::default());
        assert!(remote.upload(&one, true).unwrap().files >= uploaded);
        assert!(one.join(&small).exists());
    }
    assert_eq!(remote.fetch(&other, false).unwrap().files, 4);
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["s3://", "s3://bucket", "s3://bucket/", "smb://server/faces", "faces"] {
        assert!(matches!(RemoteStore::open(text), Err(RemoteError::Address { .. })), "{text}");
    }
    let (remote, _) = remote();
    assert!(remote.copy_below(Path::new("/cache")).ends_with("faces"));
}
