//! `facefold heads`: the heads and their settings.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use facefold::heads::settings::{self, Setting};
use facefold::heads::{HeadOptions, registry};
use facefold_terminal::Output;
use serde_json::{Value, json};

use crate::arguments::HeadsArguments;
use crate::outcome::{Outcome, usage};

/// Runs `heads`.
///
/// # Errors
/// [`facefold::Error::Options`] where there is no head of the name.
pub fn run(arguments: &HeadsArguments, output: Output) -> Result<Outcome> {
    let name = arguments.name.as_deref();
    if let Some(name) = name {
        registry::head(name, &HeadOptions::default()).map_err(usage)?;
    }
    let is_shown = |head: &str| name.is_none_or(|name| name == head);
    let heads: Vec<_> = registry::names().filter(|(head, _)| is_shown(head)).collect();
    let shown = |setting: &&Setting| name.is_none() || setting.heads().any(is_shown);
    let settings: Vec<&Setting> = settings::all().iter().filter(shown).collect();
    let answer = json!({
        "heads": heads
            .iter()
            .map(|(head, sentence)| json!({ "name": head, "sentence": sentence }))
            .collect::<Vec<_>>(),
        "settings": settings.iter().map(|setting| document(setting)).collect::<Vec<_>>(),
    });
    output.answer(&answer, || {
        let mut lines: Vec<String> =
            heads.iter().map(|(head, sentence)| format!("{head:<25} {sentence}")).collect();
        lines.push(String::new());
        lines.push(if settings.is_empty() { "no settings".to_owned() } else { table(&settings) });
        lines.join("\n")
    })?;
    Ok(Outcome::Done)
}

fn document(setting: &Setting) -> Value {
    json!({
        "name": setting.name,
        "default": setting.default(),
        "values": plain(setting.values),
        "meaning": plain(setting.meaning),
        "heads": setting.heads().collect::<Vec<_>>(),
    })
}

fn table(settings: &[&Setting]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["setting", "default", "values", "meaning"]);
    for setting in settings {
        let (values, meaning) = (plain(setting.values), plain(setting.meaning));
        table.add_row([setting.name.to_owned(), setting.default_text(), values, meaning]);
    }
    table.to_string()
}

/// A text without the marks of code that documents have.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
