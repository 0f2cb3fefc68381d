//! Delimited files with a header, read through a [`ColumnMapping`].
//!
//! The delimiter (comma, semicolon or tab) is found out from the header. Empty fields are taken as absent; whether an event may lack them
//! is for the engine's cleaning to say.

use serde_json::Value;
use zhiyin_core::{EventInput, TimeInput};

use crate::{
    ColumnMapping, DatasetError, LineProblem, MappedField, Source,
    columns::Origin,
    error::rules,
    input::{ByteCount, Lines},
    reader::{Opened, Record, steps, with_item_table},
    table::{Table, clipped},
    time::parse_time,
};

pub(crate) fn open(source: &Source) -> Result<Opened, DatasetError> {
    let mut bytes = ByteCount::default();
    let mut table = Table::open(Lines::open(&source.path, &mut bytes)?)?;
    let fields = match &source.columns {
        Some(mapping) => resolve(mapping, &table)?,
        None => resolve(&own_names(&table), &table)?,
    };
    let prefix = table.lines().id_prefix();
    let events = steps(move || {
        if !table.advance()? {
            return Ok(None);
        }
        let mut event = EventInput::default();
        fields.iter().try_for_each(|(field, place)| set(&mut event, field, place, &table))?;
        event.id.get_or_insert_with(|| format!("{prefix}-{}", table.line()));
        Ok(Some(Record::Event(event)))
    });
    let steps = with_item_table(source, &mut bytes, events)?;
    Ok(Opened { steps, bytes, loaded: None })
}

/// Where a field's value is.
enum Place {
    Column(usize),
    Constant(String),
}

/// The mapping of columns that are called like fields.
fn own_names(table: &Table) -> ColumnMapping {
    let mapping = ColumnMapping::new();
    MappedField::PLAIN.into_iter().fold(mapping, |mapping, (name, field)| match table.column(&[name]) {
        Some(_) => mapping.column(field, name),
        None => mapping,
    })
}

/// Finds the columns, and checks that the mapping makes events.
fn resolve(mapping: &ColumnMapping, table: &Table) -> Result<Vec<(MappedField, Place)>, DatasetError> {
    let maps = |field: &MappedField| mapping.fields.iter().any(|(known, _)| known == field);
    let needs = [
        (maps(&MappedField::Type), "for the type", "map one (type=COLUMN) or give a constant (type:=view)"),
        (maps(&MappedField::User) || maps(&MappedField::Session), "for the user or session", "map one (user=COLUMN)"),
        (maps(&MappedField::Item), "for the item", "map one (item=COLUMN)"),
    ];
    if let Some((_, missing, remedy)) = needs.into_iter().find(|(is_mapped, ..)| !is_mapped) {
        return Err(table.missing(missing, remedy));
    }
    mapping.fields.iter().map(|(field, origin)| Ok((field.clone(), place(field, origin, table)?))).collect()
}

fn place(field: &MappedField, origin: &Origin, table: &Table) -> Result<Place, DatasetError> {
    match origin {
        Origin::Constant(value) => Ok(Place::Constant(value.clone())),
        Origin::Column(name) => match table.column(&[name]) {
            Some(at) => Ok(Place::Column(at)),
            None => Err(table.missing(format!("`{name}`"), format!("correct `{field}={name}` in the mapping"))),
        },
    }
}

fn set(event: &mut EventInput, field: &MappedField, place: &Place, table: &Table) -> Result<(), LineProblem> {
    let text = match place {
        Place::Column(at) => table.field(*at),
        Place::Constant(value) => value,
    };
    if text.is_empty() {
        return Ok(());
    }
    let number = || match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(table.problem(rules::NOT_A_NUMBER, format!("{field} is `{}`", clipped(text)))),
    };
    let owned = || Some(text.to_owned());
    match field {
        MappedField::Id => event.id = owned(),
        MappedField::Type => text.clone_into(&mut event.kind),
        MappedField::User => event.user = owned(),
        MappedField::Session => event.session = owned(),
        MappedField::Item => event.item = owned(),
        MappedField::Time => event.time = Some(time(text, table)?),
        MappedField::Value => event.value = number()?,
        MappedField::Quantity => event.quantity = number()?,
        MappedField::Price => event.price = number()?,
        MappedField::DwellSeconds => event.dwell_seconds = number()?,
        MappedField::Query => event.query = owned(),
        MappedField::Text => event.text = owned(),
        MappedField::Surface => event.surface = owned(),
        MappedField::Decision => event.decision = owned(),
        MappedField::Attribute(name) => {
            event.attributes.insert(name.clone(), Value::from(text));
        }
    }
    Ok(())
}

fn time(text: &str, table: &Table) -> Result<TimeInput, LineProblem> {
    let bad = || table.problem(rules::BAD_TIME, format!("`{}` is no time that we read", clipped(text)));
    parse_time(text).map(TimeInput::Millis).ok_or_else(bad)
}
