//! Filter expressions over item fields, such as `price < 20 and category in ["mug", "bowl"]`.
//!
//! ```text
//! expression = all { "or" all }
//! all        = part { "and" part }
//! part       = "not" part | "(" expression ")" | comparison
//! comparison = field ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!            | field [ "not" ] "in" "[" value { "," value } "]"
//!            | field "has" value
//! value      = number | string in double or single quotes | true | false | null
//! field      = id | title | description | text | price | category | tag | available | published | expires | attributes.NAME
//! ```
//! `category` and `tag` hold several values: a comparison is true if it is true of any of them (`!=` and `not in`: of none).
//! `text` is everything that can be read of an item: title, description, categories, tags and attributes. `has` is true of a text with all words of
//! the value, in any case and order, in the singular or the plural in s.
//! A comparison with a missing field is false, except `!= x`, `not in` and `== null`.
//!
//! Limits: [`zhiyin_core::limits::FILTER_BYTES_MAX`] and [`zhiyin_core::limits::FILTER_DEPTH_MAX`].

mod evaluate;
mod lex;
mod parse;
mod words;

use zhiyin_core::{Item, Problem, limits};

/// A parsed filter expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Expression);

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// Names the place in the text, what was expected there and what was found.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > limits::FILTER_BYTES_MAX {
            let rule = format!("has {} bytes, at most {} are allowed", text.len(), limits::FILTER_BYTES_MAX);
            return Err(Problem::field("filter", rule, "use a shorter expression"));
        }
        parse::Parser::new(lex::tokens(text)?).expression_to_end().map(Self)
    }

    /// Whether an item passes.
    pub fn matches(&self, item: &Item) -> bool {
        evaluate::is_true(&self.0, item)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Compare { field: Field, operator: Operator, value: Literal },
    In { field: Field, values: Vec<Literal> },
}

#[derive(Clone, Debug, PartialEq)]
enum Field {
    Id,
    Title,
    Description,
    Text,
    Price,
    Category,
    Tag,
    Available,
    Published,
    Expires,
    Attribute(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Has,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Number(f64),
    Text(String),
    Truth(bool),
    Null,
}

fn problem(at: usize, expected: &str, found: &str) -> Problem {
    let rule = format!("at byte {at}: expected {expected}, found {found}");
    Problem::field("filter", rule, "write it like: price < 20 and category in [\"mug\", \"bowl\"]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use zhiyin_core::ExternalId;

    use super::*;

    fn mug() -> Item {
        let mut item = Item::bare(ExternalId::parse("id", "mug-1").unwrap());
        item.title = "RED MUG".into();
        item.price = Some(4.5);
        item.categories = vec!["kitchen".into(), "mug".into()];
        item.attributes.insert("colour".into(), json!("red"));
        item.attributes.insert("weight_grams".into(), json!(310));
        item
    }

    #[test]
    fn expressions_mean_what_they_say() {
        let cases = [
            ("price < 5", true),
            ("price >= 5", false),
            ("category in ['mug', 'bowl'] and price < 20", true),
            ("category == \"kitchen\"", true),
            ("category != \"kitchen\"", false),
            ("category not in ['garden']", true),
            ("not (price < 5 or price > 9)", false),
            ("price > 100 or title == 'RED MUG'", true),
            ("attributes.colour == 'red' and attributes.weight_grams <= 310", true),
            ("attributes.missing == 1", false),
            ("attributes.missing != 1", true),
            ("attributes.missing == null", true),
            ("tag == null", true),
            ("available == true and id == 'mug-1'", true),
            ("price > 1 and price > 2 or price > 100", true),
            ("title has 'mug'", true),
            ("title has 'mugs red'", true),
            ("title has 'ed'", false),
            ("description has 'mug'", false),
            ("text has 'red kitchen'", true),
            ("text has 'garden'", false),
            ("not text has 'garden'", true),
            ("price has '4.5'", false),
            ("text has ''", false),
        ];
        for (text, expected) in cases {
            assert_eq!(Filter::parse(text).unwrap().matches(&mug()), expected, "{text}");
        }
    }

    #[test]
    fn chinese_words_are_found_without_spaces() {
        let mut item = mug();
        item.title = "红色陶瓷杯".into();
        for (text, expected) in [("title has '红色'", true), ("title has '杯 红'", true), ("text has '蓝'", false)]
        {
            assert_eq!(Filter::parse(text).unwrap().matches(&item), expected, "{text}");
        }
    }

    #[test]
    fn a_bad_expression_is_refused_with_its_place() {
        for (text, place) in [
            ("", "byte 0"),
            ("price <", "byte 7"),
            ("price < 5 and", "byte 13"),
            ("cost < 5", "byte 0"),
            ("price ~ 5", "byte 6"),
            ("price in []", "byte 10"),
            ("title has", "byte 9"),
            ("title == 'open", "byte 9"),
            ("price < 5 5", "byte 10"),
            ("price < 1e999", "byte 8"),
            ("title < 'a' == 3", "byte 12"),
        ] {
            let refused = Filter::parse(text).unwrap_err();
            assert!(refused.rule.contains(place), "{text}: {refused}");
        }
    }

    #[test]
    fn limits_hold() {
        let deep = format!("{}price < 1{}", "(".repeat(40), ")".repeat(40));
        assert!(Filter::parse(&deep).unwrap_err().rule.contains("nested"));
        let negated = format!("{} price < 1", "not ".repeat(1000));
        assert!(Filter::parse(&negated).is_err());
        assert!(Filter::parse(&"x".repeat(5000)).unwrap_err().rule.contains("5000 bytes"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_without_a_panic(text in "\\PC{0,60}") {
            let _ = Filter::parse(&text);
        }

        #[test]
        fn not_inverts(price in 0.0f64..10.0, bound in 0.0f64..10.0) {
            let mut item = mug();
            item.price = Some(price);
            let plain = Filter::parse(&format!("price < {bound}")).unwrap().matches(&item);
            let negated = Filter::parse(&format!("not price < {bound}")).unwrap().matches(&item);
            prop_assert_eq!(plain, price < bound);
            prop_assert_eq!(negated, !plain);
        }
    }
}
