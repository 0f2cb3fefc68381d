//! Which column of a delimited file is which field of an event.

use std::{fmt, str::FromStr};

use crate::DatasetError;

/// A field of an event that a column or a constant can give.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MappedField {
    /// Identifier of the event.
    Id,
    /// Kind of the event.
    Type,
    /// Known user.
    User,
    /// Anonymous session.
    Session,
    /// The item.
    Item,
    /// When it happened.
    Time,
    /// Stars of a rating, or any number.
    Value,
    /// Pieces.
    Quantity,
    /// Price of one piece.
    Price,
    /// Seconds of a play.
    DwellSeconds,
    /// What was searched for.
    Query,
    /// Text of a review.
    Text,
    /// Where in the product.
    Surface,
    /// The decision that showed the item.
    Decision,
    /// An attribute of this name, written `attributes.NAME`.
    Attribute(String),
}

impl MappedField {
    /// The fields that have a place of their own.
    pub(crate) const PLAIN: [(&'static str, Self); 14] = [
        ("id", Self::Id),
        ("type", Self::Type),
        ("user", Self::User),
        ("session", Self::Session),
        ("item", Self::Item),
        ("time", Self::Time),
        ("value", Self::Value),
        ("quantity", Self::Quantity),
        ("price", Self::Price),
        ("dwell_seconds", Self::DwellSeconds),
        ("query", Self::Query),
        ("text", Self::Text),
        ("surface", Self::Surface),
        ("decision", Self::Decision),
    ];

    fn named(name: &str) -> Option<Self> {
        if let Some(attribute) = name.strip_prefix("attributes.").filter(|attribute| !attribute.is_empty()) {
            return Some(Self::Attribute(attribute.to_owned()));
        }
        Self::PLAIN.into_iter().find(|(known, _)| *known == name).map(|(_, field)| field)
    }
}

impl fmt::Display for MappedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "attributes.{name}"),
            field => f.write_str(Self::PLAIN.iter().find(|(_, known)| known == field).map_or("", |(name, _)| name)),
        }
    }
}

/// Where a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Column(String),
    Constant(String),
}

/// The fields of an event and where they come from. Written `user=CustomerID,item=sku,time=ts,type:=view`: `=` names a column, `:=`
/// gives a constant. Column names that contain a comma cannot be mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMapping {
    pub(crate) fields: Vec<(MappedField, Origin)>,
}

impl ColumnMapping {
    /// An empty mapping.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a field from a column.
    #[must_use]
    pub fn column(mut self, field: MappedField, column: impl Into<String>) -> Self {
        self.fields.push((field, Origin::Column(column.into())));
        self
    }

    /// Gives a field the same value in every event.
    #[must_use]
    pub fn constant(mut self, field: MappedField, value: impl Into<String>) -> Self {
        self.fields.push((field, Origin::Constant(value.into())));
        self
    }

    fn with_part(self, part: &str) -> Result<Self, DatasetError> {
        let wrong = |rule: String| DatasetError::Mapping { part: part.to_owned(), rule };
        let (name, value) = part.split_once('=').ok_or_else(|| wrong("has no `=`".to_owned()))?;
        let (name, is_constant) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
        let (name, value) = (name.trim(), value.trim());
        let Some(field) = MappedField::named(name) else {
            let known = MappedField::PLAIN.map(|(name, _)| name).join(", ");
            return Err(wrong(format!("`{name}` is no field of an event; the fields are {known}, attributes.NAME")));
        };
        if value.is_empty() {
            return Err(wrong("names no column and no value".to_owned()));
        }
        if self.fields.iter().any(|(known, _)| *known == field) {
            return Err(wrong(format!("`{name}` is mapped twice")));
        }
        Ok(if is_constant { self.constant(field, value) } else { self.column(field, value) })
    }
}

impl FromStr for ColumnMapping {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).try_fold(Self::new(), Self::with_part)
    }
}
