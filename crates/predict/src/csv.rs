//! Answers as CSV: one row a picture, or a face where all faces were asked for.

use crate::answer::Answer;

/// The columns. `age_low` and `age_high` bound an 80 % interval, and `familiarity` is the share of
/// training faces that are less familiar (below 0.01 the face is unfamiliar), where the bundle has
/// these.
pub const COLUMNS: [&str; 9] = [
    "path",
    "status",
    "gender",
    "gender_probability",
    "age_group",
    "age",
    "age_low",
    "age_high",
    "familiarity",
];

/// The header line. With all faces there is a `face_index`; with several bundles a `bundle`.
#[must_use]
pub fn header(all_faces: bool, several_bundles: bool) -> String {
    let mut columns: Vec<&str> = COLUMNS.to_vec();
    if all_faces {
        columns.push("face_index");
    }
    if several_bundles {
        columns.push("bundle");
    }
    columns.join(",")
}

/// The line of one answer; what the bundle cannot tell is empty.
#[must_use]
pub fn line(answer: &Answer, all_faces: bool, several_bundles: bool) -> String {
    let number = |value: Option<f32>| value.map_or_else(String::new, |value| format!("{value}"));
    let gender = answer.gender.as_ref();
    let group = answer.age_group.as_ref();
    let mut cells = vec![
        quoted(&answer.path),
        answer.status.as_str().to_owned(),
        answer.gender_letter().unwrap_or_default().to_owned(),
        number(gender.map(|gender| gender.probability)),
        group.map_or_else(String::new, |group| quoted(&group.label)),
        number(answer.age),
        number(answer.age_low),
        number(answer.age_high),
        number(answer.familiarity.map(|face| face.score)),
    ];
    if all_faces {
        cells.push(answer.face_index.to_string());
    }
    if several_bundles {
        cells.push(quoted(&answer.bundle));
    }
    cells.join(",")
}

/// Quotes a cell where CSV (RFC 4180) needs it.
pub(crate) fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{Familiarity, RejectReason, Rejection};

    use super::{header, line};
    use crate::answer::{Answer, ClassAnswer};

    #[test]
    fn an_answer_is_one_line_with_a_cell_a_column() {
        let gender = ClassAnswer::new(vec![("female".to_owned(), 0.25), ("male".to_owned(), 0.75)]);
        let answer = Answer {
            gender,
            age: Some(31.5),
            age_low: Some(28.0),
            age_high: Some(36.25),
            familiarity: Some(Familiarity { score: 0.5, distance: 0.25, unfamiliar: false }),
            ..Answer::empty("a, \"b\".jpg", "faces.facefold")
        };
        assert_eq!(line(&answer, false, false), r#""a, ""b"".jpg",ok,m,0.75,,31.5,28,36.25,0.5"#);
        let cells = |text: &str| text.matches(',').count();
        let rejection = Rejection::new(RejectReason::NoFace, "no face");
        let rejected = Answer::rejected("c.jpg", "x", &rejection);
        assert_eq!(line(&rejected, true, true), "c.jpg,no-face,,,,,,,,0,x");
        assert_eq!(cells(&line(&rejected, true, true)), cells(&header(true, true)));
    }
}
