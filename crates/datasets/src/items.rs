//! Tables of items: tab- or comma-separated with a header.

use std::path::Path;

use serde_json::Value;
use zhiyin_core::{ExternalId, Item};

use crate::{
    DatasetError, LineProblem,
    error::rules,
    input::{ByteCount, Lines},
    reader::{Record, Steps, steps},
    table::Table,
};

/// Places of the columns that an item has fields for.
struct Columns {
    id: usize,
    title: Option<usize>,
    description: Option<usize>,
    categories: Option<usize>,
    tags: Option<usize>,
    price: Option<usize>,
    /// Columns that become attributes.
    others: Vec<usize>,
}

/// Opens a table of items.
pub(crate) fn read(path: &Path, bytes: &mut ByteCount) -> Result<Steps, DatasetError> {
    let mut table = Table::open(Lines::open(path, bytes)?)?;
    let columns = Columns::of(&table)?;
    Ok(steps(move || {
        if !table.advance()? {
            return Ok(None);
        }
        columns.item(&table).map(|item| Some(Record::Item(item)))
    }))
}

impl Columns {
    fn of(table: &Table) -> Result<Self, DatasetError> {
        let mut columns = Self {
            id: table.needed_column(&["item_id", "id"])?,
            title: table.column(&["title", "name"]),
            description: table.column(&["description"]),
            categories: table.column(&["categories", "category", "genres"]),
            tags: table.column(&["tags"]),
            price: table.column(&["price"]),
            others: Vec::new(),
        };
        let named = [columns.title, columns.description, columns.categories, columns.tags, columns.price];
        let is_other = |at: &usize| *at != columns.id && !named.contains(&Some(*at));
        columns.others = (0..table.header().len()).filter(is_other).collect();
        Ok(columns)
    }

    fn item(&self, table: &Table) -> Result<Item, LineProblem> {
        let text = |column: Option<usize>| column.map_or("", |at| table.field(at));
        let mut item = Item::bare(
            external_id("item_id", table.field(self.id)).map_err(|detail| table.problem(rules::BAD_ID, detail))?,
        );
        item.title = text(self.title).to_owned();
        item.description = text(self.description).to_owned();
        item.categories = labels(text(self.categories));
        item.tags = labels(text(self.tags));
        item.price = self.price.map(|at| table.number(at)).transpose()?.flatten();
        for &at in self.others.iter().filter(|&&at| !table.field(at).is_empty()) {
            item.attributes.insert(table.header()[at].clone(), Value::from(table.field(at)));
        }
        Ok(item)
    }
}

/// The labels of a field that separates them by `|`.
pub(crate) fn labels(text: &str) -> Vec<String> {
    text.split('|').map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned).collect()
}

/// A name that follows the rules for names, or what is wrong with it.
pub(crate) fn external_id(field: &str, text: &str) -> Result<ExternalId, String> {
    ExternalId::parse(field, text).map_err(|problem| problem.to_string())
}
