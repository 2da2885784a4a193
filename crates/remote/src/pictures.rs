//! Pictures on object storage: which there are below an address, and their bytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use facefold_core::pictures::{MOST_BYTES, is_picture};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, parse_url_opts};
use tokio::runtime::Runtime;
use url::Url;

use crate::error::RemoteError;
use crate::{AT_A_TIME, environment, invalid_address};

/// Reads pictures by their addresses, from any thread; connections are kept.
#[derive(Debug)]
pub struct PictureReader {
    runtime: Runtime,
    /// By scheme and bucket.
    buckets: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl PictureReader {
    /// A reader; credentials, region and endpoint are those of the environment.
    ///
    /// # Errors
    /// No thread for requests.
    pub fn new() -> Result<Self, RemoteError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        Ok(Self { runtime, buckets: Mutex::default() })
    }

    /// The addresses of the objects below an address whose names are those of pictures, sorted.
    ///
    /// # Errors
    /// [`RemoteError::Address`], or a request that fails for minutes.
    pub fn list(&self, address: &str) -> Result<Vec<String>, RemoteError> {
        let (bucket, prefix, base) = self.opened(address)?;
        self.blocking(async {
            let mut found = Vec::new();
            let mut objects = bucket.list(Some(&prefix));
            while let Some(object) = objects.try_next().await.map_err(|e| failed(address, e))? {
                if object.location.filename().is_some_and(|name| is_picture(Path::new(name))) {
                    found.push(format!("{base}/{}", object.location));
                }
            }
            found.sort_unstable();
            Ok(found)
        })
    }

    /// The bytes of each picture, some read at a time, in the order given.
    pub fn read(&self, addresses: &[&str]) -> Vec<Result<Vec<u8>, RemoteError>> {
        let read: Vec<_> = addresses.iter().map(|&address| self.read_one(address)).collect();
        self.blocking(stream::iter(read).buffered(2 * AT_A_TIME).collect())
    }

    async fn read_one(&self, address: &str) -> Result<Vec<u8>, RemoteError> {
        let (bucket, path, _) = self.opened(address)?;
        let found = bucket.get(&path).await.map_err(|error| failed(address, error))?;
        if found.meta.size > MOST_BYTES {
            let (address, bytes) = (address.to_owned(), found.meta.size);
            return Err(RemoteError::TooLarge { address, bytes, most: MOST_BYTES });
        }
        Ok(found.bytes().await.map_err(|error| failed(address, error))?.to_vec())
    }

    /// The bucket of an address, the path in it, and the address of the bucket.
    fn opened(
        &self,
        address: &str,
    ) -> Result<(Arc<dyn ObjectStore>, ObjectPath, String), RemoteError> {
        let base_end = address.find("://").and_then(|at| {
            let rest = &address[at + 3..];
            Some(at + 3 + rest.find('/').unwrap_or(rest.len())).filter(|_| !rest.is_empty())
        });
        let base = base_end.map(|end| address[..end].to_owned());
        let base = base.ok_or_else(|| invalid_address(address, "no bucket".to_owned()))?;
        // Not by the URL: a key may have a `#` or a `?` in it.
        let key = address[base.len()..].trim_matches('/');
        let path = ObjectPath::parse(key).map_err(|e| invalid_address(address, e.to_string()))?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&base) {
            return Ok((Arc::clone(bucket), path, base));
        }
        let invalid = |what: String| invalid_address(address, what);
        let url = Url::parse(&base).map_err(|error| invalid(error.to_string()))?;
        let (bucket, _) =
            parse_url_opts(&url, environment()).map_err(|error| invalid(error.to_string()))?;
        let bucket: Arc<dyn ObjectStore> = Arc::from(bucket);
        buckets.insert(base.clone(), Arc::clone(&bucket));
        Ok((bucket, path, base))
    }

    /// Runs requests to their end, on a thread that no other runtime works on.
    fn blocking<T: Send>(&self, requests: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| self.runtime.block_on(requests));
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn failed(address: &str, source: object_store::Error) -> RemoteError {
    RemoteError::Picture { address: address.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::PictureReader;

    #[test]
    fn pictures_below_an_address_are_listed_and_read() {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in [("b/2.JPG", "two"), ("a/1 #?.png", "one"), ("notes.txt", "none")] {
            let path = directory.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
        }
        let reader = PictureReader::new().unwrap();
        let address = format!("file://{}", directory.path().display());
        let found = reader.list(&address).unwrap();
        assert_eq!(found, [format!("{address}/a/1 #?.png"), format!("{address}/b/2.JPG")]);
        let missing = format!("{address}/c.png");
        let read = reader.read(&[&found[1], &missing, &found[0]]);
        assert_eq!(read[0].as_deref().unwrap(), b"two");
        assert!(read[1].as_ref().unwrap_err().to_string().contains("c.png"));
        assert_eq!(read[2].as_deref().unwrap(), b"one");
        assert!(reader.list("s3://").is_err());
    }
}
