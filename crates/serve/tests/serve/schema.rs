//! A checker of responses against the `OpenAPI` document: enough of JSON Schema for ours.

use serde_json::Value;

/// Panics with what differs where a value is not as a schema of the document says.
pub fn assert_conforms(document: &Value, schema: &Value, value: &Value) {
    let problems = problems(document, schema, value, "$");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn problems(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        return schema.map_or_else(
            || vec![format!("{at}: `{reference}` is not defined")],
            |schema| problems(document, schema, value, at),
        );
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let tried: Vec<_> =
            choices.iter().map(|choice| problems(document, choice, value, at)).collect();
        let fits = tried.iter().any(Vec::is_empty);
        return if fits { Vec::new() } else { tried.concat() };
    }
    let mut found = Vec::new();
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.iter().any(|kind| is_of(kind, value)) {
        return vec![format!("{at}: expected {types:?}, found {value}")];
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        found.push(format!("{at}: expected one of {choices:?}, found {value}"));
    }
    if let Some(items) = value.as_array() {
        let length = items.len() as u64;
        let (least, most) = (schema["minItems"].as_u64(), schema["maxItems"].as_u64());
        if least.is_some_and(|least| length < least) || most.is_some_and(|most| length > most) {
            found.push(format!("{at}: expected {least:?} to {most:?} items, found {length}"));
        }
        for (number, item) in items.iter().enumerate() {
            found.extend(problems(document, &schema["items"], item, &format!("{at}[{number}]")));
        }
    }
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap_or_default()) {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            match known.get(name) {
                Some(schema) => {
                    found.extend(problems(document, schema, field, &format!("{at}.{name}")));
                }
                None => found.push(format!("{at}: `{name}` is not in the document")),
            }
        }
    }
    found
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
