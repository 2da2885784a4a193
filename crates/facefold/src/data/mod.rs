//! From stores to the rows of a task.

mod attributes;
mod distributions;
mod joined;
mod quality;
mod store_rows;
mod subjects;
mod task_data;
mod tasks;
pub(crate) mod warnings;

pub use distributions::distributions;
pub(crate) use joined::Changed;
pub use joined::JoinedStores;
pub use quality::LeastQuality;
pub(crate) use store_rows::require_no_removal;
pub use store_rows::{DataSet, Role, lost_rows};
pub(crate) use subjects::NO_LIKENESS;
pub use task_data::{RowId, TaskData};
