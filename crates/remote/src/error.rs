//! What can go wrong with a store on object storage.

use std::io;
use std::path::PathBuf;

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// An address that is none, or settings of the environment that do not fit it.
    #[error(
        "`{address}`: expected s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, found {what}"
    )]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is no store.
    #[error("there is no store at `{address}`: expected `store.json` in it")]
    Missing {
        /// The address.
        address: String,
    },
    /// A request that failed, after having been tried again for minutes where that may help.
    #[error(
        "`{address}/{name}`: {source}; check the address, and credentials, region and endpoint in the environment; what \
         was transferred is kept, and the same command goes on"
    )]
    Request {
        /// The address of the store.
        address: String,
        /// The file; empty for its listing.
        name: String,
        /// The failure.
        source: Box<object_store::Error>,
    },
    /// A picture, or a listing of pictures, that cannot be had.
    #[error(
        "`{address}`: {source}; check the address, and credentials, region and endpoint in the environment"
    )]
    Picture {
        /// Its address.
        address: String,
        /// The failure.
        source: Box<object_store::Error>,
    },
    /// A picture that is larger than any that is read.
    #[error(
        "`{address}`: expected a picture of at most {most} bytes, found {bytes}; make it smaller, or leave it out"
    )]
    TooLarge {
        /// Its address.
        address: String,
        /// Its size.
        bytes: u64,
        /// The largest that is read.
        most: u64,
    },
    /// A file that is not what was written.
    #[error(
        "`{address}/{name}` is not what was written: expected other bytes; the command that made the store uploads it \
         again, on a machine whose local copy has it"
    )]
    Corrupt {
        /// The address of the store.
        address: String,
        /// The file.
        name: String,
    },
    /// Another run writes the store.
    #[error(
        "another run writes the store `{address}`: wait for its end; where it was killed on another machine, the same \
         command goes on a minute after"
    )]
    Busy {
        /// The address.
        address: String,
    },
    /// A shard of the local copy that is not what was written.
    #[error("`{}` is damaged: delete it, and run the same command again", path.display())]
    Damaged {
        /// The shard.
        path: PathBuf,
    },
    /// The store and its local copy have both changed.
    #[error(
        "the store `{address}` was written by another program since its local copy `{}` was made, and the copy \
         has changed too: to go on from what is at the address, delete the copy; pictures that it alone has are then extracted again", copy.display()
    )]
    Diverged {
        /// The address of the store.
        address: String,
        /// The local copy.
        copy: PathBuf,
    },
    /// The local disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}
