//! Checks output that no grammar forced into shape: a remote server may ignore the schema that it was given.

use serde_json::Value;
use zhiyin_core::language::{Constraint, Finish, Generated, LanguageError};

/// Nesting of a schema that is checked; deeper parts are taken as they are.
const DEPTH_MAX: usize = 16;

/// Checks a finished text against the constraint of its request. Of JSON schema it knows `type`, `properties`, `required`,
/// `additionalProperties: false`, `items`, `enum` and `const`; a runtime with grammars enforces the rest.
pub(crate) fn check_output(generated: &Generated, constraint: Option<&Constraint>) -> Result<(), LanguageError> {
    let Some(Constraint::JsonSchema(schema)) = constraint else { return Ok(()) };
    if generated.finish == Finish::Length {
        return Err(LanguageError::invalid_output("the JSON was cut at tokens_max; allow more tokens"));
    }
    let value: Value = serde_json::from_str(generated.text.trim())
        .map_err(|e| LanguageError::invalid_output(format!("JSON was asked for, and it isn't: {e}")))?;
    matches(&value, &parse_schema(schema)?, "$", DEPTH_MAX).map_err(LanguageError::invalid_output)
}

/// A schema as JSON.
pub(crate) fn parse_schema(schema: &str) -> Result<Value, LanguageError> {
    serde_json::from_str(schema).map_err(|e| LanguageError::invalid_request(format!("the schema isn't JSON: {e}")))
}

fn matches(value: &Value, schema: &Value, at: &str, depth: usize) -> Result<(), String> {
    if depth == 0 {
        return Ok(());
    }
    check_type(value, schema, at)?;
    check_listed(value, schema, at)?;
    check_object(value, schema, at, depth)?;
    let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) else { return Ok(()) };
    values.iter().enumerate().try_for_each(|(i, inner)| matches(inner, items, &format!("{at}[{i}]"), depth - 1))
}

fn check_type(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let allowed: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    if allowed.iter().any(|name| is_of_type(value, name)) {
        return Ok(());
    }
    Err(format!("{at} has to be {}", allowed.join(" or ")))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

fn check_listed(value: &Value, schema: &Value, at: &str) -> Result<(), String> {
    let in_list = schema.get("enum").and_then(Value::as_array).is_none_or(|list| list.contains(value));
    let is_const = schema.get("const").is_none_or(|wanted| wanted == value);
    if in_list && is_const { Ok(()) } else { Err(format!("{at} isn't one of the allowed values")) }
}

fn check_object(value: &Value, schema: &Value, at: &str, depth: usize) -> Result<(), String> {
    let Some(object) = value.as_object() else { return Ok(()) };
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !object.contains_key(*name)) {
        return Err(format!("{at}.{missing} is missing"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    object.iter().try_for_each(|(name, inner)| match properties.and_then(|known| known.get(name)) {
        Some(rule) => matches(inner, rule, &format!("{at}.{name}"), depth - 1),
        None if closed => Err(format!("{at}.{name} isn't allowed")),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhiyin_core::language::TokenUsage;

    const SCHEMA: &str = r#"{"type":"object","required":["colour"],"additionalProperties":false,
        "properties":{"colour":{"enum":["red","blue"]},"prices":{"type":"array","items":{"type":"integer"}}}}"#;

    fn verdict(text: &str, finish: Finish) -> Result<(), LanguageError> {
        let generated = Generated {
            text: text.to_owned(),
            finish,
            usage: TokenUsage::default(),
            money: 0.0,
            model: "m".to_owned(),
        };
        check_output(&generated, Some(&Constraint::JsonSchema(SCHEMA.to_owned())))
    }

    #[test]
    fn output_has_to_fit_the_schema() {
        verdict(r#" {"colour":"red","prices":[1,2.0]} "#, Finish::Stop).expect("fits");
        for (text, complaint) in [
            ("red", "it isn't"),
            ("[]", "$ has to be object"),
            ("{}", "$.colour is missing"),
            (r#"{"colour":"green"}"#, "$.colour isn't one of"),
            (r#"{"colour":"red","size":3}"#, "$.size isn't allowed"),
            (r#"{"colour":"red","prices":[1,1.5]}"#, "$.prices[1] has to be integer"),
        ] {
            let refusal = verdict(text, Finish::Stop).expect_err(text).to_string();
            assert!(refusal.contains(complaint), "{refusal}");
        }
        assert!(verdict(r#"{"colour":"red"}"#, Finish::Length).is_err(), "it may be cut");
    }
}
