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

impl RemoteStore {
    fn fetched(&self, copy: &Path, may_be_missing: bool) -> Result<Transferred, RemoteError> {
        fs::create_dir_all(copy).unwrap();
        self.runtime.block_on(self.fetch(copy, may_be_missing))
    }

    fn uploaded(&self, copy: &Path, whole: bool) -> Result<Transferred, RemoteError> {
        self.runtime.block_on(self.upload(copy, whole))
    }
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
    write(copy, "samples.parquet", b"PAR1 samples PAR1");
    write(copy, "store.json", b"{\"header\": 1}");
    write(copy, "log", b"not uploaded");
    names
}

#[test]
fn a_store_that_was_uploaded_is_fetched_whole_and_once() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    assert!(matches!(remote.fetched(&other, false), Err(RemoteError::Missing { .. })));
    assert_eq!(remote.fetched(&one, true).unwrap(), Transferred::default());
    let names = store(&one);
    assert_eq!(remote.uploaded(&one, true).unwrap().files, 4);
    assert_eq!(remote.uploaded(&one, true).unwrap(), Transferred::default());
    assert_eq!(remote.fetched(&one, false).unwrap(), Transferred::default());
    assert_eq!(remote.fetched(&other, false).unwrap().files, 4);
    assert_eq!(remote.fetched(&other, false).unwrap(), Transferred::default());
    for name in names.iter().map(String::as_str).chain(["samples.parquet", "store.json"]) {
        assert_eq!(fs::read(one.join(name)).unwrap(), fs::read(other.join(name)).unwrap());
    }
    assert!(!other.join("log").exists());
}

#[test]
fn what_changes_is_followed() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    store(&one);
    // A run that is under way can go on elsewhere.
    assert_eq!(remote.uploaded(&one, false).unwrap().files, 3);
    assert_eq!(remote.fetched(&other, true).unwrap().files, 3);
    assert!(!other.join("samples.parquet").exists());
    assert_eq!(remote.uploaded(&one, true).unwrap().files, 1);
    assert_eq!(remote.fetched(&other, false).unwrap().files, 1);
    write(&one, &shard(b"more"), b"more");
    write(&one, "store.json", b"{\"header\": 2}");
    assert_eq!(remote.uploaded(&one, true).unwrap().files, 2);
    assert_eq!(remote.fetched(&other, false).unwrap().files, 2);
    assert_eq!(fs::read(other.join("store.json")).unwrap(), b"{\"header\": 2}");
    // A removal writes the shards of the others anew, and deletes those of before.
    fs::remove_file(one.join(shard(b"more"))).unwrap();
    write(&one, &shard(b"less"), b"less");
    write(&one, "store.json", b"{\"header\": 3}");
    assert_eq!(remote.uploaded(&one, true).unwrap().files, 2);
    assert_eq!(remote.fetched(&other, false).unwrap().files, 2);
    assert!(!other.join(shard(b"more")).exists() && other.join(shard(b"less")).exists());
}

#[test]
fn two_writers_do_not_overwrite_each_other() {
    let (remote, _) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    store(&one);
    remote.uploaded(&one, true).unwrap();
    remote.fetched(&other, false).unwrap();
    // A copy that one run writes has no other writer, and readers leave it alone.
    let writer = remote.write(&one).unwrap();
    assert!(matches!(remote.write(&one), Err(RemoteError::Busy { .. })));
    assert_eq!(remote.read(&one).unwrap(), None);
    // Another machine sees that the claim is renewed.
    std::thread::scope(|scope| {
        let found = scope.spawn(|| remote.write(&other).err());
        for times in 1..200 {
            if found.is_finished() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            writer.renew(times).unwrap();
        }
        assert!(matches!(found.join().unwrap(), Some(RemoteError::Busy { .. })));
    });
    write(&one, "store.json", b"{\"header\": \"of one\"}");
    assert_eq!(writer.finish(true).unwrap().files, 1);
    drop(writer);
    // The next writer begins with what is there.
    let writer = remote.write(&other).unwrap();
    assert_eq!(writer.downloaded.files, 1);
    assert_eq!(fs::read(other.join("store.json")).unwrap(), b"{\"header\": \"of one\"}");
    // One that wrote all the same is found out.
    write(&one, "store.json", b"{\"header\": \"of a third\"}");
    remote.uploaded(&one, true).unwrap();
    write(&other, "store.json", b"{\"header\": \"of another\"}");
    let found = writer.finish(true);
    assert!(matches!(found, Err(RemoteError::Diverged { .. })), "{found:?}");
}

/// A run that removed a shard, as one that forgets a person does, and was killed before all was uploaded.
#[test]
fn a_removal_that_was_cut_off_is_uploaded_by_the_next_run() {
    let (remote, objects) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    let [large, small] = store(&one);
    remote.uploaded(&one, true).unwrap();
    remote.fetched(&other, false).unwrap();
    write(&other, "derived/embedding.npy", b"of the person");
    let writer = remote.write(&one).unwrap();
    fs::remove_file(one.join(&small)).unwrap();
    write(&one, &shard(b"others"), b"others");
    write(&one, "removal", b"");
    drop(writer);
    // Neither a reader nor a writer on this machine brings the shard back; what is half removed is not uploaded.
    remote.read(&one).unwrap();
    let writer = remote.write(&one).unwrap();
    assert_eq!(writer.earlier, Transferred::default());
    assert!(!one.join(&small).exists());
    fs::remove_file(one.join("removal")).unwrap();
    write(&one, "store.json", b"{\"header\": \"after it\"}");
    drop(writer);
    let writer = remote.write(&one).unwrap();
    assert_eq!(writer.earlier.files, 2);
    writer.finish(true).unwrap();
    let there = |name: &str| {
        let object = ObjectPath::from(format!("stores/faces/{name}"));
        remote.runtime.block_on(objects.head(&object)).is_ok()
    };
    assert!(!there(&small) && there(&large) && there(&shard(b"others")) && !there("writer.json"));
    // Nor is anything made of it left elsewhere.
    remote.read(&other).unwrap();
    assert!(!other.join(&small).exists() && !other.join("derived").exists());
}

#[test]
fn a_download_goes_on_and_corrupt_bytes_are_refused() {
    let (remote, objects) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    let [large, small] = store(&one);
    remote.uploaded(&one, true).unwrap();
    let begun = &fs::read(one.join(&large)).unwrap()[..PART as usize - 3];
    write(&other, &format!("{large}.download"), begun);
    remote.fetched(&other, false).unwrap();
    assert_eq!(fs::read(one.join(&large)).unwrap(), fs::read(other.join(&large)).unwrap());

    let third = directory.path().join("third/faces");
    let object = ObjectPath::from(format!("stores/faces/{small}"));
    remote.runtime.block_on(objects.put(&object, "smell".into())).unwrap();
    let error = remote.fetched(&third, false).unwrap_err();
    assert!(matches!(&error, RemoteError::Corrupt { name, .. } if *name == small), "{error}");
    assert!(!third.join(&small).exists() && !third.join("store.json").exists());
    // A header that was cut off is not taken over.
    let header = ObjectPath::from("stores/faces/store.json");
    remote.runtime.block_on(objects.put(&header, "{\"hea".into())).unwrap();
    let error = remote.fetched(&other, false).unwrap_err();
    assert!(matches!(&error, RemoteError::Corrupt { name, .. } if name == "store.json"), "{error}");
    assert_eq!(fs::read(other.join("store.json")).unwrap(), b"{\"header\": 1}");
    remote.runtime.block_on(objects.put(&header, "{\"header\": 1}".into())).unwrap();
    // A shard that was removed there goes here too; one that only the copy has stays.
    remote.runtime.block_on(objects.delete(&object)).unwrap();
    write(&other, &shard(b"own"), b"own");
    remote.fetched(&other, false).unwrap();
    assert!(other.join(&small).exists(), "no one wrote the store");
    remote.runtime.block_on(objects.put(&header, "{\"header\": 4}".into())).unwrap();
    remote.fetched(&other, false).unwrap();
    assert!(!other.join(&small).exists() && other.join(shard(b"own")).exists());
}

#[test]
fn what_the_server_lost_is_uploaded_again() {
    let (remote, objects) = remote();
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one/faces"), directory.path().join("other/faces"));
    let [_, small] = store(&one);
    remote.uploaded(&one, true).unwrap();
    // Shards of a run that never had a header belong to no store.
    let strange = ObjectPath::from(format!("stores/faces/{}", shard(b"strange")));
    remote.runtime.block_on(objects.put(&strange, "strange".into())).unwrap();
    remote.uploaded(&one, true).unwrap();
    assert!(remote.runtime.block_on(objects.head(&strange)).is_err());
    let names = [small.as_str(), "store.json"];
    for (lost, uploaded) in [(&names[..1], 1), (&names[..], 2)] {
        for name in lost {
            let object = ObjectPath::from(format!("stores/faces/{name}"));
            remote.runtime.block_on(objects.delete(&object)).unwrap();
        }
        assert_eq!(remote.fetched(&one, true).unwrap(), Transferred::default());
        assert!(remote.uploaded(&one, true).unwrap().files >= uploaded);
        assert!(one.join(&small).exists());
    }
    assert_eq!(remote.fetched(&other, false).unwrap().files, 4);
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "smb://server/faces",
        "faces",
        "memory:///a/b",
        "s3://b/a#1",
        "s3://b/a?v=2",
    ] {
        assert!(matches!(RemoteStore::open(text), Err(RemoteError::Address { .. })), "{text}");
    }
    let (remote, _) = remote();
    assert!(remote.copy_below(Path::new("/cache")).ends_with("faces"));
}
