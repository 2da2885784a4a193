//! Stores on object storage (`s3://bucket/prefix`, `gs://…`, `az://…`): a local copy that follows the remote
//! store, and uploads of what a local run adds to it.
//!
//! Programs work on the local copy: what is derived from a store (the key index, matrices of features)
//! needs files that can be mapped. [`RemoteStore::read`] downloads what is new, by ranges, so that a download that was
//! cut off goes on; a [`Writer`] uploads what is new, shards first and the header last, so that
//! the remote store is whole whenever an upload is cut off. Shards carry the hash of their bytes in their names, and
//! are compared with it.

mod error;
mod pictures;
mod record;
mod writer;

use std::collections::BTreeSet;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use facefold_core::files::write_atomic;
use fs_err as fs;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart, parse_url_opts};
use tokio::runtime::Runtime;
use url::Url;

pub use error::RemoteError;
pub use pictures::PictureReader;
use record::{Record, Version};
pub use writer::Writer;

/// The header of a store, which is uploaded last.
const HEADER: &str = "store.json";

/// Files of a store besides its shards, in the order of uploads.
const FILES: [&str; 3] = ["run.toml", "samples.parquet", HEADER];

/// The directory of shards.
const SHARDS: &str = "shards";

/// What a store derives from its shards.
const DERIVED: &str = "derived";

/// Schemes of addresses.
const SCHEMES: [&str; 6] = ["s3", "s3a", "gs", "az", "abfs", "abfss"];

/// Bytes of a request.
const PART: u64 = 8 << 20;

/// Files that are transferred at a time.
const AT_A_TIME: usize = 4;

/// The end of the name of a file that is not whole yet.
const PARTIAL: &str = ".download";

fn invalid_address(address: &str, what: String) -> RemoteError {
    RemoteError::Address { address: address.to_owned(), what }
}

/// Credentials, region and endpoint, as `object_store` calls them.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value))
}

/// What a transfer moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A store on object storage.
#[derive(Debug)]
pub struct RemoteStore {
    address: String,
    objects: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    runtime: Runtime,
}

impl RemoteStore {
    /// The store at an address. Credentials, region and endpoint are those of the environment: `AWS_*`,
    /// `GOOGLE_*` and `AZURE_*`, as their own tools read them. Nothing is requested yet.
    ///
    /// # Errors
    /// [`RemoteError::Address`], or settings that do not go together.
    pub fn open(address: &str) -> Result<Self, RemoteError> {
        let invalid = |what: String| invalid_address(address, what);
        let url = Url::parse(address).map_err(|error| invalid(error.to_string()))?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(invalid(format!("the scheme `{}`", url.scheme())));
        }
        if url.fragment().is_some() || url.query().is_some() || !url.username().is_empty() {
            return Err(invalid(
                "a `#`, a `?` or a user name, which are no part of a prefix".to_owned(),
            ));
        }
        if url.path().trim_matches('/').is_empty() {
            return Err(invalid("a bucket without a prefix".to_owned()));
        }
        let (objects, prefix) =
            parse_url_opts(&url, environment()).map_err(|error| invalid(error.to_string()))?;
        Self::of(address, Arc::from(objects), prefix)
    }

    fn of(
        address: &str,
        objects: Arc<dyn ObjectStore>,
        prefix: ObjectPath,
    ) -> Result<Self, RemoteError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { address: address.to_owned(), objects, prefix, runtime })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the local copy belongs below a directory of such copies: its last part is that of the address.
    #[must_use]
    pub fn copy_below(&self, directory: &Path) -> PathBuf {
        let hash = blake3::hash(self.address.trim_end_matches('/').as_bytes()).to_hex();
        let name = self.prefix.parts().next_back();
        let name = name.map_or_else(|| "store".to_owned(), |part| part.as_ref().to_owned());
        directory.join(&hash[..16]).join(name)
    }

    /// Downloads what the remote store has and a local copy lacks, for a reader; deletes shards that another
    /// program has removed there. Shards that are gone there though no one wrote the store stay. `None` where a run
    /// on this machine writes the copy: it is ahead of the remote store then, and is left as it is.
    ///
    /// # Errors
    /// [`RemoteError::Missing`] where there is no store; a file that is not what was written, or a request that
    /// fails for minutes. What was downloaded stays, and the same call goes on from there.
    pub fn read(&self, copy: &Path) -> Result<Option<Transferred>, RemoteError> {
        let _downloads = record::download_lock(copy)?;
        // Looked at after the wait: a writer that begins now waits for this download.
        let Some(_free) = record::writer_lock(copy)? else { return Ok(None) };
        self.runtime.block_on(self.fetch(copy, false)).map(Some)
    }

    /// Begins to write the store: claims it there, uploads what an earlier run on this copy left, and downloads what
    /// the copy lacks. Once for each run.
    ///
    /// # Errors
    /// [`RemoteError::Busy`] where another run writes it, here or elsewhere; otherwise as [`Self::read`], but that
    /// the store need not be there yet.
    pub fn write<'a>(&'a self, copy: &'a Path) -> Result<Writer<'a>, RemoteError> {
        Writer::begin(self, copy)
    }

    async fn fetch(&self, copy: &Path, may_be_missing: bool) -> Result<Transferred, RemoteError> {
        let mut record = Record::read(copy)?;
        let files = self.list().await?;
        let Some((_, header)) = files.iter().find(|(name, _)| name == HEADER) else {
            if !may_be_missing {
                return Err(RemoteError::Missing { address: self.address.clone() });
            }
            // Not made yet, or lost there: all that the copy has is uploaded.
            record.clear();
            record.write(copy)?;
            return Ok(Transferred::default());
        };
        fs::create_dir_all(copy.join(SHARDS))?;
        let mut is_written = false;
        if !record.is_same(HEADER, header) {
            let bytes = self.get(HEADER, 0..header.bytes).await?;
            self.require_whole(HEADER, &bytes)?;
            is_written = record.hash(HEADER) != Some(blake3::hash(&bytes).to_hex().as_str());
        }
        if is_written {
            let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            for name in record.lost(&names) {
                remove(&copy.join(&name))?;
                // What was made of it goes too: it may be of a person who was forgotten.
                remove_directory(&copy.join(DERIVED))?;
                record.forget(&name);
                record.write(copy)?;
            }
        }
        let mut moved = Transferred::default();
        let (shards, others): (Vec<_>, Vec<_>) =
            files.iter().partition(|(name, _)| name.starts_with(SHARDS));
        let mut missing = Vec::new();
        for file @ (name, version) in shards {
            match fs::metadata(copy.join(name)) {
                Ok(found) if found.len() == version.bytes => {
                    record.note(name, version.clone(), None);
                }
                // Damaged there, or here.
                Ok(_) if is_right(copy, name)? => {}
                // A run that was cut off has removed it, and is not uploaded yet.
                Err(_) if record.pending.is_some() && record.has(name) => {}
                _ => missing.push(file),
            }
        }
        record.write(copy)?;
        let downloads = missing.into_iter().map(|(name, version)| async move {
            self.download(name, version, copy).await?;
            Ok::<_, RemoteError>((name, version))
        });
        let mut downloads = stream::iter(downloads).buffer_unordered(AT_A_TIME);
        while let Some((name, version)) = downloads.try_next().await? {
            record.note(name, version.clone(), None);
            record.write(copy)?;
            moved.files += 1;
            moved.bytes += version.bytes;
        }
        drop(downloads);
        for name in FILES {
            let Some((_, version)) = others.iter().find(|(other, _)| other == name) else {
                continue;
            };
            let path = copy.join(name);
            let local = hash_of(&path)?;
            if record.is_same(name, version) && (local.is_some() || name == "run.toml") {
                continue;
            }
            let bytes = self.get(name, 0..version.bytes).await?;
            let hash = blake3::hash(&bytes).to_hex().to_string();
            if local.as_ref() != Some(&hash) {
                self.require_whole(name, &bytes)?;
                if local.is_some() && record.pending.is_some() {
                    return Err(self.diverged(copy));
                }
                write_atomic(&path, &bytes)?;
                moved.files += 1;
                moved.bytes += version.bytes;
            }
            record.note(name, version.clone(), Some(hash));
            record.write(copy)?;
        }
        Ok(moved)
    }

    async fn upload(&self, copy: &Path, whole: bool) -> Result<Transferred, RemoteError> {
        let mut record = Record::read(copy)?;
        let files = self.list().await?;
        let remote = |name: &str| files.iter().find(|(other, _)| other == name).map(|(_, v)| v);
        if let Some(header) = remote(HEADER)
            && !record.is_same(HEADER, header)
        {
            let bytes = self.get(HEADER, 0..header.bytes).await?;
            let hash = Some(blake3::hash(&bytes).to_hex().to_string());
            if hash.as_deref() != record.hash(HEADER) && hash != hash_of(&copy.join(HEADER))? {
                return Err(self.diverged(copy));
            }
            record.note(HEADER, header.clone(), hash);
        }
        let mut moved = Transferred::default();
        let mut missing = Vec::new();
        for path in facefold_core::files::children(&copy.join(SHARDS))? {
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("{SHARDS}/{file}");
            let bytes = fs::metadata(&path)?.len();
            if is_shard(file) && remote(&name).is_none_or(|version| version.bytes != bytes) {
                if !is_right(copy, &name)? {
                    return Err(RemoteError::Damaged { path });
                }
                missing.push((name, bytes));
            }
        }
        missing.sort_unstable();
        let uploads = missing.iter().map(|(name, bytes)| async move {
            let version = self.put(name, &copy.join(name)).await?;
            Ok::<_, RemoteError>((name, *bytes, version))
        });
        let mut uploads = stream::iter(uploads).buffer_unordered(AT_A_TIME);
        while let Some((name, bytes, version)) = uploads.try_next().await? {
            record.note(name, version, None);
            record.write(copy)?;
            moved.files += 1;
            moved.bytes += bytes;
        }
        drop(uploads);
        // A run under way has a header too, so that it can go on on another machine.
        let names = if whole { &FILES[..] } else { &[HEADER] };
        for &name in names.iter().filter(|name| whole || remote(name).is_none()) {
            let path = copy.join(name);
            let local = hash_of(&path)?;
            if local.is_none() || (remote(name).is_some() && record.hash(name) == local.as_deref())
            {
                continue;
            }
            let version = self.put(name, &path).await?;
            moved.files += 1;
            moved.bytes += version.bytes;
            record.note(name, version, local);
            record.write(copy)?;
        }
        if !whole {
            return Ok(moved);
        }
        // Only now that the header does not count on them: shards of a run that ended before it had one, too.
        for (name, _) in files.iter().filter(|(name, _)| name.starts_with(SHARDS)) {
            if !copy.join(name).exists() {
                let deleted = self.objects.delete(&self.object(name)).await;
                deleted.map_err(|error| self.failed(name, error))?;
                record.forget(name);
                record.write(copy)?;
            }
        }
        record.pending = None;
        record.write(copy)?;
        Ok(moved)
    }

    /// Refuses a header or table that was cut off.
    fn require_whole(&self, name: &str, bytes: &[u8]) -> Result<(), RemoteError> {
        let whole = match name {
            HEADER => serde_json::from_slice::<serde_json::Value>(bytes).is_ok(),
            "samples.parquet" => bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"),
            _ => true,
        };
        if whole {
            return Ok(());
        }
        Err(RemoteError::Corrupt { address: self.address.clone(), name: name.to_owned() })
    }

    /// The files of the store, by their names below its prefix.
    async fn list(&self) -> Result<Vec<(String, Version)>, RemoteError> {
        let mut files = Vec::new();
        let mut objects = self.objects.list(Some(&self.prefix));
        while let Some(object) = objects.try_next().await.map_err(|error| self.failed("", error))? {
            let below = object.location.prefix_match(&self.prefix);
            let parts: Vec<String> = below
                .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect())
                .unwrap_or_default();
            let name = parts.join("/");
            let below =
                matches!(&parts[..], [directory, file] if directory == SHARDS && is_shard(file));
            if below || FILES.contains(&name.as_str()) {
                files.push((name, Version::of(&object)));
            }
        }
        files.sort();
        Ok(files)
    }

    fn object(&self, name: &str) -> ObjectPath {
        name.split('/').fold(self.prefix.clone(), ObjectPath::join)
    }

    async fn get(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, RemoteError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let found = self.objects.get_range(&self.object(name), range).await;
        found.map_err(|error| self.failed(name, error))
    }

    /// Downloads a shard part by part, behind what an earlier download left of it.
    async fn download(
        &self,
        name: &str,
        version: &Version,
        copy: &Path,
    ) -> Result<(), RemoteError> {
        let path = copy.join(name);
        let partial = copy.join(format!("{name}{PARTIAL}"));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&partial)?;
        let mut there = file.seek(std::io::SeekFrom::End(0))?;
        if there > version.bytes {
            file.set_len(0)?;
            there = 0;
        }
        while there < version.bytes {
            let end = version.bytes.min(there + PART);
            let bytes = self.get(name, there..end).await?;
            file.write_all(&bytes)?;
            there = end;
        }
        file.sync_all()?;
        drop(file);
        let hash = hash_of(&partial)?.unwrap_or_default();
        if !is_named(name, &hash) {
            remove(&partial)?;
            return Err(RemoteError::Corrupt {
                address: self.address.clone(),
                name: name.to_owned(),
            });
        }
        fs::rename(&partial, &path)?;
        Ok(())
    }

    /// Uploads a file; gives its version there.
    async fn put(&self, name: &str, path: &Path) -> Result<Version, RemoteError> {
        let object = self.object(name);
        let failed = |error| self.failed(name, error);
        let bytes = fs::metadata(path)?.len();
        if bytes <= PART {
            let payload = PutPayload::from(fs::read(path)?);
            self.objects.put(&object, payload).await.map_err(failed)?;
        } else {
            let upload = self.objects.put_multipart(&object).await.map_err(failed)?;
            let mut writer = WriteMultipart::new_with_chunk_size(upload, PART as usize);
            let mut file = fs::File::open(path)?;
            let mut buffer = vec![0; PART as usize];
            loop {
                let read = std::io::Read::read(&mut file, &mut buffer)?;
                if read == 0 {
                    break;
                }
                writer.wait_for_capacity(AT_A_TIME).await.map_err(failed)?;
                writer.write(&buffer[..read]);
            }
            writer.finish().await.map_err(failed)?;
        }
        // What is there now, in the words of a listing.
        let found = self.objects.head(&object).await.map_err(failed)?;
        if found.size != bytes {
            return Err(RemoteError::Corrupt {
                address: self.address.clone(),
                name: name.to_owned(),
            });
        }
        Ok(Version::of(&found))
    }

    fn failed(&self, name: &str, source: object_store::Error) -> RemoteError {
        RemoteError::Request {
            address: self.address.clone(),
            name: name.to_owned(),
            source: Box::new(source),
        }
    }

    fn diverged(&self, copy: &Path) -> RemoteError {
        RemoteError::Diverged { address: self.address.clone(), copy: copy.to_owned() }
    }
}

/// The hash of a file's bytes; none where there is no file.
fn hash_of(path: &Path) -> Result<Option<String>, RemoteError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

/// Whether a local shard has the bytes that its name says.
fn is_right(copy: &Path, name: &str) -> Result<bool, RemoteError> {
    Ok(hash_of(&copy.join(name))?.is_some_and(|hash| is_named(name, &hash)))
}

/// Whether a file is a shard by its name.
fn is_shard(file: &str) -> bool {
    !file.starts_with('.') && Path::new(file).extension().is_some_and(|ending| ending == "parquet")
}

/// Whether a shard's name ends with the first half of the hash of its bytes, as a store names them.
fn is_named(name: &str, hash: &str) -> bool {
    let stem = name.trim_end_matches(".parquet");
    stem.rsplit('-').next().is_some_and(|end| end.len() == 32 && hash.starts_with(end))
}

fn remove_directory(path: &Path) -> Result<(), RemoteError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove(path: &Path) -> Result<(), RemoteError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
