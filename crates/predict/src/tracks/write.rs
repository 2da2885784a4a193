//! The tracks of a video as a table for the terminal and as CSV.

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold_core::Gender;
use facefold_core::text::printable;

use super::TrackSummary;
use crate::csv::{label, number, text};
use crate::prediction::ClassPrediction;

/// The columns of [`csv_line`].
pub const COLUMNS: [&str; 13] = [
    "person",
    "first_seconds",
    "last_seconds",
    "frames",
    "gender",
    "gender_probability",
    "age_group",
    "age",
    "age_low",
    "age_high",
    "class",
    "class_probability",
    "bundle",
];

/// One line a track; empty columns are left out.
#[must_use]
pub fn table(people: &[TrackSummary]) -> String {
    type Column<'a> = (&'static str, Box<dyn Fn(&TrackSummary) -> Option<String> + 'a>);
    let percent = |class: &Option<ClassPrediction>| {
        class.as_ref().map(|class| {
            format!("{} ({:.0} %)", printable(&class.label), 100.0 * class.probability)
        })
    };
    let several = people.iter().any(|person| person.bundle != people[0].bundle);
    let seen =
        |person: &TrackSummary| clock(person.first_seconds) + " to " + &clock(person.last_seconds);
    let age = |person: &TrackSummary| {
        let age = person.age?;
        Some(match person.age_low.zip(person.age_high) {
            Some((low, high)) => format!("{age:.0} ({low:.0} to {high:.0})"),
            None => format!("{age:.0}"),
        })
    };
    let columns: Vec<Column<'_>> = vec![
        ("person", Box::new(|person| Some(person.person.to_string()))),
        ("seen", Box::new(|person| Some(seen(person)))),
        ("frames", Box::new(|person| Some(person.frames.to_string()))),
        ("bundle", Box::new(|person| several.then(|| printable(&person.bundle).into_owned()))),
        ("gender", Box::new(|person| percent(&person.gender))),
        ("age group", Box::new(|person| percent(&person.age_group))),
        ("age", Box::new(age)),
        ("class", Box::new(|person| percent(&person.class))),
    ];
    let shown: Vec<&Column<'_>> = columns
        .iter()
        .filter(|(_, cell)| people.iter().any(|person| cell(person).is_some()))
        .collect();
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(shown.iter().map(|(name, _)| *name));
    for person in people {
        table.add_row(shown.iter().map(|(_, cell)| cell(person).unwrap_or_default()));
    }
    table.to_string()
}

/// `1:02.4` for 62.4 seconds.
fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// The line of one track under [`COLUMNS`]; cells without a head are empty.
#[must_use]
pub fn csv_line(person: &TrackSummary) -> String {
    let gender = person.gender.as_ref().and_then(|gender| Gender::parse(&gender.label));
    let letter = gender.map(Gender::letter);
    let cells = [
        person.person.to_string(),
        person.first_seconds.to_string(),
        person.last_seconds.to_string(),
        person.frames.to_string(),
        letter.unwrap_or_default().to_owned(),
        number(person.gender.as_ref().map(|gender| gender.probability)),
        label(person.age_group.as_ref()),
        number(person.age),
        number(person.age_low),
        number(person.age_high),
        label(person.class.as_ref()),
        number(person.class.as_ref().map(|class| class.probability)),
        text(&person.bundle),
    ];
    cells.join(",")
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, clock, csv_line, table};
    use crate::prediction::{ClassPrediction, FacePrediction};
    use crate::tracks::TrackAggregator;

    #[test]
    fn a_track_is_one_csv_line() {
        let gender =
            ClassPrediction::new(vec![("female".to_owned(), 0.75), ("male".to_owned(), 0.25)]);
        let prediction = FacePrediction {
            bounding_box: Some([0.0, 0.0, 9.0, 9.0].into()),
            gender,
            age: Some(30.0),
            age_low: Some(25.0),
            age_high: Some(37.0),
            ..FacePrediction::empty("", "faces")
        };
        let mut people = TrackAggregator::new(2.0);
        people.add(1, &[prediction]);
        let line = csv_line(&people.all()[0]);
        assert_eq!(line, "1,0.5,0.5,1,f,0.75,,30,25,37,,,faces");
        assert_eq!(line.split(',').count(), COLUMNS.len());
        let text = table(&people.all());
        assert!(text.contains("0:00.5 to 0:00.5") && text.contains("30 (25 to 37)"), "{text}");
        assert!(!text.contains("class") && !text.contains("bundle"), "{text}");
        assert_eq!(clock(62.44), "1:02.4");
    }
}
