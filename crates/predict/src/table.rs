//! Predictions as a table for the terminal.

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::text::printable;

use crate::prediction::{ClassPrediction, FacePrediction};

/// The mark of an unfamiliar face.
const UNFAMILIAR: &str = "unlike the training faces";

/// The cell of a column for a prediction.
type Cell<'a> = Box<dyn Fn(&FacePrediction) -> Option<String> + 'a>;
/// A column's name and its cells.
type Column<'a> = (String, Cell<'a>);

/// `31`, or `31 (26 to 37)` with the interval in which eight of ten true ages lie.
fn age(prediction: &FacePrediction) -> Option<String> {
    let age = prediction.age?;
    Some(match prediction.age_low.zip(prediction.age_high) {
        Some((low, high)) => format!("{age:.0} ({low:.0} to {high:.0})"),
        None => format!("{age:.0}"),
    })
}

fn column<'a>(name: &str, cell: Cell<'a>) -> Column<'a> {
    (name.to_owned(), cell)
}

/// One line a face; empty columns are left out.
#[must_use]
pub fn table(predictions: &[FacePrediction]) -> String {
    let percent = |class: &Option<ClassPrediction>| {
        class.as_ref().map(|class| {
            format!("{} ({:.0} %)", printable(&class.label), 100.0 * class.probability)
        })
    };
    let several = predictions.iter().any(|prediction| prediction.bundle != predictions[0].bundle);
    let mut thresholds: Vec<u32> =
        predictions.iter().flat_map(|prediction| &prediction.thresholds).map(|at| at.age).collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    let decision = |age: u32| -> Column<'_> {
        (
            format!("{age} or older"),
            Box::new(move |prediction| Some(prediction.decision_at(age)?.to_string())),
        )
    };
    let mut columns: Vec<Column<'_>> = vec![
        column("picture", Box::new(|prediction| Some(printable(&prediction.path).into_owned()))),
        column(
            "face",
            Box::new(|prediction| {
                (prediction.face_index > 0).then(|| prediction.face_index.to_string())
            }),
        ),
        column(
            "bundle",
            Box::new(|prediction| several.then(|| printable(&prediction.bundle).into_owned())),
        ),
        column("gender", Box::new(|prediction| percent(&prediction.gender))),
        column("age group", Box::new(|prediction| percent(&prediction.age_group))),
        column("age", Box::new(age)),
    ];
    columns.extend(thresholds.into_iter().map(decision));
    columns.push(column("class", Box::new(|prediction| percent(&prediction.class))));
    columns.push(column(
        "note",
        Box::new(|prediction| prediction.is_unfamiliar().then(|| UNFAMILIAR.to_owned())),
    ));
    columns.push(column(
        "rejected",
        Box::new(|prediction| {
            let detail = prediction.detail.as_ref()?;
            Some(format!("{}: {}", prediction.status.as_str(), printable(detail)))
        }),
    ));
    let shown: Vec<&Column<'_>> = columns
        .iter()
        .filter(|(_, cell)| predictions.iter().any(|prediction| cell(prediction).is_some()))
        .collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(shown.iter().map(|(name, _)| name));
    for prediction in predictions {
        table.add_row(shown.iter().map(|(_, cell)| cell(prediction).unwrap_or_default()));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeDecision, Familiarity};

    use super::table;
    use crate::prediction::{FacePrediction, ThresholdDecision};

    #[test]
    fn only_filled_columns_are_shown() {
        let prediction = FacePrediction { age: Some(30.4), ..FacePrediction::empty("a.jpg", "b") };
        let text = table(&[prediction]);
        assert!(text.contains("age") && text.contains("30"), "{text}");
        assert!(!text.contains("gender") && !text.contains("rejected"), "{text}");
        assert!(!text.contains("or older") && !text.contains("note"), "{text}");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let text = table(&[FacePrediction {
            age: Some(1.0),
            ..FacePrediction::empty("a\u{1b}[2J\n.jpg", "b")
        }]);
        assert!(text.contains("a\\u{1b}[2J\\n.jpg"), "{text}");
    }

    #[test]
    fn decisions_are_in_the_column_of_their_threshold() {
        let at =
            ThresholdDecision { age: 21, decision: AgeDecision::Undecided, probability_over: None };
        let prediction =
            FacePrediction { thresholds: vec![at], ..FacePrediction::empty("a.jpg", "b") };
        let text = table(&[prediction]);
        assert!(text.contains("21 or older") && text.contains("undecided"), "{text}");
    }

    #[test]
    fn unfamiliar_faces_are_marked() {
        let face = |unfamiliar| Familiarity { score: 0.5, distance: 0.5, unfamiliar };
        let predictions = [false, true].map(|is| FacePrediction {
            familiarity: Some(face(is)),
            ..FacePrediction::empty("a.jpg", "b")
        });
        let text = table(&predictions);
        assert_eq!(text.matches("unlike the training faces").count(), 1, "{text}");
    }
}
