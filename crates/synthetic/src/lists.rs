//! The five official lists, in the published format: twelve columns with tabs between.

use std::fmt::Write as _;
use std::path::Path;

use facefold_core::files::write_atomic;

use crate::error::SyntheticError;
use crate::plan::{FOLDS, Plan, Row, Subject};

/// First line of every list.
const HEADER: &str = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\t\
                      fiducial_yaw_angle\tfiducial_score\n";

/// Writes `fold_0_data.txt` to `fold_4_data.txt` into `out`; gives the number of rows in all.
pub(super) fn write(out: &Path, plan: &Plan) -> Result<usize, SyntheticError> {
    let mut lists: [String; FOLDS] = std::array::from_fn(|_| HEADER.to_owned());
    let mut duplicates = plan.duplicates.iter().peekable();
    let mut rows = 0;
    for (index, row) in plan.rows.iter().enumerate() {
        let subject = &plan.subjects[row.subject];
        let twice = duplicates.next_if_eq(&&index).is_some();
        for _ in 0..=usize::from(twice) {
            push(&mut lists[subject.fold], subject, row);
            rows += 1;
        }
    }
    for (fold, list) in lists.iter().enumerate() {
        write_atomic(&out.join(format!("fold_{fold}_data.txt")), list.as_bytes())?;
    }
    Ok(rows)
}

fn push(list: &mut String, subject: &Subject, row: &Row) {
    let [x, y, dx, dy] = row.place;
    // Writing to a string cannot fail.
    let _ = writeln!(
        list,
        "{}\t{}\t{}\t{}\t{}\t{x}\t{y}\t{dx}\t{dy}\t{}\t{}\t{}",
        subject.id, row.image, row.face_id, row.age, row.gender, row.tilt, row.yaw, row.score
    );
}
