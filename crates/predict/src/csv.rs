//! Predictions as CSV: one row a picture, or a face where all faces were requested.
//!
//! Texts from elsewhere (paths, names of classes and bundles) are written as
//! [`facefold_core::text::cell`] and [`facefold_core::text::printable`] make them: no cell is run
//! by a spreadsheet, and no control character reaches a terminal. JSON has them as they are.

use facefold_core::AgeDecision;
use facefold_core::text;

use crate::prediction::{ClassPrediction, FacePrediction};

/// The columns. `age_low` and `age_high` bound an 80 % interval, and `familiarity` is the share of
/// training faces that are less familiar (below 0.01 the face is unfamiliar), where the bundle has
/// these. `class` is the prediction of a bundle trained on folders.
pub const COLUMNS: [&str; 11] = [
    "path",
    "status",
    "gender",
    "gender_probability",
    "age_group",
    "age",
    "age_low",
    "age_high",
    "familiarity",
    "class",
    "class_probability",
];

/// What further columns there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// A column `over_18` or the like with the decision, for each of these age thresholds.
    pub thresholds: Vec<u32>,
    /// A column `face_index`, as where all faces were requested.
    pub face_index: bool,
    /// A column `bundle`, as where there are several.
    pub bundle: bool,
}

/// The header line.
#[must_use]
pub fn header(further: &Columns) -> String {
    let mut columns: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    columns.extend(further.thresholds.iter().map(|age| format!("over_{age}")));
    if further.face_index {
        columns.push("face_index".to_owned());
    }
    if further.bundle {
        columns.push("bundle".to_owned());
    }
    columns.join(",")
}

/// The line of one prediction; cells without a head are empty.
#[must_use]
pub fn line(prediction: &FacePrediction, further: &Columns) -> String {
    let mut cells = vec![
        text(&prediction.path),
        prediction.status.as_str().to_owned(),
        prediction.gender_letter().unwrap_or_default().to_owned(),
        number(prediction.gender.as_ref().map(|gender| gender.probability)),
        label(prediction.age_group.as_ref()),
        number(prediction.age),
        number(prediction.age_low),
        number(prediction.age_high),
        number(prediction.familiarity.map(|face| face.score)),
        label(prediction.class.as_ref()),
        number(prediction.class.as_ref().map(|class| class.probability)),
    ];
    let decision =
        |&age: &u32| prediction.decision_at(age).map_or("", AgeDecision::as_str).to_owned();
    cells.extend(further.thresholds.iter().map(decision));
    if further.face_index {
        cells.push(prediction.face_index.to_string());
    }
    if further.bundle {
        cells.push(text(&prediction.bundle));
    }
    cells.join(",")
}

/// The predicted class, or an empty cell.
pub(crate) fn label(class: Option<&ClassPrediction>) -> String {
    class.map_or_else(String::new, |class| text(&class.label))
}

/// A number, or an empty cell.
pub(crate) fn number(value: Option<f32>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A text as a cell, quoted where CSV (RFC 4180) needs it.
pub(crate) fn text(cell: &str) -> String {
    let cell = text::cell(cell);
    let cell = text::printable(&cell);
    if cell.contains([',', '"']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeDecision, Familiarity, RejectReason, Rejection};

    use super::{Columns, header, line};
    use crate::prediction::{ClassPrediction, FacePrediction, ThresholdDecision};

    #[test]
    fn a_prediction_is_one_csv_line() {
        let gender =
            ClassPrediction::new(vec![("female".to_owned(), 0.25), ("male".to_owned(), 0.75)]);
        let prediction = FacePrediction {
            gender,
            age: Some(31.5),
            age_low: Some(28.0),
            age_high: Some(36.25),
            familiarity: Some(Familiarity { score: 0.5, distance: 0.25, unfamiliar: false }),
            thresholds: vec![ThresholdDecision {
                age: 18,
                decision: AgeDecision::Over,
                probability_over: Some(0.99),
            }],
            ..FacePrediction::empty("a, \"b\".jpg", "faces.facefold")
        };
        let plain = Columns::default();
        assert_eq!(line(&prediction, &plain), r#""a, ""b"".jpg",ok,m,0.75,,31.5,28,36.25,0.5,,"#);
        let cells = |text: &str| text.matches(',').count();
        let rejection = Rejection::new(RejectReason::NoFace, "no face");
        let rejected = FacePrediction::rejected("c.jpg", "x", &rejection);
        let all = Columns { thresholds: vec![18, 21], face_index: true, bundle: true };
        assert!(line(&prediction, &all).ends_with(",36.25,0.5,,,over,,0,faces.facefold"));
        assert!(header(&all).ends_with("class_probability,over_18,over_21,face_index,bundle"));
        assert_eq!(line(&rejected, &all), "c.jpg,no-face,,,,,,,,,,,,0,x");
        assert_eq!(cells(&line(&rejected, &all)), cells(&header(&all)));
    }

    #[test]
    fn class_names_are_escaped_in_csv() {
        let class = |names: [&str; 2]| {
            ClassPrediction::new(names.map(str::to_owned).into_iter().zip([0.75, 0.25]).collect())
        };
        let prediction = FacePrediction {
            age_group: class(["(25, 32)", "(0, 2)"]),
            class: class(["=HYPERLINK(1)", "b"]),
            ..FacePrediction::empty("a\n\u{1b}[2J.jpg", "-x.facefold")
        };
        let columns = Columns { bundle: true, ..Columns::default() };
        let expected = "a\\n\\u{1b}[2J.jpg,ok,,,\"(25, 32)\",,,,,'=HYPERLINK(1),0.75,'-x.facefold";
        assert_eq!(line(&prediction, &columns), expected);
    }
}
