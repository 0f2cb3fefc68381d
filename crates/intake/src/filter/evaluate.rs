//! Whether an expression is true of an item.

use std::cmp::Ordering;

use serde_json::Value;
use zhiyin_core::Item;

use super::{Expression, Field, Literal, Operator, words};

pub(super) fn is_true(expression: &Expression, item: &Item) -> bool {
    match expression {
        Expression::Any(parts) => parts.iter().any(|part| is_true(part, item)),
        Expression::All(parts) => parts.iter().all(|part| is_true(part, item)),
        Expression::Not(part) => !is_true(part, item),
        Expression::In { field, values } => values.iter().any(|value| holds(field, Operator::Equal, value, item)),
        Expression::Compare { field, operator: Operator::NotEqual, value } => {
            !holds(field, Operator::Equal, value, item)
        }
        Expression::Compare { field, operator, value } => holds(field, *operator, value, item),
    }
}

#[derive(Clone, Copy)]
enum Operand<'a> {
    Number(f64),
    Text(&'a str),
    Truth(bool),
}

/// Whether the comparison holds for any value of the field; a field without a value equals null and nothing else.
fn holds(field: &Field, operator: Operator, value: &Literal, item: &Item) -> bool {
    match field {
        Field::Text => any([Operand::Text(&words::everything(item))], operator, value),
        Field::Category => any(item.categories.iter().map(|label| Operand::Text(label)), operator, value),
        Field::Tag => any(item.tags.iter().map(|label| Operand::Text(label)), operator, value),
        Field::Attribute(name) => any(attribute(item.attributes.get(name)), operator, value),
        single => any(single_value(single, item), operator, value),
    }
}

fn any<'a>(operands: impl IntoIterator<Item = Operand<'a>>, operator: Operator, value: &Literal) -> bool {
    let mut operands = operands.into_iter().peekable();
    if *value == Literal::Null {
        return operator == Operator::Equal && operands.peek().is_none();
    }
    operands.any(|operand| compares(operand, operator, value))
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are exact in an f64")]
fn single_value<'a>(field: &Field, item: &'a Item) -> Option<Operand<'a>> {
    let text = |text: &'a str| (!text.is_empty()).then_some(Operand::Text(text));
    match field {
        Field::Id => text(item.id.as_str()),
        Field::Title => text(&item.title),
        Field::Description => text(&item.description),
        Field::Price => item.price.map(Operand::Number),
        Field::Available => Some(Operand::Truth(item.available)),
        Field::Published => item.published_ms.map(|ms| Operand::Number(ms as f64)),
        Field::Expires => item.expires_ms.map(|ms| Operand::Number(ms as f64)),
        Field::Text | Field::Category | Field::Tag | Field::Attribute(_) => None,
    }
}

fn attribute(value: Option<&Value>) -> Vec<Operand<'_>> {
    match value {
        Some(Value::Array(values)) => values.iter().filter_map(scalar).collect(),
        Some(value) => scalar(value).into_iter().collect(),
        None => Vec::new(),
    }
}

fn scalar(value: &Value) -> Option<Operand<'_>> {
    match value {
        Value::Bool(truth) => Some(Operand::Truth(*truth)),
        Value::Number(number) => number.as_f64().map(Operand::Number),
        Value::String(text) => Some(Operand::Text(text)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn compares(operand: Operand<'_>, operator: Operator, value: &Literal) -> bool {
    if operator == Operator::Has {
        return matches!((operand, value), (Operand::Text(text), Literal::Text(wanted)) if words::has(text, wanted));
    }
    let ordering = match (operand, value) {
        (Operand::Number(left), Literal::Number(right)) => left.partial_cmp(right),
        (Operand::Text(left), Literal::Text(right)) => Some(left.cmp(right.as_str())),
        (Operand::Truth(left), Literal::Truth(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let Some(ordering) = ordering else { return false };
    match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual => ordering != Ordering::Less,
        Operator::Has => false,
    }
}
