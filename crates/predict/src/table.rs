//! Answers as a table for a person.

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::text::printable;

use crate::answer::{Answer, ClassAnswer};

/// Stands beside a face that the bundle knows little of.
const UNFAMILIAR: &str = "unlike the training faces";

/// What a column says of an answer.
type Cell<'a> = Box<dyn Fn(&Answer) -> Option<String> + 'a>;
/// A column's name and its cells.
type Column<'a> = (String, Cell<'a>);

/// `31`, or `31 (26 to 37)` with the interval in which eight of ten true ages lie.
fn age(answer: &Answer) -> Option<String> {
    let age = answer.age?;
    Some(match answer.age_low.zip(answer.age_high) {
        Some((low, high)) => format!("{age:.0} ({low:.0} to {high:.0})"),
        None => format!("{age:.0}"),
    })
}

fn column<'a>(name: &str, cell: Cell<'a>) -> Column<'a> {
    (name.to_owned(), cell)
}

/// One line a face; columns that no answer fills are left out.
#[must_use]
pub fn table(answers: &[Answer]) -> String {
    let percent = |class: &Option<ClassAnswer>| {
        class.as_ref().map(|class| {
            format!("{} ({:.0} %)", printable(&class.label), 100.0 * class.probability)
        })
    };
    let several = answers.iter().any(|answer| answer.bundle != answers[0].bundle);
    let mut thresholds: Vec<u32> =
        answers.iter().flat_map(|answer| &answer.thresholds).map(|at| at.age).collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    let decision = |age: u32| -> Column<'_> {
        (
            format!("{age} or older"),
            Box::new(move |answer| Some(answer.decision_at(age)?.to_string())),
        )
    };
    let mut columns: Vec<Column<'_>> = vec![
        column("picture", Box::new(|answer| Some(printable(&answer.path).into_owned()))),
        column(
            "face",
            Box::new(|answer| (answer.face_index > 0).then(|| answer.face_index.to_string())),
        ),
        column(
            "bundle",
            Box::new(|answer| several.then(|| printable(&answer.bundle).into_owned())),
        ),
        column("gender", Box::new(|answer| percent(&answer.gender))),
        column("age group", Box::new(|answer| percent(&answer.age_group))),
        column("age", Box::new(age)),
    ];
    columns.extend(thresholds.into_iter().map(decision));
    columns.push(column("class", Box::new(|answer| percent(&answer.class))));
    columns.push(column(
        "note",
        Box::new(|answer| answer.is_unfamiliar().then(|| UNFAMILIAR.to_owned())),
    ));
    columns.push(column(
        "rejected",
        Box::new(|answer| {
            let detail = answer.detail.as_ref()?;
            Some(format!("{}: {}", answer.status.as_str(), printable(detail)))
        }),
    ));
    let shown: Vec<&Column<'_>> = columns
        .iter()
        .filter(|(_, cell)| answers.iter().any(|answer| cell(answer).is_some()))
        .collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(shown.iter().map(|(name, _)| name));
    for answer in answers {
        table.add_row(shown.iter().map(|(_, cell)| cell(answer).unwrap_or_default()));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeDecision, Familiarity};

    use super::table;
    use crate::answer::{Answer, ThresholdAnswer};

    #[test]
    fn only_filled_columns_are_shown() {
        let answer = Answer { age: Some(30.4), ..Answer::empty("a.jpg", "b") };
        let text = table(&[answer]);
        assert!(text.contains("age") && text.contains("30"), "{text}");
        assert!(!text.contains("gender") && !text.contains("rejected"), "{text}");
        assert!(!text.contains("or older") && !text.contains("note"), "{text}");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let text = table(&[Answer { age: Some(1.0), ..Answer::empty("a\u{1b}[2J\n.jpg", "b") }]);
        assert!(text.contains("a\\u{1b}[2J\\n.jpg"), "{text}");
    }

    #[test]
    fn decisions_stand_under_their_threshold() {
        let at =
            ThresholdAnswer { age: 21, decision: AgeDecision::Undecided, probability_over: None };
        let answer = Answer { thresholds: vec![at], ..Answer::empty("a.jpg", "b") };
        let text = table(&[answer]);
        assert!(text.contains("21 or older") && text.contains("cannot say"), "{text}");
    }

    #[test]
    fn unfamiliar_faces_are_marked() {
        let face = |unfamiliar| Familiarity { score: 0.5, distance: 0.5, unfamiliar };
        let answers = [false, true]
            .map(|is| Answer { familiarity: Some(face(is)), ..Answer::empty("a.jpg", "b") });
        let text = table(&answers);
        assert_eq!(text.matches("unlike the training faces").count(), 1, "{text}");
    }
}
